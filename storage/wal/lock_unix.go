//go:build unix

package wal

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the file's lock unless somebody has it. It goes when the file is closed, or its
// process ends.
func tryLock(f *os.File) (held bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
