package stratum

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// source is what one address is doing. A whole site may share one behind NAT, so the bounds are those of a
// site that comes back at once.
type source struct {
	live       int    // connections
	greeting   int    // of these, without a session yet
	handshakes bucket // connections that were accepted
	opens      bucket // requests for channels
	garbled    bucket // lines that were no requests
}

// sources counts by address. It forgets an address that has no connection once its buckets are full.
type sources struct {
	mu    sync.Mutex
	all   map[netip.Prefix]*source // guarded by mu
	sweep int                      // guarded by mu: how many to have before those to forget are looked for
}

const sweepFrom = 1024

func newSources() *sources {
	return &sources{all: map[netip.Prefix]*source{}, sweep: sweepFrom}
}

// enter counts a new connection, unless its address has as many as it may.
func (a *sources) enter(from netip.Prefix, cfg *Config, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[from]
	if s == nil {
		a.forgetLocked(cfg, now)
		s = &source{}
		a.all[from] = s
	}
	if s.live >= cfg.MaxPerAddress || s.greeting >= cfg.MaxHandshakes ||
		!s.handshakes.take(cfg.HandshakeRate, float64(cfg.HandshakeBurst), now) {
		return false
	}
	s.live++
	s.greeting++
	return true
}

// greeted notes that a handshake is over, well or not.
func (a *sources) greeted(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.all[from]; s != nil {
		s.greeting--
	}
}

// leave notes the end of a connection.
func (a *sources) leave(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.all[from]; s != nil {
		s.live--
	}
}

// opened counts a request for a channel and says how long the next one has to wait.
func (a *sources) opened(from netip.Prefix, cfg *Config, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[from]
	if s == nil {
		return 0 // of a session that no listener made
	}
	return s.opens.spend(cfg.OpenRate, float64(cfg.OpenBurst), now)
}

// Lines of an address that may be no requests, over all of its connections: beyond, each such line ends its
// connection.
const (
	garbledRate  = 10.0 // a second
	garbledBurst = 1000
)

// garbled counts a line that was no request, and is false if there are too many.
func (a *sources) garbled(from netip.Prefix, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[from]
	return s == nil || s.garbled.take(garbledRate, garbledBurst, now)
}

// forgetLocked drops addresses that owe nothing when there are many. With more than there may be
// connections, it drops all without one: they would be as many as an attacker has addresses.
func (a *sources) forgetLocked(cfg *Config, now time.Time) {
	if len(a.all) < a.sweep {
		return
	}
	crowded := len(a.all) > 2*cfg.MaxSessions
	for from, s := range a.all {
		s.handshakes.refill(cfg.HandshakeRate, now)
		s.opens.refill(cfg.OpenRate, now)
		if s.live == 0 && (crowded || s.handshakes.spent <= 0 && s.opens.spent <= 0) {
			delete(a.all, from)
		}
	}
	a.sweep = max(sweepFrom, 2*len(a.all))
}

// sourceOf is who a connection counts for: an address, or for IPv6 the network of 64 bits that any
// one host may have.
func sourceOf(conn net.Conn) netip.Prefix {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{} // not the internet: all of them are one
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the number of bits is right for the address
	return p
}

// turns hands out the right to compute a handshake. Addresses take turns, so that a storm from one does not
// keep another one waiting; within an address who came first is first.
type turns struct {
	mu      sync.Mutex
	free    int                              // guarded by mu
	waiting map[netip.Prefix][]chan struct{} // guarded by mu: none is empty
	order   []netip.Prefix                   // guarded by mu: each address of waiting once
	long    int                              // guarded by mu: all of waiting
}

func newTurns(n int) *turns {
	return &turns{free: n, waiting: map[netip.Prefix][]chan struct{}{}}
}

// take waits for a turn. It is false if over is closed first.
func (t *turns) take(from netip.Prefix, over <-chan struct{}) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return true
	}
	t.long++
	mine := make(chan struct{}) // closed by whoever gives its turn
	line := t.waiting[from]
	if line == nil {
		t.order = append(t.order, from)
	}
	t.waiting[from] = append(line, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-over:
		return false // the server has ended: nobody waits for the turn that may be given to it
	}
}

// give ends a turn and begins the next.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		t.free++
		return
	}
	from := t.order[0]
	t.order = t.order[1:]
	line := t.waiting[from]
	t.long--
	close(line[0])
	if line[0] = nil; len(line) > 1 {
		t.waiting[from] = line[1:]
		t.order = append(t.order, from)
		return
	}
	delete(t.waiting, from)
}

// line is how many wait.
func (t *turns) line() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.long
}
