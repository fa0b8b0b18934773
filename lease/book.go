package lease

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of what may be booked.
const (
	MinDuration = 10 * time.Second
	MaxDuration = 400 * 24 * time.Hour
	Horizon     = 400 * 24 * time.Hour // no slot ends later than this from now
	MaxLate     = 30 * time.Second     // a start this far in the past means now

	MaxWatts unit.Watts = 100e9 // of one lease: its energy over MaxDuration fits an int64
)

// Bounds of what the book holds.
const (
	MaxFire          = 1024 // timers that one Tick fires
	MaxCapacitySteps = 1000 // of one feeder
	maxRiskEvents    = 1000 // leases that one capacity command marks

	requestTTL = 24 * time.Hour      // shortest memory of a request
	requestEnd = 7 * 24 * time.Hour  // and how long past its lease's end
	retention  = 90 * 24 * time.Hour // how long a lease is kept after its last state
)

// Limits bounds what one tenant may hold.
type Limits struct {
	Live     int // leases that are not over
	Retained int // leases in all, with those that are over
	Requests int // remembered requests
}

// DefaultLimits is generous for people and programs, and bounds a key that runs wild.
func DefaultLimits() Limits { return Limits{Live: 10_000, Retained: 50_000, Requests: 100_000} }

// Feeder is what the book knows of a metered branch.
type Feeder struct {
	ID     FeederID
	Site   SiteID
	Notice time.Duration // lead from order to proof
}

// Book is every lease and every feeder's profile. It is owned by one goroutine.
type Book struct {
	limits  Limits
	feeders map[FeederID]*branch
	sites   map[SiteID][]FeederID // ascending

	revision Revision
	high     time.Time // the latest time of an event
	leases   map[UID]*record
	tenants  map[TenantID]*usage
	timers   timerHeap
	requests map[requestKey]Request
	expiry   expiryHeap
}

// branch is one feeder's part of the book.
type branch struct {
	Feeder
	known     bool // configured, not only met in the journal
	profile   profile
	steps     []CapacityStep // by time; the first may be in the past
	basis     string
	measured  time.Duration // notice that was measured; 0: none was
	shortfall *Shortfall    // announced and not over
}

// usage counts what a tenant holds.
type usage struct{ live, retained, requests int }

// NewBook returns an empty book over the feeders. Whatever the journal says of other
// feeders is kept, but they are not sold.
func NewBook(feeders []Feeder, limits Limits) (*Book, error) {
	b := &Book{
		limits:   limits,
		feeders:  map[FeederID]*branch{},
		sites:    map[SiteID][]FeederID{},
		leases:   map[UID]*record{},
		tenants:  map[TenantID]*usage{},
		requests: map[requestKey]Request{},
	}
	for _, f := range feeders {
		if !ValidName(string(f.ID)) || !ValidName(string(f.Site)) {
			return nil, fmt.Errorf("feeder %q of site %q: 1 to %d of a-z 0-9 - _ are accepted",
				f.ID, f.Site, MaxName)
		}
		if f.Notice < 0 || f.Notice > 24*time.Hour {
			return nil, fmt.Errorf("feeder %q: notice %v: 0 to 24 h is accepted", f.ID, f.Notice)
		}
		if b.feeders[f.ID] != nil {
			return nil, fmt.Errorf("feeder %q is there twice", f.ID)
		}
		b.feeders[f.ID] = &branch{Feeder: f, known: true}
		b.sites[f.Site] = append(b.sites[f.Site], f.ID)
	}
	for _, ids := range b.sites {
		slices.Sort(ids)
	}
	return b, nil
}

// Revision is the last event's.
func (b *Book) Revision() Revision { return b.revision }

// High is the latest time that the book has seen: service time never falls below it.
func (b *Book) High() time.Time { return b.high }

// Lease is one lease.
func (b *Book) Lease(uid UID) (*Lease, bool) {
	if r := b.leases[uid]; r != nil {
		return r.lease, true
	}
	return nil, false
}

