package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// v1Loop serves all connections of Stratum V1 from one goroutine: the generator shares its cores with the
// server, and must cost little. The loop runs from newV1Loop to close.
type v1Loop struct {
	address syscall.SockaddrInet4 // immutable
	poll    int                   // immutable: epoll
	wakes   [2]int                // immutable: a pipe that wakes the loop
	done    sync.WaitGroup
	buf     [64 << 10]byte // owned by the loop's goroutine
	scratch []byte         // owned by whoever holds mu

	mu      sync.Mutex
	conns   []*v1Conn       // guarded by mu
	byFD    map[int]*v1Conn // guarded by mu
	want    int             // guarded by mu: connections to open
	most    int             // guarded by mu: that are opened at one time
	dialing int             // guarded by mu
	ready   int             // guarded by mu: connections that can mine
	tips    int             // guarded by mu: connections that came onto a new tip
	lost    int             // guarded by mu
	why     error           // guarded by mu: the first was lost
	tally   tally           // guarded by mu
	offer   v1Offer         // guarded by mu: what is sent now
	over    bool            // guarded by mu
}

// v1Offer is a stream of shares: open (a rate, whatever comes back) or closed (a depth of unanswered shares
// on each connection). The zero value is none.
type v1Offer struct {
	rate    float64
	begin   time.Time
	sent    int
	depth   int
	counted bool
	late    []time.Duration
}

// newV1Loop starts a loop for a server of this machine.
func newV1Loop(address string) (*v1Loop, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("address %q: IPV4:PORT is accepted", address)
	}
	l := &v1Loop{byFD: map[int]*v1Conn{}}
	l.address = syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	if l.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	if err := syscall.Pipe2(l.wakes[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("making a pipe: %w", err), syscall.Close(l.poll))
	}
	e := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(l.wakes[0])}
	if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, l.wakes[0], &e); err != nil {
		return nil, fmt.Errorf("watching the pipe: %w", err)
	}
	l.done.Go(l.run) // ends with close
	return l, nil
}

// close ends the loop and every connection, without a word and without ports that wait.
func (l *v1Loop) close() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.wake()
	l.done.Wait()
	for _, c := range l.conns {
		if c.fd >= 0 {
			l.drop(c)
		}
	}
	_, _, _ = syscall.Close(l.poll), syscall.Close(l.wakes[0]), syscall.Close(l.wakes[1])
}

func (l *v1Loop) drop(c *v1Conn) {
	_ = syscall.SetsockoptLinger(c.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	_ = syscall.Close(c.fd)
	delete(l.byFD, c.fd)
	c.fd = -1
}

// wake lets the loop look at what it is told to do.
func (l *v1Loop) wake() { _, _ = syscall.Write(l.wakes[1], []byte{0}) }

// run waits for events, and sends what is due, until the loop is closed.
func (l *v1Loop) run() {
	events := make([]syscall.EpollEvent, 512)
	for {
		l.mu.Lock()
		if l.over {
			l.mu.Unlock()
			return
		}
		l.dialLocked()
		wait := l.offerLocked(time.Now())
		l.mu.Unlock()
		n := epollWait(l.poll, events, wait)
		for _, e := range events[:n] {
			l.event(&e)
		}
	}
}

// epollWait waits with the precision that an even rate needs: epoll_wait counts in milliseconds.
func epollWait(poll int, events []syscall.EpollEvent, wait time.Duration) int {
	const epollPwait2 = 441 // the same number on every architecture; Linux 5.11
	ts := syscall.NsecToTimespec(wait.Nanoseconds())
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(poll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	if errno != 0 {
		return 0 // interrupted
	}
	return int(n)
}

func (l *v1Loop) event(e *syscall.EpollEvent) {
	fd := int(e.Fd)
	if fd == l.wakes[0] {
		_, _ = syscall.Read(fd, l.buf[:])
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.byFD[fd]
	if c == nil {
		return
	}
	if e.Events&syscall.EPOLLOUT != 0 {
		if c.connected {
			c.flush()
		} else if err := dialed(fd); err != nil {
			c.fail(err)
		} else {
			l.watch(c, syscall.EPOLLIN)
			c.open()
		}
	}
	if e.Events&^syscall.EPOLLOUT != 0 && c.dead == nil {
		l.readLocked(c)
	}
	if c.dead != nil {
		if c.opened.IsZero() {
			l.dialing--
		}
		l.drop(c)
	}
}

// readLocked reads what there is, and sends at once what it makes room for.
func (l *v1Loop) readLocked(c *v1Conn) {
	n, err := syscall.Read(c.fd, l.buf[:])
	switch {
	case err == syscall.EAGAIN, err == syscall.EINTR:
		return
	case err != nil:
		c.fail(fmt.Errorf("reading: %w", err))
		return
	case n == 0:
		c.fail(io.EOF)
		return
	}
	l.scratch = l.scratch[:0]
	c.feed(l.buf[:n], time.Now())
	if len(l.scratch) > 0 && c.dead == nil {
		c.write(l.scratch)
	}
}

// answered refills a connection of a closed stream.
func (l *v1Loop) answered(c *v1Conn) {
	if o := &l.offer; o.depth > 0 && c.unsure < o.depth {
		l.scratch, _ = c.share(l.scratch, o.sent+o.sent/len(l.conns), o.counted, time.Now())
		o.sent++
	}
}

// watch says which events of a connection matter.
func (l *v1Loop) watch(c *v1Conn, events uint32) {
	e := syscall.EpollEvent{Events: events, Fd: int32(c.fd)}
	if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_MOD, c.fd, &e); err != nil {
		c.fail(fmt.Errorf("watching: %w", err))
	}
}

// dialLocked opens connections as long as more are wanted.
func (l *v1Loop) dialLocked() {
	for len(l.conns) < l.want && l.dialing < l.most && l.why == nil {
		c := &v1Conn{loop: l, name: fmt.Sprintf("c%d", len(l.conns)), began: time.Now(), fd: -1}
		l.conns = append(l.conns, c)
		l.dialing++
		if err := l.dialOne(c); err != nil {
			c.fail(fmt.Errorf("connecting: %w", err))
			l.dialing--
		}
	}
}

func (l *v1Loop) dialOne(c *v1Conn) (err error) {
	const kind = syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC
	if c.fd, err = syscall.Socket(syscall.AF_INET, kind, 0); err != nil {
		return err
	}
	l.byFD[c.fd] = c
	_ = syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err := syscall.Connect(c.fd, &l.address); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return err
	}
	e := syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(c.fd)}
	return syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, c.fd, &e)
}

