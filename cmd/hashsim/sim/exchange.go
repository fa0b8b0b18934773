package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// exchange lets many machines listen on addresses of their own and one port, with one open file: a process
// may have fewer of these than a large site has machines. Connections from anywhere but this computer are
// closed unheard.
type exchange struct {
	ln   net.Listener
	port uint16

	mu    sync.Mutex
	lines map[netip.Addr]*line // guarded by mu
}

// newExchange takes a port and begins to listen.
func newExchange() (*exchange, error) {
	ln, err := net.Listen("tcp4", ":0") //nolint:gosec // who is not on this computer is closed unheard
	if err != nil {
		return nil, fmt.Errorf("listening for the machines' interfaces: %w", err)
	}
	at, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	x := &exchange{ln: ln, port: at.Port(), lines: map[netip.Addr]*line{}}
	go x.serve() // ends with the listener
	return x, nil
}

func (x *exchange) serve() {
	for {
		conn, err := x.ln.Accept()
		if err != nil {
			return
		}
		at, err := netip.ParseAddrPort(conn.LocalAddr().String())
		x.mu.Lock()
		l := x.lines[at.Addr()]
		x.mu.Unlock()
		if err != nil || !at.Addr().IsLoopback() || l == nil {
			_ = conn.Close()
			continue
		}
		select {
		case l.calls <- conn:
		case <-l.done:
			_ = conn.Close()
		}
	}
}

// listen gives the n-th machine its line: 127.x.y.z from 127.1.0.1 on.
func (x *exchange) listen(n int) (net.Listener, error) {
	const most = 1 << 22
	if n < 0 || n >= most {
		return nil, fmt.Errorf("machine %d: up to %d have addresses", n, most)
	}
	n++
	addr := netip.AddrFrom4([4]byte{127, byte(1 + n>>16), byte(n >> 8), byte(n)})
	l := &line{at: netip.AddrPortFrom(addr, x.port), calls: make(chan net.Conn), done: make(chan struct{})}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines[addr] = l
	return l, nil
}

// line is one machine's end of the exchange.
type line struct {
	at    netip.AddrPort
	calls chan net.Conn
	once  sync.Once
	done  chan struct{}
}

var _ net.Listener = (*line)(nil)

// Accept implements net.Listener.
func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *line) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *line) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }
