package lease_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/unit"
)

func step(t *testing.T, b *lease.Book, c lease.Command, now time.Time) []lease.Event {
	t.Helper()
	events, err := b.Step(c, now)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return events
}

func northHas(w unit.Watts) lease.SetCapacity {
	return lease.SetCapacity{Feeder: "north", Steps: []lease.CapacityStep{{From: t0, Watts: w}}}
}

func withCapacity(t *testing.T, w unit.Watts) *lease.Book {
	t.Helper()
	b := newBook(t, lease.DefaultLimits())
	step(t, b, northHas(w), t0)
	return b
}

// Ensure requests are remembered for max(24 h, end and 7 days) and leases for 90 days after their end, and
// no longer.
func TestBook_ForgetsWhatIsLongOver(t *testing.T) {
	b := withCapacity(t, 1000)
	c := lease.Create{
		UID: "l1", Tenant: "acme", RequestID: "r1", Site: "yard", Watts: 1, Start: at(60), End: at(120),
	}
	step(t, b, c, t0)
	step(t, b, lease.Cancel{UID: "l1", Tenant: "acme"}, at(1))

	week := at(120).Add(7 * 24 * time.Hour)
	c.UID = "l2"
	if es := step(t, b, c, week.Add(-time.Second)); len(es) != 0 {
		t.Errorf("a repeat within the week made %v", es)
	}
	if _, err := b.Step(c, week); err == nil {
		t.Error("after the week the request is a new one, for a slot in the past")
	}
	step(t, b, lease.Tick{Mark: true}, at(1).Add(90*24*time.Hour-time.Second))
	if b.Len() != 1 {
		t.Errorf("%d leases before 90 days, want 1", b.Len())
	}
	step(t, b, lease.Tick{Mark: true}, at(1).Add(90*24*time.Hour))
	if b.Len() != 0 {
		t.Errorf("%d leases after 90 days, want 0", b.Len())
	}
}

// Ensure a lease whose watts are still claimed, or whose charge is not posted, is kept.
func TestBook_KeepsWhatIsNotSettled(t *testing.T) {
	b := withCapacity(t, 1000)
	step(t, b, lease.Create{UID: "l1", Tenant: "acme", Site: "yard", Watts: 1, Start: at(0), End: at(60)}, t0)
	for range 4 {
		step(t, b, lease.Tick{}, at(60))
	}
	if l, _ := b.Lease("l1"); l.State != lease.Failed || !l.Claims() {
		t.Fatalf("%+v", l)
	}
	step(t, b, lease.Tick{Mark: true}, at(60).Add(100*24*time.Hour))
	if b.Len() != 1 {
		t.Error("a lease whose tenant may still draw was forgotten")
	}
	step(t, b, lease.Confirm{UID: "l1"}, at(61).Add(100*24*time.Hour))
	step(t, b, lease.Tick{Mark: true}, at(60).Add(200*24*time.Hour))
	if b.Len() != 0 {
		t.Error("a lease that is over was kept")
	}
}

// Ensure what a tenant holds is bounded: live leases, leases in all, remembered requests.
func TestBook_BoundsEachTenant(t *testing.T) {
	for _, limits := range []lease.Limits{
		{Live: 2, Retained: 9, Requests: 9},
		{Live: 2, Retained: 3, Requests: 9},
		{Live: 2, Retained: 9, Requests: 3},
	} {
		b := newBook(t, limits)
		step(t, b, northHas(1000), t0)
		var r *lease.Refusal
		made := 0
		for ; made < 20 && r == nil; made++ {
			c := lease.Create{
				UID: lease.UID(fmt.Sprint("l", made)), Tenant: "acme", RequestID: fmt.Sprint("r", made),
				Site: "yard", Watts: 1, Start: at(60), End: at(120),
			}
			if _, err := b.Step(c, t0); errors.As(err, &r) {
				break
			}
			if made > 0 {
				step(t, b, lease.Cancel{UID: c.UID, Tenant: "acme"}, t0)
			}
		}
		if r == nil || r.Kind != lease.QuotaExceeded || made > 9 {
			t.Errorf("limits %+v: %d leases, then %v", limits, made, r)
		}
	}
}

