package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/unit"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

var yard = []lease.Feeder{
	{ID: "north", Site: "yard", Notice: 20 * time.Second},
	{ID: "south", Site: "yard", Notice: 30 * time.Second},
}

func newBook(t interface{ Fatal(...any) }, limits lease.Limits) *lease.Book {
	b, err := lease.NewBook(yard, limits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// model is a book with the record of everything it did, and what brute force says of it.
type model struct {
	book   *lease.Book
	now    time.Time
	events []lease.Event
	steps  map[lease.FeederID]map[int64]int64 // capacity by second, from then on
	uids   []lease.UID
	n      int
}

func newModel(t *rapid.T) *model {
	m := &model{book: newBook(t, lease.Limits{Live: 8, Retained: 200, Requests: 200}), now: t0}
	m.steps = map[lease.FeederID]map[int64]int64{}
	for _, f := range yard {
		m.capacity(t, f.ID, 0, 100)
	}
	return m
}

func (m *model) step(t *rapid.T, c lease.Command) error {
	before := m.book.Revision()
	events, err := m.book.Step(c, m.now)
	if err != nil {
		if _, ok := errors.AsType[*lease.Refusal](err); !ok {
			t.Fatalf("%T: %v", c, err)
		}
		if len(events) > 0 || m.book.Revision() != before {
			t.Fatalf("%T was refused (%v) and changed the book", c, err)
		}
	}
	m.events = append(m.events, events...)
	return err
}

func (m *model) capacity(t *rapid.T, f lease.FeederID, in int, w unit.Watts) {
	from := m.now.Truncate(time.Second).Add(time.Duration(in) * time.Second)
	if m.step(t, lease.SetCapacity{Feeder: f, Steps: []lease.CapacityStep{{From: from, Watts: w}}}) != nil {
		return
	}
	if m.steps[f] == nil {
		m.steps[f] = map[int64]int64{}
	}
	for at := range m.steps[f] {
		if at >= from.Unix() {
			delete(m.steps[f], at)
		}
	}
	m.steps[f][from.Unix()] = int64(w)
}

func (m *model) capacityAt(f lease.FeederID, sec int64) (w int64) {
	best := int64(-1)
	for at, watts := range m.steps[f] {
		if at <= sec && at > best {
			best, w = at, watts
		}
	}
	return w
}

// load is the watts booked on a feeder by second, from now on.
func (m *model) load(f lease.FeederID) map[int64]int64 {
	load := map[int64]int64{}
	for _, l := range m.book.Leases() {
		if l.Feeder != f || l.State.Final() {
			continue
		}
		for sec := max(l.Slot.Start.Unix(), m.now.Unix()); sec < l.Slot.End.Unix(); sec++ {
			load[sec] += int64(l.Watts)
		}
	}
	return load
}

// fits is admission by brute force, second by second.
func (m *model) fits(f lease.FeederID, s lease.Slot, w unit.Watts) bool {
	load := m.load(f)
	for sec := s.Start.Unix(); sec < s.End.Unix(); sec++ {
		if load[sec]+int64(w) > m.capacityAt(f, sec) {
			return false
		}
	}
	return true
}

// create books at random and compares the decision with brute force.
func (m *model) create(t *rapid.T) {
	start := m.now.Truncate(time.Second).Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "in")) * time.Second)
	d := time.Duration(rapid.IntRange(10, 60).Draw(t, "len")) * time.Second
	slot := lease.Slot{Start: start, End: start.Add(d)}
	m.n++
	c := lease.Create{
		UID:    lease.UID(fmt.Sprintf("l%d", m.n)),
		Tenant: rapid.SampledFrom([]lease.TenantID{"a", "b"}).Draw(t, "tenant"),
		Site:   "yard", Watts: unit.Watts(rapid.IntRange(1, 120).Draw(t, "w")),
		Start: slot.Start, End: slot.End, Price: 50_000,
		Feeder: rapid.SampledFrom([]lease.FeederID{"", "north", "south"}).Draw(t, "feeder"),
	}
	if rapid.Bool().Draw(t, "with id") {
		c.RequestID = fmt.Sprintf("r%d", m.n)
	}
	any := false
	for _, f := range yard {
		any = any || (c.Feeder == "" || c.Feeder == f.ID) && m.fits(f.ID, slot, c.Watts)
	}
	err := m.step(t, c)
	var r *lease.Refusal
	switch {
	case err == nil && !any:
		t.Fatalf("%+v was booked and does not fit", c)
	case errors.As(err, &r) && r.Kind == lease.NoCapacity && any:
		t.Fatalf("%+v fits and was refused: %v", c, err)
	case errors.As(err, &r) && r.Kind == lease.NoCapacity:
		m.checkRefusal(t, c, slot, r)
	}
	if err != nil {
		return
	}
	m.uids = append(m.uids, c.UID)
	if c.RequestID != "" {
		again := c
		again.UID += "x"
		if err := m.step(t, again); err != nil {
			t.Fatalf("repeat: %v", err)
		}
		if l, ok := m.book.Answer(again); !ok || l.UID != c.UID {
			t.Fatalf("repeat of %s answered %v", c.UID, l)
		}
	}
}

