package service_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

func amend(l lease.Lease, w unit.Watts, start, end time.Duration) lease.Amend {
	c := lease.Amend{UID: l.UID, Tenant: l.Tenant, Watts: w}
	if start != 0 {
		c.Start = l.Slot.Start.Add(start)
	}
	if end != 0 {
		c.End = l.Slot.End.Add(end)
	}
	return c
}

// Ensure that of a neighbour that begins a second earlier and a lease that ends a second later, both on a
// full feeder, exactly one gets the second.
func TestS03_NeighboursContestOneSecond(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			gov := newGovernor()
			gov.capacity("north", 1000)
			r := start(t, config(), mem.New(), gov, &books{})
			settled(0)
			a, b := r.create(60, 40, 1000), r.create(101, 40, 1000)
			errs := make([]error, 2)
			var both sync.WaitGroup
			both.Go(func() { _, errs[0] = r.Amend(t.Context(), amend(a, 0, 0, time.Second)) })
			both.Go(func() { _, errs[1] = r.Amend(t.Context(), amend(b, 0, -time.Second, 0)) })
			both.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("both got it, or neither: %v, %v", errs[0], errs[1])
			}
			if x, y := r.state(a.UID), r.state(b.UID); x.Slot.End.After(y.Slot.Start) {
				t.Fatalf("%v and %v overlap", x.Slot, y.Slot)
			}
		})
	}
}

// Ensure that a growth that races the cancel of its neighbour ends as one of the two orders would, and that
// what the callers were told is what the book holds, also after a restart.
func TestS04_GrowthRacesItsNeighboursCancel(t *testing.T) {
	grew := map[bool]int{}
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			gov, j := newGovernor(), mem.New()
			gov.capacity("north", 1000)
			r := start(t, config(), j, gov, &books{})
			settled(0)
			a, b := r.create(60, 100, 600), r.create(60, 100, 400)
			var growth, cancel error
			var both sync.WaitGroup
			both.Go(func() { _, growth = r.Amend(t.Context(), amend(a, 1000, 0, 0)) })
			both.Go(func() {
				_, cancel = r.Cancel(t.Context(), lease.Cancel{UID: b.UID, Tenant: b.Tenant})
			})
			both.Wait()
			want := unit.Watts(600)
			var no *lease.Refusal
			if growth == nil {
				want = 1000
			} else if !errors.As(growth, &no) || no.Kind != lease.NoCapacity || no.MaxFree != 600 {
				t.Fatalf("growth: %v", growth)
			}
			grew[growth == nil]++
			if cancel != nil {
				t.Fatal(cancel)
			}
			_ = r.stop()
			again := start(t, config(), j, gov, &books{})
			again.want(b.UID, lease.Cancelled)
			if l := again.state(a.UID); l.Watts != want {
				t.Errorf("it holds %v, its caller was told %v", l.Watts, want)
			}
		})
	}
	t.Logf("it grew in %d of 40 races", grew[true])
}

// Ensure that a smaller and longer slot fits a full feeder, and that nobody sees more or less than the
// old or the new booking on the way.
func TestS05_ShrinksAndExtendsOnAFullFeeder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		gov.capacity("north", 1000)
		r := start(t, config(), mem.New(), gov, &books{})
		settled(0)
		a := r.create(60, 100, 1000)
		r.create(160, 100, 600)
		window := lease.Slot{Start: a.Slot.Start, End: a.Slot.Start.Add(200 * time.Second)}
		look := func() (free []unit.Watts) {
			steps, _, err := r.Availability(t.Context(), "north", window, 10)
			if err != nil {
				t.Error(err)
			}
			for _, st := range steps {
				free = append(free, st.Free)
			}
			return free
		}
		seen := make(chan []unit.Watts, 400)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { // ends after its looks
				for range 100 {
					seen <- look()
				}
			})
		}
		all.Go(func() {
			if _, err := r.Amend(t.Context(), amend(a, 400, 0, 100*time.Second)); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		close(seen)
		for free := range seen {
			before := len(free) == 2 && free[0] == 0 && free[1] == 400
			if after := len(free) == 2 && free[0] == 600 && free[1] == 0; !before && !after {
				t.Fatalf("free watts were seen as %v", free)
			}
		}
	})
}

// Ensure that the governor is told of other watts at once, and that only a proof of all of them, not one
// that was under way, makes a lease that grew ACTIVE again.
func TestService_ProvesAGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		gov.capacity("north", 1000)
		r := start(t, config(), mem.New(), gov, &books{})
		settled(0)
		l := r.create(30, 100, 400)
		settled(25 * time.Second)
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 400, Free: true})
		settled(10 * time.Second)
		r.want(l.UID, lease.Active)
		if _, err := r.Amend(t.Context(), amend(l, 700, 0, 0)); err != nil {
			t.Fatal(err)
		}
		settled(0)
		if caps, _, _ := gov.set(); len(caps) != 1 || caps[0].Watts != 700 {
			t.Errorf("the governor was ordered %+v", caps)
		}
		got := r.want(l.UID, lease.Degraded)
		if g := got.GrantedAt(r.Now()); g != 400 {
			t.Errorf("%v may be drawn while it grows, want 400 W", g)
		}
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 400, Free: true, Drawn: 399})
		settled(time.Second)
		r.want(l.UID, lease.Degraded)
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 700, Free: true})
		settled(time.Second)
		got = r.want(l.UID, lease.Active)
		if g, short := got.GrantedAt(r.Now()), got.ShortfallAt(r.Now()); g != 700 || short != 0 {
			t.Errorf("%v may be drawn, %v short", g, short)
		}
	})
}

// Ensure that the governor is told of every amendment that changes what is claimed, also of one without a
// request id, and that a proof which was under way and speaks of more watts takes nothing from a lease
// that shrank.
func TestService_OrdersWhatAnAmendmentLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		gov.capacity("north", 1000)
		r := start(t, config(), mem.New(), gov, &books{})
		settled(0)
		l := r.create(30, 100, 400)
		settled(25 * time.Second)
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 400, Free: true})
		settled(10 * time.Second)
		r.want(l.UID, lease.Active)
		if _, err := r.Amend(t.Context(), amend(l, 300, 0, 60*time.Second)); err != nil {
			t.Fatal(err)
		}
		settled(0)
		caps, _, _ := gov.set()
		if len(caps) != 1 || caps[0].Watts != 300 || !caps[0].Until.Equal(l.Slot.End.Add(60*time.Second)) {
			t.Errorf("the governor was ordered %+v", caps)
		}
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 400, Reason: "under way"})
		settled(time.Second)
		r.want(l.UID, lease.Active)
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 300, Reason: "hot"})
		settled(time.Second)
		r.want(l.UID, lease.Degraded)
		gov.prove(fleet.Proof{Claim: string(l.UID), Watts: 400, Reason: "under way"})
		settled(time.Second)
		r.want(l.UID, lease.Degraded)
	})
}
