//go:build !linux

package stamp

import (
	"errors"
	"syscall"
	"time"
)

// Kernel is whether stamps are the kernel's.
const Kernel = false

func ask(uintptr) error { return nil }

// once is one receive that does not block; false: wait until there is something.
func (c *Conn) once(fd uintptr) bool {
	for {
		c.n, c.err = syscall.Read(int(fd), c.buf[:])
		if !errors.Is(c.err, syscall.EINTR) {
			return !errors.Is(c.err, syscall.EAGAIN)
		}
	}
}

func stamped(_ []byte, took time.Time) time.Time { return took }