// Ensure the charge is exact, rounded up once, and never passes what money there is.
func TestBook_ChargesExactly(t *testing.T) {
	for _, c := range []struct {
		price, want unit.Msat
		joules      unit.Joules
	}{
		{0, 0, 1000},
		{3_600_000, 1000, 1000},
		{1, 1, 1},
		{3_599_999, 1000, 1000},
		{50_000, 14, 1000},
		{1 << 62, 25_620_477_880_152_156, 20_000},
	} {
		b := withCapacity(t, 1000)
		step(t, b, lease.Create{
			UID: "l1", Tenant: "acme", Site: "yard", Watts: 1000, Start: at(0), End: at(60), Price: c.price,
		}, t0)
		step(t, b, lease.Tick{}, at(0))
		step(t, b, lease.Prove{UID: "l1", At: at(1), Free: true}, at(1))
		step(t, b, lease.Tick{}, at(60))
		step(t, b, lease.Prove{UID: "l1", At: at(61), Gone: true, Delivered: c.joules}, at(61))
		l, _ := b.Lease("l1")
		if l.State != lease.Completed || l.Charge != c.want || l.Owes() != (c.want > 0) {
			t.Errorf("%d J at %d: %v charged %d, want %d", c.joules, c.price, l.State, l.Charge, c.want)
		}
	}
}

// Ensure an event out of place is refused and changes nothing.
func TestBook_RefusesEventsThatDoNotFollow(t *testing.T) {
	b := withCapacity(t, 1000)
	for _, e := range []lease.Event{
		{Revision: 1, Kind: lease.Marked},
		{Revision: 3, Kind: lease.Marked},
		{Revision: 2, Kind: "party"},
		{Revision: 2, Kind: lease.Booked},
		{Revision: 2, Kind: lease.CapacitySet, Feeder: "north"},
		{Revision: 2, Kind: lease.Moved, Lease: &lease.Lease{}},
		{Revision: 2, Kind: lease.ShortfallMade},
	} {
		if err := b.Apply(e); !errors.Is(err, lease.ErrCorrupt) || b.Revision() != 1 {
			t.Errorf("%+v: %v, revision %d", e, err, b.Revision())
		}
	}
	if err := b.Restore(&lease.Snapshot{Version: 1}); !errors.Is(err, lease.ErrCorrupt) {
		t.Errorf("a snapshot onto a used book: %v", err)
	}
	fresh := newBook(t, lease.DefaultLimits())
	if err := fresh.Restore(&lease.Snapshot{Version: 2}); !errors.Is(err, lease.ErrCorrupt) {
		t.Errorf("a snapshot of another version: %v", err)
	}
}

// Ensure a book says what is wrong with its feeders and its capacity.
func TestBook_ValidatesFeedersAndCapacity(t *testing.T) {
	for _, fs := range [][]lease.Feeder{
		{{ID: "", Site: "yard"}},
		{{ID: "a/b", Site: "yard"}},
		{{ID: "a", Site: ""}},
		{{ID: "a", Site: "yard", Notice: -1}},
		{{ID: "a", Site: "x"}, {ID: "a", Site: "y"}},
	} {
		if _, err := lease.NewBook(fs, lease.DefaultLimits()); err == nil {
			t.Errorf("%v was accepted", fs)
		}
	}
	b := newBook(t, lease.DefaultLimits())
	for _, c := range []lease.SetCapacity{
		{Feeder: "west", Steps: []lease.CapacityStep{{From: t0}}},
		{Feeder: "north"},
		{Feeder: "north", Steps: make([]lease.CapacityStep, lease.MaxCapacitySteps+1)},
		{Feeder: "north", Steps: []lease.CapacityStep{{From: t0, Watts: -1}}},
		{Feeder: "north", Steps: []lease.CapacityStep{{From: t0, Watts: 1e12 + 1}}},
		{Feeder: "north", Steps: []lease.CapacityStep{{From: t0.Add(1), Watts: 1}}},
		{Feeder: "north", Steps: []lease.CapacityStep{{From: t0, Watts: 1}, {From: t0, Watts: 2}}},
	} {
		var r *lease.Refusal
		if _, err := b.Step(c, t0); !errors.As(err, &r) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Ensure many timers of one instant fire in bounded steps, ends first, none lost.
func TestBook_FiresManyTimersInBoundedSteps(t *testing.T) {
	b := newBook(t, lease.Limits{Live: 10_000, Retained: 10_000, Requests: 10_000})
	step(t, b, northHas(3000), t0)
	for i := range 3000 {
		for j, from := range []int{60, 120} {
			step(t, b, lease.Create{
				UID: lease.UID(fmt.Sprint("l", j, "-", i)), Tenant: "acme", Site: "yard", Feeder: "north",
				Watts: 1, Start: at(from), End: at(from + 60),
			}, t0)
		}
	}
	fired := 0
	for {
		events := step(t, b, lease.Tick{}, at(120))
		if len(events) == 0 {
			break
		}
		if len(events) > lease.MaxFire+1 {
			t.Fatalf("%d events of one tick", len(events))
		}
		fired += len(events)
	}
	if want := 3000*3 + 3000*2; fired != want {
		t.Errorf("%d moves, want %d", fired, want)
	}
	for _, l := range b.Leases() {
		if l.Slot.Start.Equal(at(60)) != (l.State == lease.Failed) || l.State == lease.Scheduled {
			t.Fatalf("%s is %v", l.UID, l.State)
		}
	}
}
