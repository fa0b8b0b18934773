package service

import (
	"slices"
	"sync"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of what is remembered of the past in memory.
const (
	historyAll    = 65_536 // events, for the operator
	historyTenant = 4_096  // lease events of one tenant, so that no tenant pushes out another's
)

// view is the durable state as readers see it: it moves only after an append. Leases and
// events in it are immutable, so that readers hold the lock for moments.
type view struct {
	mu       sync.RWMutex
	revision lease.Revision // guarded by mu, as is everything below
	leases   map[lease.UID]*lease.Lease
	order    map[lease.TenantID][]place // by creation; "" holds everybody's
	claims   map[lease.UID]*lease.Lease // whose watts mining must leave free
	owed     map[lease.UID]*lease.Lease // whose charge is not in the ledger
	live     int
	capacity map[lease.FeederID]capacity
	short    map[lease.FeederID]lease.Shortfall
	all      history
	tenants  map[lease.TenantID]*history
	floor    lease.Revision // events up to here are in no history
	watchers map[lease.TenantID]map[*Watcher]struct{}
	watching int
}

// place is a lease in the order of creation.
type place struct {
	created lease.Revision
	uid     lease.UID
}

// capacity is the newest word about a feeder.
type capacity struct {
	steps []lease.CapacityStep
	basis string
	// notice is what was measured that a start needs; 0: nothing was.
	notice time.Duration
}

func (c capacity) at(t time.Time) unit.Watts {
	var w unit.Watts
	for _, s := range c.steps {
		if s.From.After(t) {
			break
		}
		w = s.Watts
	}
	return w
}

// history is the newest events, at least bound of them once there were so many.
type history struct {
	events  []*lease.Event
	dropped lease.Revision // the newest event that is gone
}

func (h *history) add(e *lease.Event, bound int) {
	h.events = append(h.events, e)
	if len(h.events) >= 2*bound {
		h.dropped = h.events[len(h.events)-bound-1].Revision
		h.events = append([]*lease.Event(nil), h.events[len(h.events)-bound:]...)
	}
}

// after are the events past a revision.
func (h *history) after(r lease.Revision) []*lease.Event {
	i, _ := slices.BinarySearchFunc(h.events, r+1, func(e *lease.Event, r lease.Revision) int {
		return int(int64(e.Revision) - int64(r))
	})
	return h.events[i:]
}

// fill makes the view the one of a book whose events since floor are given; watchers stay.
func (v *view) fill(b *lease.Book, floor lease.Revision, events []*lease.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leases, v.order = map[lease.UID]*lease.Lease{}, map[lease.TenantID][]place{}
	v.claims, v.owed = map[lease.UID]*lease.Lease{}, map[lease.UID]*lease.Lease{}
	v.capacity = map[lease.FeederID]capacity{}
	v.all, v.tenants = history{}, map[lease.TenantID]*history{}
	v.floor, v.live = floor, 0
	for _, l := range b.Leases() {
		v.putLocked(l)
	}
	for _, e := range events {
		v.recordLocked(e)
	}
	v.capacity, v.short = capacities(b), b.Shortfalls()
	v.revision = b.Revision()
	if v.watchers == nil {
		v.watchers = map[lease.TenantID]map[*Watcher]struct{}{}
	}
	for _, ws := range v.watchers {
		wakeAll(ws)
	}
}

func capacities(b *lease.Book) map[lease.FeederID]capacity {
	out := map[lease.FeederID]capacity{}
	for id, steps := range b.Capacities() {
		out[id] = capacity{steps: steps.Steps, basis: steps.Basis, notice: steps.Notice}
	}
	return out
}

// publish takes durable events in and wakes whom they concern.
func (v *view) publish(events []lease.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	touched := map[lease.TenantID]bool{}
	for i := range events {
		e := &events[i]
		v.revision = e.Revision
		if e.Lease != nil {
			v.putLocked(e.Lease)
			touched[e.Lease.Tenant] = true
		}
		switch e.Kind {
		case lease.CapacitySet:
			v.capacity[e.Feeder] = capacity{steps: e.Steps, basis: e.Basis, notice: e.Notice}
		case lease.ShortfallMade:
			v.short[e.Feeder] = *e.Shortfall
		case lease.ShortfallOver:
			delete(v.short, e.Feeder)
		default:
		}
		v.recordLocked(e)
	}
	for t := range touched {
		wakeAll(v.watchers[t])
	}
	if len(touched) > 0 {
		wakeAll(v.watchers[""])
	}
}

func (v *view) putLocked(l *lease.Lease) {
	old := v.leases[l.UID]
	if old == nil {
		p := place{l.Created, l.UID}
		v.order[l.Tenant] = append(v.order[l.Tenant], p)
		v.order[""] = append(v.order[""], p)
	}
	if old != nil && !old.State.Final() {
		v.live--
	}
	if !l.State.Final() {
		v.live++
	}
	v.leases[l.UID] = l
	keep(v.claims, l, l.Claims())
	keep(v.owed, l, l.Owes())
}

func keep(m map[lease.UID]*lease.Lease, l *lease.Lease, in bool) {
	if in {
		m[l.UID] = l
	} else {
		delete(m, l.UID)
	}
}

func (v *view) recordLocked(e *lease.Event) {
	if e.Kind == lease.Marked {
		return
	}
	v.all.add(e, historyAll)
	if e.Lease == nil {
		return
	}
	h := v.tenants[e.Lease.Tenant]
	if h == nil {
		h = &history{}
		v.tenants[e.Lease.Tenant] = h
	}
	h.add(e, historyTenant)
}

// drop forgets leases that the book has forgotten.
func (v *view) drop(known func(lease.UID) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for uid := range v.leases {
		if !known(uid) {
			delete(v.leases, uid)
		}
	}
	for t, ps := range v.order {
		ps = slices.DeleteFunc(ps, func(p place) bool { return v.leases[p.uid] == nil })
		if len(ps) == 0 {
			delete(v.order, t)
			delete(v.tenants, t)
			continue
		}
		v.order[t] = ps
	}
}

// lease is one lease of the tenant, or of anybody for the operator.
func (v *view) lease(t lease.TenantID, uid lease.UID) (*lease.Lease, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	l := v.leases[uid]
	if l == nil || (t != "" && l.Tenant != t) {
		return nil, false
	}
	return l, true
}

// list is up to n leases created before the given revision (0: any), newest first.
func (v *view) list(t lease.TenantID, before lease.Revision, n int) []*lease.Lease {
	v.mu.RLock()
	defer v.mu.RUnlock()
	ps := v.order[t]
	i := len(ps)
	if before > 0 {
		i, _ = slices.BinarySearchFunc(ps, before, func(p place, r lease.Revision) int {
			return int(int64(p.created) - int64(r))
		})
	}
	var out []*lease.Lease
	for i--; i >= 0 && len(out) < n; i-- {
		out = append(out, v.leases[ps[i].uid])
	}
	return out
}

// pick copies the values of one of the view's maps, in the order of creation.
func (v *view) pick(of func(*view) map[lease.UID]*lease.Lease) []*lease.Lease {
	v.mu.RLock()
	m := of(v)
	out := make([]*lease.Lease, 0, len(m))
	for _, l := range m {
		out = append(out, l)
	}
	v.mu.RUnlock()
	slices.SortFunc(out, func(x, y *lease.Lease) int { return int(int64(x.Created) - int64(y.Created)) })
	return out
}
