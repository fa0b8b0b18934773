package pool

import "sync"

// prefixSpace is how many prefixes one server byte has.
const prefixSpace = 1 << 24

// Prefixes hands out extranonce prefixes of 4 bytes, the server's byte and 24 bits, so
// that no two live channels share a search space (sv2-spec 05 §5.1). It is safe for concurrent use.
type Prefixes struct {
	server byte   // immutable
	space  uint32 // immutable: prefixSpace, less in tests

	mu   sync.Mutex
	next uint32              // guarded by mu
	live map[uint32]struct{} // guarded by mu
}

// NewPrefixes returns the prefixes that start with the server's byte.
func NewPrefixes(server byte) *Prefixes {
	return &Prefixes{server: server, space: prefixSpace, live: map[uint32]struct{}{}}
}

// Take returns a prefix that no live channel has, or false if all are in use. One that
// was released comes back only after all others were handed out, because jobs made
// under it may be valid for a while.
func (p *Prefixes) Take() ([4]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.live) >= int(p.space) {
		return [4]byte{}, false
	}
	for {
		n := p.next
		p.next = (p.next + 1) % p.space
		if _, taken := p.live[n]; !taken {
			p.live[n] = struct{}{}
			return [4]byte{p.server, byte(n >> 16), byte(n >> 8), byte(n)}, true
		}
	}
}

// Release gives a prefix back. It is harmless to release one that is not taken.
func (p *Prefixes) Release(prefix [4]byte) {
	if prefix[0] != p.server {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, uint32(prefix[1])<<16|uint32(prefix[2])<<8|uint32(prefix[3]))
}

// Live is the number of prefixes in use.
func (p *Prefixes) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live)
}
