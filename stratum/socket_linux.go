package stratum

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection that the runtime's own poller does not know: a poller of ours does, so that one
// arrival wakes one thread, once, and nobody waits for the next one but the poller. Reads do not block: they
// fail with EAGAIN, and rest says whom to call when there is more. Writes block, and tryWrite does not.
//
// The reader owns Read, rest and patient; one other goroutine may write; any may close and set deadlines.
type socket struct {
	// immutable after takeOut
	poller *poller
	fd     int
	remote netip.AddrPort

	refs    atomic.Int32 // those who use fd, and one until Close
	closed  atomic.Bool
	state   atomic.Int32
	readBy  atomic.Int64 // deadlines in Unix nanoseconds; 0: none
	writeBy atomic.Int64
	waiting atomic.Pointer[waiters]

	// owned by the reader
	dialog   dialog // whom the poller calls
	drained  bool   // nothing is there until the poller says so
	thorough bool   // the end may be there too, which a short read does not show
	waits    bool   // Read waits
}

// What a socket's reader is doing. The poller takes a resting one, and so does who closes it.
const (
	running int32 = iota
	resting
	missed // running, and more has come meanwhile
)

// waiters are told when it is worth trying again.
type waiters struct{ readable, writable chan struct{} }

var (
	_ net.Conn = (*socket)(nil)
	_ trier    = (*socket)(nil)
)

// Read reads what is there. Without anything it fails with EAGAIN, unless patient was called.
func (c *socket) Read(p []byte) (int, error) {
	for {
		n, err := c.tryRead(p)
		if err != unix.EAGAIN || !c.waits { //nolint:errorlint // a system call's own, not wrapped
			return n, err
		}
		if err := c.wait(c.waiting.Load().readable, &c.readBy); err != nil {
			return 0, err
		}
		c.drained = false
	}
}

