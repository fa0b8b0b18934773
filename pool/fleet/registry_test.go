package fleet_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func unitWatts(n int64) unit.Watts { return unit.Watts(n) }

type fakeActuator struct{ can fleet.Capability }

func (f fakeActuator) Capability() fleet.Capability { return f.can }

func (f fakeActuator) Set(_ context.Context, s fleet.Setpoint) (fleet.Ack, error) {
	return fleet.Ack{Command: s.Command, Planned: s.Watts}, nil
}

// Ensure that a worker has all its live links, oldest first, and none once they are closed.
func TestRegistry_KeepsLiveLinksOldestFirst(t *testing.T) {
	r := fleet.NewRegistry()
	a, b := r.Open("a.w", func() {}), r.Open("a.w", func() {})
	other := r.Open("a.x", func() {})
	before := r.Links("a.w")
	if len(before) != 2 || before[0] != a || before[1] != b || len(r.Workers()) != 2 {
		t.Fatalf("links %v of workers %v", before, r.Workers())
	}
	r.Close("a.w", a)
	r.Close("a.w", a)
	if before[0] != a || before[1] != b {
		t.Error("a slice given out was changed")
	}
	if now := r.Links("a.w"); len(now) != 1 || now[0] != b {
		t.Errorf("links %v", now)
	}
	r.Close("a.w", other) // not its link
	r.Close("a.w", b)
	r.Close("a.nobody", b)
	if len(r.Links("a.w")) != 0 || len(r.Workers()) != 1 {
		t.Errorf("links %v of workers %v", r.Links("a.w"), r.Workers())
	}
}

// Ensure that what travels over a link arrives, and that an expectation wakes the session.
func TestLink_CarriesBothWays(t *testing.T) {
	woken := 0
	l := fleet.NewRegistry().Open("a.w", func() { woken++ })
	if _, ok := l.Reported(); ok || l.Expectation() != nil || l.Actuator() != nil {
		t.Error("a new link knows something")
	}
	l.Expect(fleet.Expectation{Seq: 7, Hashrate: 5, SharesPerMinute: 20})
	if e := l.Expectation(); woken != 1 || e == nil || e.Seq != 7 || e.Hashrate != 5 {
		t.Errorf("woken %d times for %+v", woken, l.Expectation())
	}
	l.Count(2, 100)
	l.Count(3, 50)
	if s, w := l.Counted(); s != 5 || w != 150 {
		t.Errorf("counted %d shares, %d work", s, w)
	}
	if r, ok := l.Reported(); ok {
		t.Errorf("reported %+v before the first", r)
	}
	at := time.Unix(1e9, 0)
	l.Report(fleet.Reading{At: at})
	if r, ok := l.Reported(); !ok || r.Watts != 0 || !r.At.Equal(at) {
		t.Errorf("reported %+v, %v", r, ok)
	}
	l.SetActuator(fakeActuator{fleet.Capability{CanPause: true}})
	if a := l.Actuator(); a == nil || !a.Capability().CanPause {
		t.Errorf("actuator %v", l.Actuator())
	}
}

// Ensure that links may be opened, used and closed from many goroutines.
func TestRegistry_BearsConcurrentUse(t *testing.T) {
	r := fleet.NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := pool.WorkerID([]string{"a.a", "a.b"}[i%2])
			for range 200 {
				l := r.Open(id, func() {})
				l.Count(1, 1)
				l.Expect(fleet.Expectation{})
				for _, o := range r.Links(id) {
					o.Counted()
				}
				r.Workers()
				r.Close(id, l)
			}
		})
	}
	wg.Wait()
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}
