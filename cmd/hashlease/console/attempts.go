package console

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of failed logins. A key has 256 random bits, so that this bounds noise and cost rather
// than luck.
const (
	attemptEvery = 6 * time.Second
	attemptBurst = 5
	maxSources   = 1024 // addresses that are remembered
)

// attempts counts failures by source address. Success costs nothing.
type attempts struct {
	mu      sync.Mutex
	sources map[netip.Addr]*rate.Limiter // guarded by mu
	rest    *rate.Limiter                // shared by addresses beyond the bound
}

func newAttempts() *attempts {
	return &attempts{sources: map[netip.Addr]*rate.Limiter{}, rest: newLimiter()}
}

func newLimiter() *rate.Limiter { return rate.NewLimiter(rate.Every(attemptEvery), attemptBurst) }

// limiter is the one of a source. Those that have recovered are forgotten when room is needed.
func (a *attempts) limiter(source netip.Addr, now time.Time) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.sources[source]; l != nil {
		return l
	}
	if len(a.sources) >= maxSources {
		for s, l := range a.sources {
			if l.TokensAt(now) >= attemptBurst {
				delete(a.sources, s)
			}
		}
	}
	if len(a.sources) >= maxSources {
		return a.rest
	}
	l := newLimiter()
	a.sources[source] = l
	return l
}

// may says whether the source may try now.
func (a *attempts) may(source netip.Addr, now time.Time) bool {
	return a.limiter(source, now).TokensAt(now) >= 1
}

// failed notes a failure.
func (a *attempts) failed(source netip.Addr, now time.Time) { a.limiter(source, now).AllowN(now, 1) }

// sourceOf is the address that a request is counted under: for IPv6 its /64, which one
// customer has whole.
func sourceOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
