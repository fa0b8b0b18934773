package stratum

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// pollEvents is how many connections are looked at between two calls of the kernel.
	pollEvents = 256
	// pollGather is how long arrivals gather under load, so that one wake is for all of them.
	pollGather = time.Millisecond
)

// poller waits for all resting connections at once, on one goroutine.
//
// Its system calls never block, and so are made without telling the runtime's scheduler: in a process that
// is mostly idle each would else wake the scheduler's monitor, which then looks around every 20 µs for
// more than a millisecond. While little comes it waits in the runtime's poller, for the gate: an epoll
// of epolls, because the runtime would be woken by each arrival if it knew the inner one itself.
type poller struct {
	// immutable after newPoller
	srv   *Server
	epoll int
	gate  *os.File
	raw   syscall.RawConn // the gate's
	done  chan struct{}   // closed by stop

	mu    sync.Mutex
	table []*socket // guarded by mu: by descriptor
}

func newPoller(srv *Server) (*poller, error) {
	inner, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	outer, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		_ = unix.Close(inner)
		return nil, fmt.Errorf("making a poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	p := &poller{srv: srv, epoll: inner, done: make(chan struct{})}
	_ = unix.SetNonblock(outer, true) // so that the runtime's poller takes it
	p.gate = os.NewFile(uintptr(outer), "gate")
	if p.raw, err = p.gate.SyscallConn(); err == nil {
		err = control(outer, unix.EPOLL_CTL_ADD, inner, unix.EPOLLONESHOT)
	}
	if err != nil {
		_ = p.gate.Close()
		_ = unix.Close(inner)
		return nil, fmt.Errorf("making a poller: %w", err)
	}
	return p, nil
}

// arm makes the gate open once, at the next event.
func (p *poller) arm(gate uintptr) {
	_ = control(int(gate), unix.EPOLL_CTL_MOD, p.epoll, unix.EPOLLIN|unix.EPOLLONESHOT)
}

// opened says whether the gate has opened.
func (*poller) opened(gate uintptr) bool {
	var e [1]unix.EpollEvent
	return epollNow(int(gate), e[:]) > 0
}

func control(epoll, op, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &e))
}

// epollNow is what has happened, without waiting.
func epollNow(epoll int, events []unix.EpollEvent) int {
	n, _, err := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if err != 0 {
		return 0
	}
	return int(n)
}

// stop ends run.
func (p *poller) stop() {
	close(p.done)
	_ = p.gate.Close()
}

// await returns when there is an event, or after stop.
func (p *poller) await() {
	_ = p.raw.Control(p.arm)
	_ = p.raw.Read(p.opened)
}

// over says that stop was called.
func (p *poller) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// run calls the dialogs of connections that have something to read. It ends with stop.
func (p *poller) run() {
	defer func() { _ = unix.Close(p.epoll) }()
	events := make([]unix.EpollEvent, pollEvents)
	ready := make([]*socket, pollEvents)
	var last time.Time
	for !p.over() {
		n := epollNow(p.epoll, events)
		if n == 0 {
			p.await()
			continue
		}
		now := time.Now()
		p.look(events[:n], ready)
		for i, c := range ready[:n] {
			if c != nil {
				c.event(events[i].Events)
			}
		}
		clear(ready[:n])
		if n < len(events) && now.Sub(last) < 2*pollGather {
			time.Sleep(pollGather)
		}
		last = now
	}
}

// startPoller is the server's poller, which begins with the first connection for it; nil unless Run runs.
func (s *Server) startPoller() *poller {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poller != nil || !s.running {
		return s.poller
	}
	p, err := newPoller(s)
	if err != nil {
		s.log.Debug("no poller: connections cost a goroutine", slog.Any("error", err))
		return nil
	}
	s.poller = p
	s.pollers.Go(p.run) // ends with Run
	return p
}

// stopPoller ends the poller, and is for the end of Run. Connections that rest in it are heard no more,
// but can be written to and closed.
func (s *Server) stopPoller() {
	s.mu.Lock()
	s.running = false
	p := s.poller
	s.poller = nil
	s.mu.Unlock()
	if p != nil {
		p.stop()
	}
	s.pollers.Wait()
}

// look finds the connections of events: nil for one that has been closed.
func (p *poller) look(events []unix.EpollEvent, ready []*socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range events {
		ready[i] = p.table[events[i].Fd]
	}
}

func (p *poller) forget(fd int) {
	p.mu.Lock()
	p.table[fd] = nil
	p.mu.Unlock()
}

// takeOut moves a TCP connection from the runtime's poller to the server's, and closes it there. It
// returns the connection as it was if it cannot be moved. It is called before anybody else has it.
func (s *Server) takeOut(conn net.Conn) net.Conn {
	tcp, plain := conn.(syscall.Conn) // perhaps behind a proxy; one with TLS is none
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !plain || !ok {
		return conn
	}
	p := s.startPoller()
	if p == nil {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &socket{poller: p, fd: -1, remote: remote.AddrPort(), thorough: true}
	c.refs.Store(1)
	if raw.Control(func(fd uintptr) {
		c.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}) != nil || err != nil {
		return conn
	}
	p.mu.Lock()
	for len(p.table) <= c.fd {
		p.table = append(p.table, nil)
	}
	p.table[c.fd] = c
	p.mu.Unlock()
	const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	if control(p.epoll, unix.EPOLL_CTL_ADD, c.fd, events) != nil {
		c.exit()
		return conn
	}
	_ = conn.Close()
	return c
}
