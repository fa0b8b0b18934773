package service

import (
	"context"
	"slices"

	"github.com/hashlease/hashlease/lease"
)

// Bounds of watching.
const (
	maxWatchers       = 10_000
	maxTenantWatchers = 64
	watchChunk        = 256 // changes that one look takes over
)

// Watcher follows the leases of one tenant, change by change. It is read by one goroutine and
// holds a position only: the changes stay in the service's bounded history, so
// that a slow reader costs nothing and is cut when it falls behind that.
type Watcher struct {
	s      *Service
	tenant lease.TenantID // immutable; empty: everybody's
	uid    lease.UID      // immutable; empty: all of them
	wake   chan struct{}  // capacity 1

	// owned by the reader
	cursor lease.Revision
	next   []*lease.Lease
}

// Watch follows changes after a revision. With revision 0 it begins with the leases as they
// are, by revision. An empty uid means all leases of the tenant, an empty tenant everybody's.
// Close it when done.
func (s *Service) Watch(tenant lease.TenantID, uid lease.UID, after lease.Revision) (*Watcher, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	w := &Watcher{s: s, tenant: tenant, uid: uid, cursor: after, wake: make(chan struct{}, 1)}
	v := &s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	if after > v.revision {
		return nil, ErrFuture
	}
	if v.watching >= maxWatchers || (tenant != "" && len(v.watchers[tenant]) >= maxTenantWatchers) {
		return nil, ErrWatchers
	}
	if after == 0 {
		w.next, w.cursor = v.presentLocked(tenant, uid), v.revision
	} else if v.droppedLocked(tenant) > after {
		return nil, ErrCompacted
	}
	if v.watchers[tenant] == nil {
		v.watchers[tenant] = map[*Watcher]struct{}{}
	}
	v.watchers[tenant][w] = struct{}{}
	v.watching++
	return w, nil
}

// Next is the next change: the lease after it. It waits for one. ErrCompacted means that
// the reader was too slow and has to begin again.
func (w *Watcher) Next(ctx context.Context) (*lease.Lease, error) {
	for {
		if len(w.next) > 0 {
			l := w.next[0]
			w.next = w.next[1:]
			return l, nil
		}
		more, err := w.look()
		if err != nil {
			return nil, err
		}
		if more {
			continue
		}
		select {
		case <-w.wake:
		case <-w.s.stopped:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Cursor is the revision up to which everything was returned by Next.
func (w *Watcher) Cursor() lease.Revision {
	if len(w.next) > 0 {
		return w.next[0].Revision - 1
	}
	return w.cursor
}

// look takes the next changes over from the history. It returns whether there may be more.
func (w *Watcher) look() (bool, error) {
	v := &w.s.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.droppedLocked(w.tenant) > w.cursor {
		return false, ErrCompacted
	}
	h := &v.all
	if w.tenant != "" {
		if h = v.tenants[w.tenant]; h == nil {
			return false, nil
		}
	}
	events := h.after(w.cursor)
	events = events[:min(len(events), watchChunk)]
	if len(events) == 0 {
		return false, nil
	}
	for _, e := range events {
		if e.Lease != nil && (w.uid == "" || e.Lease.UID == w.uid) {
			w.next = append(w.next, e.Lease)
		}
	}
	w.cursor = events[len(events)-1].Revision
	return true, nil
}

// Close ends the watch.
func (w *Watcher) Close() {
	v := &w.s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	ws := v.watchers[w.tenant]
	if _, ok := ws[w]; !ok {
		return
	}
	v.watching--
	if delete(ws, w); len(ws) == 0 {
		delete(v.watchers, w.tenant)
	}
}

// presentLocked are the leases as they are, by their last change.
func (v *view) presentLocked(t lease.TenantID, uid lease.UID) []*lease.Lease {
	var out []*lease.Lease
	for _, p := range v.order[t] {
		if uid == "" || p.uid == uid {
			out = append(out, v.leases[p.uid])
		}
	}
	slices.SortFunc(out, func(x, y *lease.Lease) int { return int(int64(x.Revision) - int64(y.Revision)) })
	return out
}

// droppedLocked is the newest of the tenant's events that is no longer held.
func (v *view) droppedLocked(t lease.TenantID) lease.Revision {
	if t == "" {
		return max(v.floor, v.all.dropped)
	}
	if h := v.tenants[t]; h != nil {
		return max(v.floor, h.dropped)
	}
	return v.floor
}

func wakeAll(ws map[*Watcher]struct{}) {
	for w := range ws {
		select {
		case w.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}
