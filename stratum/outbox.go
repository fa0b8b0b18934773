package stratum

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Bounds of what a session may hold for a peer that does not read.
const (
	outboxLimit = 512 << 10        // bytes; about 3,000 messages, or a few large extended jobs
	writeLimit  = 20 * time.Second // one write by the slow writer
)

var errSlowReader = errors.New("peer reads too slowly: its outbox is full")

// scratch lends buffers for building frames, so that an idle session holds none.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// outbox holds sealed bytes on their way to the peer. It is guarded by the session's mu.
//
// flush tries one write that does not block. What is left goes to a writer goroutine, which lives only
// while there is a backlog: an idle connection costs none.
type outbox struct {
	conn    net.Conn
	raw     syscall.RawConn // nil if the connection is not a socket
	pending []byte
	writing bool // a writer goroutine owns the order of bytes
	failed  error
}

func newOutbox(conn net.Conn) outbox {
	o := outbox{conn: conn}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			o.raw = raw
		}
	}
	return o
}

// tryWrite sends as much of b as the kernel takes now.
func (o *outbox) tryWrite(b []byte) (n int, err error) {
	if o.raw == nil {
		return 0, nil
	}
	werr := o.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case werr != nil:
		return 0, werr
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return max(n, 0), nil
	case err != nil:
		return 0, err
	}
	return n, nil
}

// flush moves pending bytes to the kernel, or starts the slow writer through
// spawn. It never blocks.
func (o *outbox) flush(spawn func()) error {
	switch {
	case o.failed != nil:
		return o.failed
	case len(o.pending) == 0:
		return nil
	case o.writing:
		if len(o.pending) > outboxLimit {
			o.failed = errSlowReader
		}
		return o.failed
	}
	n, err := o.tryWrite(o.pending)
	if err != nil {
		o.failed = err
		return err
	}
	if n == len(o.pending) {
		o.release()
		return nil
	}
	o.pending = append([]byte(nil), o.pending[n:]...)
	o.writing = true
	spawn()
	return nil
}

// release forgets the buffer: the next message borrows a new one.
func (o *outbox) release() {
	if cap(o.pending) <= 64<<10 {
		b := o.pending[:0]
		scratch.Put(&b)
	}
	o.pending = nil
}

// take hands the backlog to the slow writer; none left ends its duty.
func (o *outbox) take() []byte {
	if len(o.pending) == 0 || o.failed != nil {
		o.writing = false
		return nil
	}
	b := o.pending
	o.pending = nil
	return b
}