// Leases are all leases that are kept, oldest first.
func (b *Book) Leases() []*Lease {
	ls := make([]*Lease, 0, len(b.leases))
	for _, r := range b.leases {
		ls = append(ls, r.lease)
	}
	slices.SortFunc(ls, byCreation)
	return ls
}

func byCreation(x, y *Lease) int { return int(int64(x.Created) - int64(y.Created)) }

// Availability calls fn with the watts free on the feeder at start and after every change
// before end, until fn says no. Free is negative where capacity fell below bookings.
func (b *Book) Availability(f FeederID, s Slot, fn func(from time.Time, free unit.Watts) bool) {
	br := b.feeders[f]
	if br == nil {
		return
	}
	br.profile.steps(s.Start.Unix(), s.End.Unix(), func(t, level int64) bool {
		return fn(time.Unix(t, 0).UTC(), unit.Watts(-level))
	})
}

// MeasuredNotice is what was measured that a start on the feeder needs; 0: nothing was.
func (b *Book) MeasuredNotice(f FeederID) time.Duration {
	if br := b.feeders[f]; br != nil {
		return br.measured
	}
	return 0
}

// Capacity is what the feeder can deliver at t, with the basis of that word.
func (b *Book) Capacity(f FeederID, t time.Time) (unit.Watts, string) {
	br := b.feeders[f]
	if br == nil {
		return 0, ""
	}
	return br.capacityAt(t), br.basis
}

// Shortfalls are the feeders that can deliver less than is booked on them.
func (b *Book) Shortfalls() map[FeederID]Shortfall {
	out := map[FeederID]Shortfall{}
	for id, br := range b.feeders {
		if br.shortfall != nil {
			out[id] = *br.shortfall
		}
	}
	return out
}

// NextTimer is when the next lease is due for something.
func (b *Book) NextTimer() (time.Time, bool) {
	if len(b.timers) == 0 {
		return time.Time{}, false
	}
	return b.timers[0].due.at, true
}

// Step decides on a command, applies what follows from it and returns it. On an error, which is
// a *Refusal unless the book itself is broken, nothing has changed.
func (b *Book) Step(c Command, now time.Time) ([]Event, error) {
	s := &step{b: b, now: b.at(now)}
	switch c := c.(type) {
	case Create:
		s.create(c)
	case Cancel:
		s.cancel(c)
	case Amend:
		s.amend(c)
	case SetCapacity:
		s.capacity(c)
	case Tick:
		s.tick(c)
	case Prove:
		s.prove(c)
	case Confirm:
		s.confirm(c)
	case Restart:
		s.restart()
	case Settle:
		s.settle(c)
	default:
		return nil, fmt.Errorf("%T is no command of the book", c)
	}
	s.reassess()
	return s.events, s.err
}

// at is service time by the clock: it never falls below what the book has seen.
func (b *Book) at(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Millisecond)
	if now.Before(b.high) {
		return b.high
	}
	return now
}

// reassess looks again at feeders in shortfall that an event gave room.
func (s *step) reassess() {
	for _, e := range s.events {
		if e.Kind != Moved || (e.Lease.State != Ending && !e.Lease.State.Final()) {
			continue
		}
		if br := s.b.feeders[e.Lease.Feeder]; br.shortfall != nil {
			s.shortfall(br)
		}
	}
}

// step collects what one command does.
type step struct {
	b      *Book
	now    time.Time
	events []Event
	err    error
}

// emit gives the event its place in the order and applies it.
func (s *step) emit(e Event) {
	if s.err != nil {
		return
	}
	e.Revision, e.At = s.b.revision+1, s.now
	if e.Lease != nil {
		e.Lease.Revision = e.Revision
		if e.Kind == Booked {
			e.Lease.Created = e.Revision
		}
	}
	if s.err = s.b.Apply(e); s.err == nil {
		s.events = append(s.events, e)
	}
}

