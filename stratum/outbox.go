package stratum

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Bounds of what a session may hold for a peer that does not read, in bytes: about 3,000 messages,
// and for each channel several jobs more.
const (
	outboxLimit        = 512 << 10
	outboxLimitChannel = 8 << 10
	// ... while all backlogs together are above Config.MaxBacklog: a tip's messages.
	outboxScarce        = 16 << 10
	outboxScarceChannel = 1 << 10

	writeLimit = 20 * time.Second // one write by the slow writer
	keepBuffer = 64 << 10         // longer buffers are not kept for others
)

var errSlowReader = errors.New("peer reads too slowly: its outbox is full")

// scratch lends buffers for building frames, so that an idle session holds none.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func borrow() *[]byte {
	b, _ := scratch.Get().(*[]byte) // the pool holds nothing else
	return b
}

func giveBack(b *[]byte) {
	if cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		scratch.Put(b)
	}
}

// outbox holds sealed bytes on their way to the peer. It is guarded by the session's mu.
//
// flush tries one write that does not block. What is left goes to a writer goroutine, which lives only
// while there is a backlog: an idle connection costs none, and no buffer.
type outbox struct {
	conn    trier   // nil if the connection is not a socket
	pending *[]byte // nil if nothing waits
	writing int     // bytes that the writer goroutine has taken; it owns the order of bytes
	slow    bool    // there is a writer goroutine
	counted int     // bytes of it in the server's backlog
}

// trier is a connection that writes as much as the kernel takes now.
type trier interface {
	tryWrite(b []byte) (int, error)
}

func newOutbox(conn net.Conn) outbox {
	if t, ok := conn.(trier); ok {
		return outbox{conn: t}
	}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return outbox{conn: rawConn{raw}}
		}
	}
	return outbox{}
}

// sendLocked seals one message into the outbox. It is no method because the message's type is a
// parameter: an interface would cost an allocation for each message.
func sendLocked[M sv2.Message](s *session, m M) {
	if s.cause != nil || s.parting {
		return
	}
	b := borrow()
	*b = m.AppendFrame(*b)
	if s.out.pending == nil {
		s.out.pending = borrow()
	}
	*s.out.pending = s.conn.AppendFrame(*s.out.pending, *b)
	giveBack(b)
}

// reply sends one message at once.
func reply[M sv2.Message](s *session, m M) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sendLocked(s, m)
	s.flushLocked()
}

// flush moves pending bytes to the kernel. It never blocks. What it cannot move is left to a slow
// writer: spawn says that one has to be started.
func (o *outbox) flush(limit int) (spawn bool, err error) {
	if o.pending == nil {
		return false, nil
	}
	if !o.slow && o.conn != nil {
		n, err := o.conn.tryWrite(*o.pending)
		if err != nil {
			return false, err
		}
		if n == len(*o.pending) {
			giveBack(o.pending)
			o.pending = nil
			return false, nil
		}
		*o.pending = append((*o.pending)[:0], (*o.pending)[n:]...)
	}
	if len(*o.pending)+o.writing > limit {
		return false, errSlowReader
	}
	spawn = !o.slow
	o.slow = true
	return spawn, nil
}

// take hands the backlog to the slow writer; nil ends its duty.
func (o *outbox) take() *[]byte {
	b := o.pending
	o.pending, o.writing = nil, 0
	if b == nil {
		o.slow = false
		return nil
	}
	o.writing = len(*b)
	return b
}

// attempt is one write that does not block. They are lent, because the function that the runtime calls
// with the descriptor would else be allocated for each.
type attempt struct {
	b   []byte
	n   int
	err error
	try func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.try = func(fd uintptr) bool {
		a.n, a.err = syscall.Write(int(fd), a.b)
		return true
	}
	return a
}}

// rawConn is a socket of the runtime's poller.
type rawConn struct{ syscall.RawConn }

// tryWrite sends as much of b as the kernel takes now.
func (c rawConn) tryWrite(b []byte) (int, error) {
	a, _ := attempts.Get().(*attempt) // the pool holds nothing else
	a.b = b
	err := c.Write(a.try)
	n := a.n
	if err == nil {
		err = a.err
	}
	a.b, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return n, nil
}

// flushLocked tries one write of everything sent. A failure ends the session.
func (s *session) flushLocked() {
	if s.cause != nil || s.parting {
		return
	}
	spawn, err := s.out.flush(s.outboxLimitLocked())
	s.countBacklogLocked()
	if err != nil {
		s.closeLocked(err)
		return
	}
	if spawn {
		s.writer.Go(s.writeSlowly)
	}
}

// outboxLimitLocked is how much may wait for the peer.
func (s *session) outboxLimitLocked() int {
	if s.srv.backlog.Load() > int64(s.srv.cfg.MaxBacklog) {
		return outboxScarce + len(s.channels)*outboxScarceChannel
	}
	return outboxLimit + len(s.channels)*outboxLimitChannel
}

// fitsLocked reports whether n bytes more may wait for the peer.
func (s *session) fitsLocked(n int) bool {
	held := s.out.writing
	if s.out.pending != nil {
		held += len(*s.out.pending)
	}
	return held+n <= s.outboxLimitLocked()
}

// countBacklogLocked keeps the server's sum of what waits for slow readers. What the writer of a session
// that has ended still holds is on its way out.
func (s *session) countBacklogLocked() {
	held := s.out.writing
	if s.out.pending != nil {
		held += len(*s.out.pending)
	}
	if s.cause != nil {
		held = 0
	}
	if held != s.out.counted {
		s.srv.backlog.Add(int64(held - s.out.counted))
		s.out.counted = held
	}
}

// writeSlowly writes the backlog; it ends when that is gone or the connection is.
func (s *session) writeSlowly() {
	for {
		s.mu.Lock()
		b := s.out.take()
		s.countBacklogLocked()
		s.mu.Unlock()
		if b == nil {
			return
		}
		_ = s.wire.SetWriteDeadline(time.Now().Add(writeLimit))
		_, err := s.wire.Write(*b)
		giveBack(b)
		if err != nil {
			s.close(err)
			return
		}
		// A deadline left behind would fail later writes that do not wait.
		_ = s.wire.SetWriteDeadline(time.Time{})
	}
}
