package stamp

import (
	"encoding/binary"
	"errors"
	"syscall"
	"time"
)

// Kernel is whether stamps are the kernel's.
const Kernel = true

// ask turns stamps on. Like setsockopt it applies to what comes from now on.
func ask(fd uintptr) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
}

// once is one receive that does not block; false: wait until there is something.
func (c *Conn) once(fd uintptr) bool {
	for {
		c.n, c.control, _, _, c.err = syscall.Recvmsg(int(fd), c.buf[:], c.oob[:], syscall.MSG_DONTWAIT)
		if !errors.Is(c.err, syscall.EINTR) {
			return !errors.Is(c.err, syscall.EAGAIN)
		}
	}
}

// stamped is the kernel's stamp of what was received, or took if there is none. Of several segments it
// is the last one's: what came in an earlier one looks later than it was, never sooner. A stamp after
// the read would be of a clock that was set meanwhile.
func stamped(oob []byte, took time.Time) time.Time {
	const header = syscall.SizeofCmsghdr
	if len(oob) < header+16 {
		return took
	}
	level, typ := binary.NativeEndian.Uint32(oob[header-8:]), binary.NativeEndian.Uint32(oob[header-4:])
	if level != syscall.SOL_SOCKET || typ != syscall.SO_TIMESTAMPNS {
		return took
	}
	seconds := binary.NativeEndian.Uint64(oob[header:])
	nanos := binary.NativeEndian.Uint64(oob[header+8:])
	came := time.Unix(int64(seconds), int64(nanos))
	if ago := took.Round(0).Sub(came); ago > 0 {
		return took.Add(-ago) // on the monotonic clock, as the times that it is compared with
	}
	return took
}
