package pool

import "sync"

// prefixSpace is how many prefixes one server byte has.
const prefixSpace = 1 << 24

// Prefixes hands out extranonce prefixes of 4 bytes, the server's byte and 24 bits, so
// that no two live channels share a search space (sv2-spec 05 §5.1). It is safe for concurrent use.
//
// A prefix that was released may not come back while a job that its channel mined can be sent to
// another one, because the shares of the first would count again for the second.
type Prefixes struct {
	server byte   // immutable
	space  uint32 // immutable: prefixSpace, less in tests

	mu       sync.Mutex
	next     uint32          // guarded by mu
	taken    map[uint32]bool // guarded by mu: in use, or false if released lately
	released [2][]uint32     // guarded by mu: since the last Renew, and since the one before
}

// NewPrefixes returns the prefixes that start with the server's byte.
func NewPrefixes(server byte) *Prefixes {
	return &Prefixes{server: server, space: prefixSpace, taken: map[uint32]bool{}}
}

// Take returns a prefix that no live channel has and no job lives under, or false if there is none.
func (p *Prefixes) Take() ([4]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.taken) >= int(p.space) {
		return [4]byte{}, false
	}
	for {
		n := p.next
		p.next = (p.next + 1) % p.space
		if _, known := p.taken[n]; !known {
			p.taken[n] = true
			return [4]byte{p.server, byte(n >> 16), byte(n >> 8), byte(n)}, true
		}
	}
}

// Release gives a prefix back. It is harmless to release one that is not in use.
func (p *Prefixes) Release(prefix [4]byte) {
	n := uint32(prefix[1])<<16 | uint32(prefix[2])<<8 | uint32(prefix[3])
	p.mu.Lock()
	defer p.mu.Unlock()
	if prefix[0] == p.server && p.taken[n] {
		p.taken[n] = false
		p.released[0] = append(p.released[0], n)
	}
}

// Renew says that no job is sent any more that could be sent at the Renew before: what was released
// before that one may come back.
func (p *Prefixes) Renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.released[1] {
		delete(p.taken, n)
	}
	p.released[1], p.released[0] = p.released[0], nil
}

// Live is the number of prefixes in use.
func (p *Prefixes) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.taken) - len(p.released[0]) - len(p.released[1])
}
