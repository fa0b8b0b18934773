package node

import "syscall"

// childAttr keeps the terminal's interrupt away from the child, so that the parent can
// end things in order, and ends the child when the parent dies.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
