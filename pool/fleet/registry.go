package fleet

import (
	"sync"
	"sync/atomic"

	"github.com/hashlease/hashlease/pool"
)

// Registry knows which sessions serve which worker now. A worker may have several
// links: proxies and reconnects overlap.
type Registry struct {
	mu    sync.RWMutex
	links map[pool.WorkerID]*ties // guarded by mu

	changes atomic.Uint64 // links opened and closed
}

// ties are one worker's links. A peer may tie ten thousand channels to one worker, so neither a new
// link nor the end of one looks at the others.
type ties struct {
	all  []*Link // by age, nil where one has ended; a Link knows its place
	dead int     // of all
	live []*Link // what is left, never changed; nil if it has to be made anew
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{links: map[pool.WorkerID]*ties{}} }

// Open ties a worker to a session. wake is called, without blocking, whenever
// the link's Expectation changes.
func (r *Registry) Open(w pool.WorkerID, wake func()) *Link {
	l := &Link{wake: wake}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.links[w]
	if t == nil {
		t = &ties{}
		r.links[w] = t
	}
	l.place, t.live = len(t.all), nil
	t.all = append(t.all, l)
	r.changes.Add(1)
	return l
}

// Close ends a tie. It is harmless to end it twice.
func (r *Registry) Close(w pool.WorkerID, l *Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.links[w]
	if t == nil || l.place >= len(t.all) || t.all[l.place] != l {
		return
	}
	t.all[l.place], t.live = nil, nil
	t.dead++
	r.changes.Add(1)
	switch {
	case t.dead == len(t.all):
		delete(r.links, w)
	case 2*t.dead > len(t.all):
		t.all, t.dead = t.rest(), 0
		for i, l := range t.all {
			l.place = i
		}
	}
}

// Changes counts the links that were opened and closed. While it stays, so does what Links returns; it
// is to be read before them.
func (r *Registry) Changes() uint64 { return r.changes.Load() }

// rest is a copy of what has not ended.
func (t *ties) rest() []*Link {
	rest := make([]*Link, 0, len(t.all)-t.dead)
	for _, l := range t.all {
		if l != nil {
			rest = append(rest, l)
		}
	}
	return rest
}

// Links are the worker's live links, oldest first. The slice must not be changed.
func (r *Registry) Links(w pool.WorkerID) []*Link {
	r.mu.RLock()
	t := r.links[w]
	if t == nil || t.live != nil {
		defer r.mu.RUnlock()
		if t == nil {
			return nil
		}
		return t.live
	}
	r.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if t = r.links[w]; t == nil {
		return nil
	}
	if t.live == nil {
		t.live = t.rest()
	}
	return t.live
}

// Workers are all workers with a live link, in no order.
func (r *Registry) Workers() []pool.WorkerID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ws := make([]pool.WorkerID, 0, len(r.links))
	for w := range r.links {
		ws = append(ws, w)
	}
	return ws
}