// amend changes a lease at random and compares the decision with brute force over everybody else's.
func (m *model) amend(t *rapid.T) {
	c := lease.Amend{UID: m.anyLease(t), Watts: unit.Watts(rapid.IntRange(0, 120).Draw(t, "w"))}
	old, ok := m.book.Lease(c.UID)
	if !ok {
		return
	}
	second := func(name string, from time.Time) time.Time {
		if rapid.Bool().Draw(t, "keep "+name) {
			return time.Time{}
		}
		return from.Add(time.Duration(rapid.IntRange(-30, 40).Draw(t, name)) * time.Second)
	}
	c.Start, c.End = second("start", old.Slot.Start), second("end", old.Slot.End)
	want := *old
	if c.Watts > 0 {
		want.Watts = c.Watts
	}
	if !c.Start.IsZero() {
		want.Slot.Start = c.Start
	}
	if !c.End.IsZero() {
		want.Slot.End = c.End
	}
	fits := m.fitsInstead(old, &want)
	err := m.step(t, c)
	got, _ := m.book.Lease(c.UID)
	var r *lease.Refusal
	switch {
	case err == nil && !fits:
		t.Fatalf("%+v of %+v was done and does not fit", c, old)
	case errors.As(err, &r) && r.Kind == lease.NoCapacity && fits:
		t.Fatalf("%+v of %+v fits and was refused: %v", c, old, err)
	case err == nil && (got.Watts != want.Watts || got.Slot != want.Slot || got.Feeder != old.Feeder):
		t.Fatalf("%+v of %+v made %+v", c, old, got)
	case err == nil && got.EnergyBound()-old.EnergyBound() != m.ahead(got)-m.ahead(old):
		t.Fatalf("%+v of %+v promises %d J, not %d", c, old, got.EnergyBound(), old.EnergyBound())
	}
}

// ahead is the energy that a lease promises from the running second on.
func (m *model) ahead(l *lease.Lease) unit.Joules {
	return l.Watts.Over(max(0, l.Slot.End.Unix()-max(l.Slot.Start.Unix(), m.now.Unix())))
}

// fitsInstead says by brute force whether the feeder delivers what the new lease asks for beyond the old one.
func (m *model) fitsInstead(old, l *lease.Lease) bool {
	load := m.load(old.Feeder)
	shrinks := l.Watts <= old.Watts && !l.Slot.End.After(old.Slot.End)
	for sec := max(l.Slot.Start.Unix(), m.now.Unix()); sec < l.Slot.End.Unix(); sec++ {
		held := int64(0)
		if sec >= old.Slot.Start.Unix() && sec < old.Slot.End.Unix() {
			held = int64(old.Watts)
		}
		shrinks = shrinks && held > 0
		if load[sec]-held+int64(l.Watts) > m.capacityAt(old.Feeder, sec) && !shrinks {
			return false
		}
	}
	return true
}

func (m *model) checkRefusal(t *rapid.T, c lease.Create, s lease.Slot, r *lease.Refusal) {
	if m.fits(r.Feeder, s, r.MaxFree+1) || (r.MaxFree > 0 && !m.fits(r.Feeder, s, r.MaxFree)) {
		t.Fatalf("max free watts %d on %s are not that", r.MaxFree, r.Feeder)
	}
	sec := lease.Slot{Start: r.FirstConflict, End: r.FirstConflict.Add(time.Second)}
	before := lease.Slot{Start: s.Start, End: r.FirstConflict}
	if m.fits(r.Feeder, sec, c.Watts) || !m.fits(r.Feeder, before, c.Watts) {
		t.Fatalf("first conflict %v on %s is not that", r.FirstConflict, r.Feeder)
	}
	if r.EarliestStart.IsZero() {
		return
	}
	then, any := lease.Slot{Start: r.EarliestStart, End: r.EarliestStart.Add(s.End.Sub(s.Start))}, false
	for _, f := range yard {
		any = any || (c.Feeder == "" || c.Feeder == f.ID) && m.fits(f.ID, then, c.Watts)
	}
	if !any {
		t.Fatalf("earliest start %v does not fit", r.EarliestStart)
	}
}

func (m *model) anyLease(t *rapid.T) lease.UID {
	if len(m.uids) == 0 {
		return "none"
	}
	return rapid.SampledFrom(m.uids).Draw(t, "lease")
}

