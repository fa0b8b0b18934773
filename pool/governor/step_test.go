package governor_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/fleet/fleettest"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// still is a fleet whose machines do as they are told at once, without a wire.
type still struct {
	g     *governor.Governor
	links []*fleet.Link
	now   time.Time
	full  unit.Watts
}

// standIn takes every order.
type standIn struct{ c fleet.Capability }

func (s standIn) Capability() fleet.Capability { return s.c }

func (s standIn) Set(_ context.Context, p fleet.Setpoint) (fleet.Ack, error) {
	return fleet.Ack{Command: p.Command, Planned: p.Watts, Hashrate: p.Hashrate}, nil
}

// newStill is n machines of ten models on feeders of a thousand each.
func newStill(tb testing.TB, n int) *still {
	tb.Helper()
	cfg := governor.DefaultConfig()
	cfg.Registry, cfg.Term = fleet.NewRegistry(), 1
	cfg.MsatPerHash = func() float64 { return 5e-13 }
	s := &still{now: time.Now()}
	models := fleettest.Models()
	site := fleet.Site{ID: "s1"}
	sums := map[fleet.FeederID]unit.Watts{}
	for i := range n {
		m := models[i%len(models)]
		f := fleet.FeederID(fmt.Sprintf("f%d", i/1000))
		w := fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.w%06d", i)), Feeder: f, Curve: m.Curve(6), Sleep: m.Sleep,
		}
		full := w.Curve.Full().Watts
		cfg.Workers = append(cfg.Workers, w)
		sums[f] += full
		s.full += full
		l := cfg.Registry.Open(w.ID, func() {})
		l.SetActuator(standIn{fleet.Capability{
			Min: w.Curve[0].Watts, Max: full, CanCap: true, CanPause: true, HoldsAlone: true,
			ShedIn: 2 * time.Second, ReturnIn: 6 * time.Second,
		}})
		l.Report(fleet.Reading{Watts: full, At: s.now})
		s.links = append(s.links, l)
	}
	for i := range (n + 999) / 1000 {
		id := fleet.FeederID(fmt.Sprintf("f%d", i))
		site.Feeders = append(site.Feeders, fleet.Feeder{
			ID: id, Site: "s1", Limit: sums[id] * 110 / 100, Reserve: sums[id] / 100, Base: sums[id] / 50,
			Overload: fleet.Overload{Watts: sums[id], For: time.Minute}, Arm: fleet.Act, Trusted: true,
		})
		cfg.Meters = append(cfg.Meters, governor.Meter{
			Name: "m", Feeder: id, Role: fleet.Mining, Meter: &simMeter{},
		})
	}
	cfg.Sites = []fleet.Site{site}
	g, err := governor.New(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s.g = g
	return s
}

// step passes a quarter of a second; machines and meters say what was ordered.
func (s *still) step(report bool) {
	s.now = s.now.Add(250 * time.Millisecond)
	governor.Show(s.g, func(id fleet.FeederID, _ fleet.Role) fleet.Reading {
		return fleet.Reading{Watts: governor.Ordered(s.g, id), At: s.now}
	})
	if report {
		governor.EachOrder(s.g, func(i int, sp fleet.Setpoint) {
			s.links[i].Report(fleet.Reading{Watts: sp.Watts, At: s.now})
		})
	}
	governor.Step(s.g, s.now)
}

// dispatched orders a fifth of the fleet to give way and waits for it to stand.
func (s *still) dispatched(tb testing.TB) {
	tb.Helper()
	var caps []fleet.Cap
	st := s.g.Status().Sites[0]
	for _, f := range st.Feeders {
		caps = append(caps, fleet.Cap{
			Feeder: f.ID, Claim: "l-" + string(f.ID), Tenant: "acme", Watts: f.Full * 28 / 100,
			From: s.now, Until: s.now.Add(1000 * time.Hour),
		})
	}
	setCapsTB(tb, s.g, caps)
	for range 40 {
		s.step(true)
	}
}

func setCapsTB(tb testing.TB, g *governor.Governor, caps []fleet.Cap) {
	tb.Helper()
	if err := g.SetCaps(tb.Context(), 1, caps); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkStep is one look at everything: while nothing happens, and while a fifth is held down.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		for _, state := range []string{"rest", "dispatch"} {
			b.Run(fmt.Sprintf("%s/workers=%d", state, n), func(b *testing.B) {
				s := newStill(b, n)
				if state == "dispatch" {
					s.dispatched(b)
				} else {
					setCapsTB(b, s.g, nil)
					for range 40 {
						s.step(false)
					}
				}
				b.ReportAllocs()
				for k := 0; b.Loop(); k++ {
					s.step(k%40 == 0)
				}
			})
		}
	}
}

// Ensure that a look at a fleet where nothing happens allocates nothing for its workers.
func TestStep_AllocatesNothingPerWorkerAtRest(t *testing.T) {
	allocs := func(n int) float64 {
		s := newStill(t, n)
		setCapsTB(t, s.g, nil)
		for range 40 {
			s.step(false)
		}
		return testing.AllocsPerRun(100, func() { s.step(false) })
	}
	few, many := allocs(100), allocs(1000)
	if many > few+20 {
		t.Errorf("%v allocations for 100 workers, %v for 1,000", few, many)
	}
}
