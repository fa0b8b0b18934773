package wal

import (
	"errors"
	"os"
	"syscall"
)

// datasync flushes a file's bytes, and of its metadata only what reading them needs.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
