package node

import (
	"context"
	"sync"

	"github.com/hashlease/hashlease/pool"
)

// board holds the newest template, or the reason why there is none, for any
// number of readers. The newest wins: a slow reader skips what it missed.
type board struct {
	// guarded by mu
	mu       sync.Mutex
	template *pool.Template
	err      error
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

// set replaces what readers get. Exactly one of t and err is not nil.
func (b *board) set(t *pool.Template, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.template, b.err = t, err
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// get is the newest template, or the reason why there is none.
// Both are nil before the first set.
func (b *board) get() (*pool.Template, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.template, b.err
}

// next waits for a template other than after, or for an error.
func (b *board) next(ctx context.Context, after *pool.Template) (*pool.Template, error) {
	for {
		b.mu.Lock()
		t, err := b.template, b.err
		if err != nil || (t != nil && t != after) {
			b.mu.Unlock()
			return t, err
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
