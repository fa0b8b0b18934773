package load

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// receiver is who gets what comes on a connection, whatever is spoken on it. Its methods are called by one
// goroutine for all connections, so they must not wait.
type receiver interface {
	// receive takes bytes, which are lent, and when they came. An error ends the connection.
	receive(b []byte, came time.Time) error
	// ended says why nothing more will come. It is not called for a connection that was closed here.
	ended(err error)
}

// Bounds of what is read before any of it is looked at.
const (
	gatherEvents = 1024
	gatherFew    = 8 // connections that are ready at a time: no burst
	gatherBytes  = 1 << 20
	gatherRead   = 16 << 10 // by one read
)

// gatherer reads many connections on one goroutine. The load shares its cores with the server: a goroutine
// a connection would cost a wake each, as much as the server's own work. Their descriptors are taken out
// of Go's poller into an epoll instance of its own.
//
// What came is stamped when it was read. In a burst it is looked at only when no more comes: ten thousand
// clients elsewhere would not keep each other waiting with their cryptography either.
type gatherer struct {
	fd      int      // of the epoll instance
	epoll   *os.File // the same in Go's poller: to wait on a thread of its own would cost more
	ready   syscall.RawConn
	running sync.WaitGroup

	mu      sync.Mutex
	sockets map[int32]*socket // guarded by mu
	last    int32             // guarded by mu: id, never used again

	// owned by run
	arena    []byte
	used     int // of arena
	arrivals []arrival
}

// arrival is what one read gave.
type arrival struct {
	from  *socket
	bytes []byte
	came  time.Time
	err   error
}

// socket is a connection that a gatherer reads.
type socket struct {
	g    *gatherer
	id   int32
	to   receiver
	over bool // owned by run: ended was called

	mu sync.Mutex
	fd int // guarded by mu: -1 when closed
}

// newGatherer starts one. It runs until close.
func newGatherer() (*gatherer, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll instance: %w", err)
	}
	_ = syscall.SetNonblock(fd, true) // so that Go's poller takes it; it cannot fail on an open one
	g := &gatherer{
		fd: fd, epoll: os.NewFile(uintptr(fd), "epoll"), sockets: map[int32]*socket{},
		arena: make([]byte, gatherBytes),
	}
	if g.ready, err = g.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for an epoll instance: %w", err), g.epoll.Close())
	}
	g.running.Go(g.run) // ends with close
	return g, nil
}

// close ends the goroutine. Connections that are still open are cut.
func (g *gatherer) close() {
	_ = g.epoll.Close()
	g.running.Wait()
	g.mu.Lock()
	rest := slices.Collect(maps.Values(g.sockets))
	g.mu.Unlock()
	for _, s := range rest {
		s.cut()
	}
}

func (g *gatherer) watch(fd int, id int32) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: id}
	if err := syscall.EpollCtl(g.fd, syscall.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("watching a connection: %w", err)
	}
	return nil
}

// add takes a connection over: what comes goes to the receiver, conn itself is closed.
func (g *gatherer) add(conn net.Conn, to receiver) (*socket, error) {
	fd, err := descriptor(conn)
	if err != nil {
		return nil, fmt.Errorf("taking a connection over: %w", err)
	}
	_ = conn.Close() // leaves Go's poller; the connection lives on under the other descriptor
	g.mu.Lock()
	g.last++
	s := &socket{g: g, id: g.last, to: to, fd: fd}
	g.sockets[s.id] = s
	g.mu.Unlock()
	if err := g.watch(fd, s.id); err != nil {
		s.cut()
		return nil, err
	}
	return s, nil
}

// descriptor is another descriptor of a connection.
func descriptor(conn net.Conn) (fd int, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	outer := raw.Control(func(old uintptr) {
		syscall.ForkLock.RLock() // lest a process that is being started gets it too
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(old)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return fd, errors.Join(outer, err)
}

// run reads what there is, then hands it on, until close.
func (g *gatherer) run() {
	events := make([]syscall.EpollEvent, gatherEvents)
	n := 0
	look := func(fd uintptr) bool {
		n, _ = syscall.EpollWait(int(fd), events, 0) // interrupted: it is asked again
		return n != 0
	}
	for {
		if g.ready.Read(look) != nil {
			return // closed
		}
		for n > 0 {
			for _, e := range events[:n] {
				g.read(e.Fd)
			}
			if n < gatherFew {
				break
			}
			look(uintptr(g.fd))
		}
		g.deliver()
	}
}

// read reads one connection once, and stamps what came.
func (g *gatherer) read(id int32) {
	g.mu.Lock()
	s := g.sockets[id]
	g.mu.Unlock()
	if s == nil {
		return
	}
	if g.used+gatherRead > len(g.arena) {
		g.deliver()
	}
	room := g.arena[g.used : g.used+gatherRead]
	s.mu.Lock()
	if s.fd < 0 {
		s.mu.Unlock()
		return
	}
	n, err := syscall.Read(s.fd, room)
	s.mu.Unlock()
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return
	case err != nil:
		n = 0
	case n == 0:
		err = io.EOF
	}
	g.arrivals = append(g.arrivals, arrival{from: s, bytes: room[:n], came: time.Now(), err: err})
	g.used += n
	if err != nil {
		s.close(false) // it would be ready for ever
	}
}

// deliver hands on what was read.
func (g *gatherer) deliver() {
	for i := range g.arrivals {
		a := &g.arrivals[i]
		if a.from.over {
			continue
		}
		err := a.err
		if len(a.bytes) > 0 {
			err = a.from.to.receive(a.bytes, a.came)
		}
		if err != nil {
			a.from.over = true
			a.from.close(false)
			a.from.to.ended(err)
		}
	}
	clear(g.arrivals)
	g.arrivals, g.used = g.arrivals[:0], 0
}

// Write sends all of b.
func (s *socket) Write(b []byte) (int, error) {
	for sent, until := 0, time.Now().Add(answerFor); ; {
		n, err := s.try(b[sent:])
		sent += max(0, n)
		switch {
		case sent == len(b):
			return sent, nil
		case err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			return sent, err
		case time.Now().After(until):
			return sent, errors.New("server does not read")
		}
		time.Sleep(time.Millisecond) // a share that finds no room is rare
	}
}

func (s *socket) try(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return 0, net.ErrClosed
	}
	return syscall.Write(s.fd, b)
}

// cut ends the connection as a power cut would: without a word, and without a port that waits.
func (s *socket) cut() { s.close(true) }

func (s *socket) close(abruptly bool) {
	s.g.mu.Lock()
	delete(s.g.sockets, s.id)
	s.g.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return
	}
	if abruptly {
		_ = syscall.SetsockoptLinger(s.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	_ = syscall.Close(s.fd) // leaves the epoll instance, too
	s.fd = -1
}