// check is run after each action: no instant is overbooked but by a loss of capacity, and
// that is announced.
func (m *model) check(t *rapid.T) {
	short := m.book.Shortfalls()
	for _, f := range yard {
		over := false
		for sec, w := range m.load(f.ID) {
			over = over || w > m.capacityAt(f.ID, sec)
		}
		if _, announced := short[f.ID]; over && !announced {
			t.Fatalf("feeder %s is overbooked and nobody was told", f.ID)
		}
	}
	for _, l := range m.book.Leases() {
		switch {
		case !l.ActiveAt.IsZero() && (l.State == lease.Failed || l.State == lease.Cancelled):
			t.Fatalf("%s was ACTIVE and is %v", l.UID, l.State)
		case l.State == lease.Active && (l.ActiveAt.IsZero() || !l.ShortSince.IsZero()):
			t.Fatalf("%s is ACTIVE since %v, short since %v", l.UID, l.ActiveAt, l.ShortSince)
		case l.Delivered > l.EnergyBound():
			t.Fatalf("%s was delivered %d J of %d", l.UID, l.Delivered, l.EnergyBound())
		case l.Shortfall > l.Slot.End.Sub(l.Slot.Start):
			t.Fatalf("%s has %v of shortfall in %v", l.UID, l.Shortfall, l.Slot.End.Sub(l.Slot.Start))
		}
	}
}

// Ensure that nothing is ever overbooked, that replay and snapshot give the live book, and that every
// move is in the table, whatever comes in whatever order.
func TestBook_HoldsItsPromisesUnderRandomCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"create": m.create,
			"amend":  m.amend,
			"cancel": func(t *rapid.T) {
				m.step(t, lease.Cancel{UID: m.anyLease(t), Tenant: "a", RequestID: ""})
			},
			"pass": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond)
				m.step(t, lease.Tick{Mark: rapid.Bool().Draw(t, "mark")})
			},
			"prove": func(t *rapid.T) {
				m.step(t, lease.Prove{
					UID: m.anyLease(t), Freed: 5, Reason: "wake in flight",
					Watts: unit.Watts(rapid.SampledFrom([]int{0, 1, 60, 500}).Draw(t, "of")),
					At:    m.now.Add(time.Duration(rapid.IntRange(-3, 1).Draw(t, "at")) * time.Second),
					Free:  rapid.Bool().Draw(t, "free"), Gone: rapid.Bool().Draw(t, "gone"),
					FirstOrder: m.now,
					Delivered:  unit.Joules(rapid.IntRange(0, 1e4).Draw(t, "joules")),
				})
			},
			"confirm": func(t *rapid.T) { m.step(t, lease.Confirm{UID: m.anyLease(t)}) },
			"settle":  func(t *rapid.T) { m.step(t, lease.Settle{UID: m.anyLease(t)}) },
			"restart": func(t *rapid.T) { m.step(t, lease.Restart{}) },
			"capacity": func(t *rapid.T) {
				f := rapid.SampledFrom([]lease.FeederID{"north", "south"}).Draw(t, "feeder")
				w := unit.Watts(rapid.IntRange(0, 150).Draw(t, "w"))
				m.capacity(t, f, rapid.IntRange(0, 30).Draw(t, "in"), w)
			},
		})
		m.checkFold(t)
	})
}

// checkFold replays the events, as the journal has them, onto an empty book and onto a snapshot.
func (m *model) checkFold(t *rapid.T) {
	want := text(t, m.book.Snapshot())
	fold, cut := newBook(t, lease.DefaultLimits()), len(m.events)/2
	var half *lease.Snapshot
	for i, e := range m.events {
		var back lease.Event
		if err := json.Unmarshal([]byte(text(t, e)), &back); err != nil {
			t.Fatal(err)
		}
		if e.Kind == lease.Moved && !moves(e) {
			t.Fatalf("%v -> %v is not in the table", e.From, e.Lease.State)
		}
		if err := fold.Apply(back); err != nil {
			t.Fatal(err)
		}
		if i == cut {
			if err := json.Unmarshal([]byte(text(t, fold.Snapshot())), &half); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(want, text(t, fold.Snapshot())); diff != "" {
		t.Fatalf("replay differs from live:\n%s", diff)
	}
	resumed := newBook(t, lease.DefaultLimits())
	if err := resumed.Restore(half); err != nil {
		t.Fatal(err)
	}
	for _, e := range m.events[cut+1:] {
		if err := resumed.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, text(t, resumed.Snapshot())); diff != "" {
		t.Fatalf("snapshot and replay differ from live:\n%s", diff)
	}
	for _, f := range yard {
		s := lease.Slot{Start: m.now, End: m.now.Add(time.Hour)}
		if diff := cmp.Diff(steps(m.book, f.ID, s), steps(resumed, f.ID, s)); diff != "" {
			t.Fatalf("profile of %s differs:\n%s", f.ID, diff)
		}
	}
}

func moves(e lease.Event) bool {
	for _, tr := range lease.Triggers() {
		if to, ok := lease.Next(e.From, tr); ok && to == e.Lease.State {
			return true
		}
	}
	return false
}

// steps are the free watts with equal neighbours joined: a fold has no use for their joints.
func steps(b *lease.Book, f lease.FeederID, s lease.Slot) (out []string) {
	last := unit.Watts(-1 << 40)
	b.Availability(f, s, func(from time.Time, free unit.Watts) bool {
		if free != last {
			out = append(out, fmt.Sprint(from.Unix(), " ", int64(free)))
		}
		last = free
		return true
	})
	return out
}

func text(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
