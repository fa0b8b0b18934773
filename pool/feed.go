package pool

import (
	"sync"
	"sync/atomic"
)

// Feed hands the newest round to all sessions. It is safe for concurrent use. Rounds in
// between may be missed; the newest never is.
type Feed struct {
	current atomic.Pointer[Round]

	mu   sync.Mutex
	subs map[chan struct{}]struct{} // guarded by mu
}

// NewFeed returns a feed without a round.
func NewFeed() *Feed { return &Feed{subs: map[chan struct{}]struct{}{}} }

// Publish makes r the current round and wakes every subscriber that is not
// awake already. It never blocks.
func (f *Feed) Publish(r *Round) {
	f.current.Store(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	for wake := range f.subs {
		select {
		case wake <- struct{}{}:
		default: // a wake is pending; its receiver will see this round
		}
	}
}

// Current is the newest round, nil before the first.
func (f *Feed) Current() *Round { return f.current.Load() }

// Subscribe returns a channel that carries a wake whenever there may be a newer
// round, and once at the start if there is a round. It is never closed; cancel
// ends the wakes and may be called more than once.
func (f *Feed) Subscribe() (wake <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[c] = struct{}{}
	if f.current.Load() != nil {
		c <- struct{}{}
	}
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, c)
	}
}
