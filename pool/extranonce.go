package pool

import "sync"

// prefixSpace is how many prefixes one server byte has.
const prefixSpace = 1 << 24

// Prefixes hands out extranonce prefixes of 4 bytes, the server's byte and 24 bits, so
// that no two live channels share a search space (sv2-spec 05 §5.1). It is safe for concurrent use.
//
// A prefix that was released may not come back while a job that its channel mined can be sent to
// another one, because the shares of the first would count again for the second. Only Claim gives it
// back earlier, and says so.
type Prefixes struct {
	server byte   // immutable
	space  uint32 // immutable: prefixSpace, less in tests

	mu       sync.Mutex
	next     uint32                 // guarded by mu
	live     map[uint32]struct{}    // guarded by mu: in use
	released [2]map[uint32]struct{} // guarded by mu: since the last Renew, and since the one before
}

// NewPrefixes returns the prefixes that start with the server's byte.
func NewPrefixes(server byte) *Prefixes {
	return &Prefixes{
		server: server, space: prefixSpace, live: map[uint32]struct{}{},
		released: [2]map[uint32]struct{}{{}, {}},
	}
}

// StartAt lets Take count up from a place of the epoch's own, so that what channels of an earlier
// process may claim is not handed out to others first.
func (p *Prefixes) StartAt(epoch uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = uint32(epoch*40503) << 8 % p.space // the golden ratio: epochs are counted up
}

// Take returns a prefix that no live channel has and no job lives under, or false if there is none.
func (p *Prefixes) Take() ([4]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.live)+len(p.released[0])+len(p.released[1]) >= int(p.space) {
		return [4]byte{}, false
	}
	for {
		n := p.next
		p.next = (p.next + 1) % p.space
		if _, taken := p.live[n]; !taken && !p.restsLocked(n) {
			p.live[n] = struct{}{}
			return [4]byte{p.server, byte(n >> 16), byte(n >> 8), byte(n)}, true
		}
	}
}

// Claim takes a certain prefix for a channel that had it before, unless a live channel has it or it is
// another server's. If used is true, jobs that were mined under it may still live: then only jobs
// made from now on may count for the channel (ChannelConfig.After).
func (p *Prefixes) Claim(prefix [4]byte) (used, ok bool) {
	n := number(prefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.live[n]; taken || prefix[0] != p.server || n >= p.space {
		return false, false
	}
	used = p.restsLocked(n)
	delete(p.released[0], n)
	delete(p.released[1], n)
	p.live[n] = struct{}{}
	return used, true
}

// restsLocked reports whether a prefix was released lately.
func (p *Prefixes) restsLocked(n uint32) bool {
	_, now := p.released[0][n]
	_, before := p.released[1][n]
	return now || before
}

// Release gives a prefix back. It is harmless to release one that is not in use.
func (p *Prefixes) Release(prefix [4]byte) {
	n := number(prefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.live[n]; taken && prefix[0] == p.server {
		delete(p.live, n)
		p.released[0][n] = struct{}{}
	}
}

// number is what a prefix counts.
func number(prefix [4]byte) uint32 {
	return uint32(prefix[1])<<16 | uint32(prefix[2])<<8 | uint32(prefix[3])
}

// Renew says that no job is sent any more that could be sent at the Renew before: what was released
// before that one may come back.
func (p *Prefixes) Renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released[1], p.released[0] = p.released[0], map[uint32]struct{}{}
}

// Live is the number of prefixes in use.
func (p *Prefixes) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live)
}