// Apply folds one event in. It trusts the event's content, which Step or a fold made, but
// not its place: an event out of order is refused and changes nothing.
func (b *Book) Apply(e Event) error {
	if e.Revision != b.revision+1 {
		return fmt.Errorf("event %d after %d: %w", e.Revision, b.revision, ErrCorrupt)
	}
	if err := e.check(); err != nil {
		return err
	}
	b.revision = e.Revision
	if e.At.After(b.high) {
		b.high = e.At
	}
	switch e.Kind {
	case Booked, Moved, Amended, Noted, Settled:
		b.put(e.Lease)
	case CapacitySet:
		br := b.branch(e.Feeder)
		br.setCapacity(e.Steps, e.At)
		br.basis, br.measured = e.Basis, e.Notice
	case ShortfallMade:
		b.branch(e.Feeder).shortfall = e.Shortfall
	case ShortfallOver:
		b.branch(e.Feeder).shortfall = nil
	case Marked:
	}
	if e.Request != nil {
		b.remember(*e.Request)
	}
	b.forget(e.At)
	return nil
}

// check says whether the event has what its kind needs.
func (e *Event) check() error {
	switch e.Kind {
	case Booked, Moved, Amended, Noted, Settled:
		if e.Lease == nil || e.Lease.UID == "" {
			return fmt.Errorf("event %d has no lease: %w", e.Revision, ErrCorrupt)
		}
	case CapacitySet:
		if len(e.Steps) == 0 {
			return fmt.Errorf("event %d has no capacity: %w", e.Revision, ErrCorrupt)
		}
	case ShortfallMade:
		if e.Shortfall == nil {
			return fmt.Errorf("event %d has no shortfall: %w", e.Revision, ErrCorrupt)
		}
	case ShortfallOver, Marked:
	default:
		return fmt.Errorf("event %d is of unknown kind %q: %w", e.Revision, e.Kind, ErrCorrupt)
	}
	return nil
}

// branch is the feeder's part, made if only the journal knows it.
func (b *Book) branch(id FeederID) *branch {
	br := b.feeders[id]
	if br == nil {
		br = &branch{Feeder: Feeder{ID: id}}
		b.feeders[id] = br
	}
	return br
}

// record is a lease with its place in the timers.
type record struct {
	lease *Lease
	due   due
	index int // in the heap; -1 if nothing is due
}

// put makes l the lease's value and moves its booking, timer and counts along.
func (b *Book) put(l *Lease) {
	r := b.leases[l.UID]
	u := b.usage(l.Tenant)
	if r == nil {
		r = &record{index: -1, lease: &Lease{State: Cancelled}}
		b.leases[l.UID] = r
		u.retained++
	}
	old := r.lease
	r.lease = l
	if old.State.Final() != l.State.Final() {
		if l.State.Final() {
			u.live--
		} else {
			u.live++
		}
	}
	if os, ns := old.booked(), l.booked(); os != ns {
		p := &b.branch(l.Feeder).profile
		p.addSlot(os.start, os.end, -os.watts)
		p.addSlot(ns.start, ns.end, ns.watts)
	}
	b.retime(r)
	if l.State.Final() && !old.State.Final() {
		heap.Push(&b.expiry, expiry{at: l.EndedAt.Add(retention), uid: l.UID})
	}
}

// rectangle is a booking in the profile's terms.
type rectangle struct{ start, end, watts int64 }

// booked is what the lease takes of its feeder: nothing once it is over.
func (l *Lease) booked() rectangle {
	if l.State.Final() || l.State == 0 {
		return rectangle{}
	}
	return rectangle{l.Slot.Start.Unix(), l.Slot.End.Unix(), int64(l.Watts)}
}

func (b *Book) usage(t TenantID) *usage {
	u := b.tenants[t]
	if u == nil {
		u = &usage{}
		b.tenants[t] = u
	}
	return u
}

// feedersOf are the known feeders of a site, ascending.
func (b *Book) feedersOf(s SiteID) []FeederID { return b.sites[s] }

// branchIDs are all feeders in order.
func (b *Book) branchIDs() []FeederID { return slices.Sorted(maps.Keys(b.feeders)) }

// Len is the number of leases that are kept.
func (b *Book) Len() int { return len(b.leases) }

// Busy says whether any lease is not over.
func (b *Book) Busy() bool {
	for _, u := range b.tenants {
		if u.live > 0 {
			return true
		}
	}
	return false
}