func (c *socket) tryRead(p []byte) (int, error) {
	if past(c.readBy.Load()) {
		return 0, os.ErrDeadlineExceeded
	}
	if !c.enter() {
		return 0, net.ErrClosed
	}
	if c.drained {
		c.exit()
		return 0, unix.EAGAIN
	}
	n, err := move(unix.SYS_READ, c.fd, p)
	c.exit()
	switch {
	case err == unix.EAGAIN: //nolint:errorlint // as above
		c.drained = true
		return 0, unix.EAGAIN
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	c.drained = n < len(p) && !c.thorough
	return n, nil
}

// patient makes Read wait from now on, as long as the deadline allows.
func (c *socket) patient() {
	c.waiters()
	c.waits, c.drained = true, false
}

// tryWrite writes as much as the kernel takes now.
func (c *socket) tryWrite(p []byte) (int, error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	n, err := move(unix.SYS_WRITE, c.fd, p)
	c.exit()
	if err == unix.EAGAIN { //nolint:errorlint // as above
		return 0, nil
	}
	return n, os.NewSyscallError("write", err)
}

// move is a read or a write. It does not block, so the scheduler need not know; see poller.
func move(call uintptr, fd int, p []byte) (int, error) {
	for {
		n, _, err := unix.RawSyscall(
			call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch err {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, unix.EAGAIN // made once: no allocation
		default:
			return 0, err
		}
	}
}

// Write writes all of p, within the deadline.
func (c *socket) Write(p []byte) (int, error) {
	w := c.waiters()
	for done := 0; ; {
		if past(c.writeBy.Load()) {
			return done, os.ErrDeadlineExceeded
		}
		n, err := c.tryWrite(p[done:])
		if done += n; err != nil || done == len(p) {
			return done, err
		}
		if err := c.wait(w.writable, &c.writeBy); err != nil {
			return done, err
		}
	}
}

// waiters makes the channels that the poller signals, before the try after which they are waited on.
func (c *socket) waiters() *waiters {
	if w := c.waiting.Load(); w != nil {
		return w
	}
	w := &waiters{readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	if !c.waiting.CompareAndSwap(nil, w) {
		return c.waiting.Load()
	}
	return w
}

// wait returns when it is worth trying again.
func (c *socket) wait(ready <-chan struct{}, deadline *atomic.Int64) error {
	by := deadline.Load()
	if by == 0 {
		<-ready // Close and a new deadline signal too
		return nil
	}
	timer := time.NewTimer(time.Until(time.Unix(0, by)))
	defer timer.Stop()
	select {
	case <-ready:
	case <-timer.C:
		if deadline.Load() == by {
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// wake signals who waits. It is called by the poller, and by who changes what a wait depends on.
func (c *socket) wake(readable, writable bool) {
	w := c.waiting.Load()
	if w == nil {
		return
	}
	if readable {
		signal(w.readable)
	}
	if writable {
		signal(w.writable)
	}
}

// rest ends the reader's turn, with the dialog that the poller calls when more has come. Bytes that came
// meanwhile are handled at once.
func (c *socket) rest(d dialog) {
	c.dialog = d
	for !c.state.CompareAndSwap(running, resting) {
		c.state.Store(running) // first, so that nothing is missed from here
		c.drained, c.thorough = false, true
		if !d.poll() {
			c.poller.srv.run(d)
			return
		}
	}
	c.rouse() // closed in between, perhaps
}

// take makes the caller the reader of a socket that rests.
func (c *socket) take() bool { return c.state.CompareAndSwap(resting, running) }

// rouse calls back a reader that rests, if it has to learn that there is no more to read.
func (c *socket) rouse() {
	if (c.closed.Load() || past(c.readBy.Load())) && c.take() {
		c.poller.srv.run(c.dialog)
	}
}

// event is what the poller has heard: the reader is called, or told that it missed something.
func (c *socket) event(mask uint32) {
	const over = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	c.wake(mask&(unix.EPOLLIN|over) != 0, mask&(unix.EPOLLOUT|over) != 0)
	if mask&(unix.EPOLLIN|over) == 0 {
		return
	}
	for !c.take() {
		if c.state.Load() == missed || c.state.CompareAndSwap(running, missed) {
			return
		}
	}
	c.drained, c.thorough = false, mask&over != 0
	if !c.dialog.poll() {
		c.poller.srv.run(c.dialog)
		return
	}
	c.rest(c.dialog)
}

// enter keeps fd open until exit. It is false if the connection is closed.
func (c *socket) enter() bool {
	for {
		n := c.refs.Load()
		if n == 0 || c.closed.Load() {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *socket) exit() {
	if c.refs.Add(-1) == 0 {
		c.poller.forget(c.fd)
		_ = unix.Close(c.fd)
	}
}

// Close ends the connection. Whoever waits for it is told.
func (c *socket) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.exit()
	c.wake(true, true)
	c.rouse()
	return nil
}

// CloseWrite tells the peer that no more will come.
func (c *socket) CloseWrite() error {
	if !c.enter() {
		return net.ErrClosed
	}
	defer c.exit()
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, unix.SHUT_WR))
}

// RemoteAddr is the peer's address.
func (c *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// LocalAddr is not kept: nobody asks a session for it.
func (*socket) LocalAddr() net.Addr { return (*net.TCPAddr)(nil) }

// SetDeadline sets both deadlines.
func (c *socket) SetDeadline(t time.Time) error {
	_ = c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

// SetReadDeadline fails reads from then on. A reader that rests is called back only by a deadline that has
// passed already.
func (c *socket) SetReadDeadline(t time.Time) error {
	c.readBy.Store(deadline(t))
	c.wake(true, false)
	c.rouse()
	return nil
}

// SetWriteDeadline fails writes that wait from then on.
func (c *socket) SetWriteDeadline(t time.Time) error {
	c.writeBy.Store(deadline(t))
	c.wake(false, true)
	return nil
}

func deadline(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func past(deadline int64) bool { return deadline != 0 && deadline <= time.Now().UnixNano() }