// dialed is how a connect ended.
func dialed(fd int) error {
	code, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	return nil
}

// offerLocked sends what is due of an open stream, and says how long nothing will be.
func (l *v1Loop) offerLocked(now time.Time) time.Duration {
	const patience = 100 * time.Millisecond
	o := &l.offer
	if o.rate == 0 || len(l.conns) == 0 {
		return patience
	}
	for {
		due := o.begin.Add(time.Duration(float64(o.sent) / o.rate * float64(time.Second)))
		if wait := due.Sub(now); wait > 0 {
			return min(wait, patience)
		}
		if o.counted && o.sent%16 == 0 {
			o.late = append(o.late, now.Sub(due))
		}
		c := l.conns[o.sent%len(l.conns)]
		var ok bool
		// The number decides what is bad; connections take turns in it too.
		if l.scratch, ok = c.share(l.scratch[:0], o.sent+o.sent/len(l.conns), o.counted, now); ok {
			c.write(l.scratch)
		}
		o.sent++
		now = time.Now()
	}
}

// connect adds connections and returns when each can mine, with how long each took.
func (l *v1Loop) connect(ctx context.Context, n, most int) (took []time.Duration, err error) {
	l.mu.Lock()
	base := len(l.conns)
	l.want, l.most = base+n, most
	l.mu.Unlock()
	l.wake()
	deadline := time.Now().Add(answerFor)
	for {
		l.mu.Lock()
		ready, why := l.ready, l.why
		l.mu.Unlock()
		switch {
		case why != nil:
			return nil, fmt.Errorf("opening %d connections: %w", n, why)
		case ready >= base+n:
			return l.openings(base), nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%d of %d connections had a job after %v", ready-base, n, answerFor)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// openings is how long each connection from the n-th on took to its first job.
func (l *v1Loop) openings(n int) (took []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns[n:] {
		took = append(took, c.opened.Sub(c.began))
	}
	return took
}

// start begins a stream; a closed one sends its first shares at once.
func (l *v1Loop) start(o v1Offer) {
	l.mu.Lock()
	o.begin = time.Now()
	l.offer = o
	for range o.depth {
		for _, c := range l.conns {
			var ok bool
			l.scratch, ok = c.share(l.scratch[:0], l.offer.sent+l.offer.sent/len(l.conns), false, time.Now())
			if ok {
				c.write(l.scratch)
			}
			l.offer.sent++
		}
	}
	l.mu.Unlock()
	l.wake()
}

// count lets shares that are sent from now on count, and takes what was seen until now.
func (l *v1Loop) count() (early tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offer.counted = true
	return l.collectLocked()
}

// finish ends the stream, takes what was seen of it, and says how late the generator was.
func (l *v1Loop) finish() (inTime tally, late []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	late = l.offer.late
	l.offer = v1Offer{}
	return l.collectLocked(), late
}

// collect takes what the connections have seen since the last call.
func (l *v1Loop) collect() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.collectLocked()
}

func (l *v1Loop) collectLocked() (t tally) {
	t, l.tally = l.tally, tally{}
	return t
}

// health is an error if the server has ended a connection.
func (l *v1Loop) health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		return fmt.Errorf("server ended %d connections: %w", l.lost, l.why)
	}
	return nil
}
