//go:build !linux

package node

import "syscall"

// childAttr: only Linux can end the child with its parent.
func childAttr() *syscall.SysProcAttr { return nil }
