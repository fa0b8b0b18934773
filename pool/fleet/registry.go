package fleet

import (
	"slices"
	"sync"

	"github.com/hashlease/hashlease/pool"
)

// Registry knows which sessions serve which worker now. A worker may have several
// links: proxies and reconnects overlap.
type Registry struct {
	mu    sync.RWMutex
	links map[pool.WorkerID][]*Link // guarded by mu
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{links: map[pool.WorkerID][]*Link{}} }

// Open ties a worker to a session. wake is called, without blocking, whenever
// the link's Expectation changes.
func (r *Registry) Open(w pool.WorkerID, wake func()) *Link {
	l := &Link{wake: wake}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[w] = append(r.links[w], l)
	return l
}

// Close ends a tie. It is harmless to end it twice.
func (r *Registry) Close(w pool.WorkerID, l *Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ls := r.links[w]
	if i := slices.Index(ls, l); i >= 0 {
		ls = slices.Delete(slices.Clone(ls), i, i+1)
	}
	if len(ls) == 0 {
		delete(r.links, w)
		return
	}
	r.links[w] = ls
}

// Links are the worker's live links, oldest first. The slice must not be changed.
func (r *Registry) Links(w pool.WorkerID) []*Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.links[w]
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
