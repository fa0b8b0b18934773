package governor

import (
	"context"
	"sync"
)

// bell wakes everybody who waits. Its zero value is ready.
type bell struct {
	mu      sync.Mutex
	waiters map[chan struct{}]bool // capacity 1: full means that a wake is on its way
}

// wait returns when ready says so. It asks at once and after every ring.
func (b *bell) wait(ctx context.Context, ready func() bool) error {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	if b.waiters == nil {
		b.waiters = map[chan struct{}]bool{}
	}
	b.waiters[ch] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.waiters, ch)
		b.mu.Unlock()
	}()
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ch:
		}
	}
	return nil
}

// ring wakes all who wait now.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.waiters {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
