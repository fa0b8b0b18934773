package governor_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// twin is a second meter of what another of the simulation measures.
type twin struct {
	*simMeter
	s *sim
}

// run moves the simulation with its second meter.
func (w *twin) run(d time.Duration) {
	for range int(d / simStep) {
		w.s.run(simStep)
		w.refresh(time.Now(), 250*time.Millisecond)
	}
}

// twinned is a simulation in which a meter has a second one, as its stand-in or beside it.
func twinned(t *testing.T, group, name string, truth func(*sim) unit.Watts) (*twin, governor.Config) {
	t.Helper()
	s := newSim(t, 20)
	s.mining.plain = true
	w := &twin{&simMeter{truth: func() unit.Watts { return truth(s) }, plain: true}, s}
	cfg := s.config()
	for i := range cfg.Meters {
		if cfg.Meters[i].Name == name {
			cfg.Meters[i].Group = group
			second := cfg.Meters[i]
			second.Name, second.Meter = name+" B", w.simMeter
			cfg.Meters = append(cfg.Meters, second)
			break
		}
	}
	return w, cfg
}

func miningOf(s *sim) unit.Watts { return s.miningTruth() }

// Ensure that meters that stand in for each other count once, that the one carries while the other is stale
// and lost, so that leases are proven and machines return, and that people hear who counts.
func TestGovernor_AStandInCarriesALostMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := twinned(t, "A", "mining", miningOf)
		s := w.s
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		w.run(30 * time.Second)
		truth := s.miningTruth()
		if st := one(g); st.Mining > truth*101/100 || st.Mining < truth*99/100 || !st.Fresh {
			t.Fatalf("mining counts with %v, it draws %v: %q", st.Mining, truth, st.State)
		}
		s.mining.change(func() { s.mining.broken = true })
		w.run(2 * time.Minute)
		m := stateOf(g, "mining")
		if st := one(g); !st.Fresh || m.State != governor.MeterLost ||
			!strings.Contains(m.Detail, "mining B counts in its place") || !warned(g, "mining B counts") {
			t.Errorf("fresh %v, %+v", st.Fresh, m)
		}
		setCaps(t, g, 2, lease("l1", 20_000, time.Now(), time.Minute))
		w.run(20 * time.Second)
		if s.proofs(g); !s.proof["l1"].Free {
			t.Errorf("not proven by the stand-in: %q", s.proof["l1"].Reason)
		}
		setCaps(t, g, 3)
		w.run(2 * time.Minute)
		if st := one(g); st.Curtailed > 0 {
			t.Errorf("%d have not returned by the stand-in: %q", st.Curtailed, st.State)
		}
		w.change(func() { w.broken = true })
		w.run(10 * time.Second)
		if st := one(g); st.Fresh {
			t.Error("with both away it is fresh")
		}
		s.neverOver()
	})
}

// Ensure that the higher of two that stand in for each other counts at once, and that people hear of both by
// name once they have differed for a minute, and when that is over.
func TestGovernor_TheHigherOfTwoStandInsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := twinned(t, "A", "mining", miningOf)
		s := w.s
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		w.run(30 * time.Second)
		s.mining.change(func() { s.mining.bias = -0.2 })
		w.run(50 * time.Second)
		if st := one(g); st.Mining < s.miningTruth()*99/100 || warned(g, "stand in for each other") {
			t.Errorf("after 50 s mining counts with %v of %v", st.Mining, s.miningTruth())
		}
		w.run(20 * time.Second)
		if st := one(g); !warned(g, "meters mining B and mining stand in for each other and disagree") ||
			!strings.Contains(st.State, "stand in for each other") {
			t.Errorf("after 70 s: %q", st.State)
		}
		s.mining.change(func() { s.mining.bias = 0 })
		w.run(90 * time.Second)
		if st := one(g); strings.Contains(st.State, "stand in") {
			t.Errorf("after the repair: %q", st.State)
		}
	})
}

// Ensure that two meters of one role that are no stand-ins add up, as two supplies do.
func TestGovernor_TwoSuppliesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := twinned(t, "", "mining", func(*sim) unit.Watts { return 3000 })
		g, stop := w.s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		w.run(20 * time.Second)
		if st := one(g); st.Mining < w.s.miningTruth()+2500 {
			t.Errorf("mining counts with %v, %v and 3 kW are metered", st.Mining, w.s.miningTruth())
		}
	})
}

// Ensure that a tenant with two meters that stand in for each other is charged once, also while its energy is
// told by the one, the other, and the first again.
func TestGovernor_AStandInTellsTheEnergyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := twinned(t, "A", "tenant", func(s *sim) unit.Watts { return s.drawn })
		s := w.s
		g, stop := s.start(cfg)
		defer stop()
		start := time.Now().Add(20 * time.Second)
		l := lease("l1", 20_000, start, 10*time.Minute)
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(start) || !now.Before(l.Until) {
				return 0
			}
			return 20_000
		}
		setCaps(t, g, 1, l)
		w.run(2 * time.Minute)
		s.tenant.change(func() { s.tenant.broken = true })
		w.run(2 * time.Minute)
		s.tenant.change(func() { s.tenant.broken = false })
		w.run(2 * time.Minute)
		w.change(func() { w.broken = true })
		w.run(2*time.Minute + 20*time.Second)
		s.proofs(g)
		want := unit.Joules(20_000 * 480)
		if got := s.proof["l1"].Delivered; got < want*98/100 || got > want*101/100 {
			t.Errorf("%v delivered, %v were drawn", got, want)
		}
	})
}

// outage is when one of the two meters is away.
type outage struct {
	second      bool
	from, until time.Duration
}

// metered is what a tenant of two meters with these outages is charged for, and what it drew, with watts that
// change every half minute.
func metered(t *testing.T, plain bool, draws []unit.Watts, away []outage) (delivered, drawn unit.Joules) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, cfg := twinned(t, "A", "tenant", func(s *sim) unit.Watts { return s.drawn })
		s := w.s
		w.plain, s.tenant.plain = plain, plain
		w.energy = 5e6 // counters differ from the start
		g, stop := s.start(cfg)
		defer stop()
		start, truth := time.Now().Add(20*time.Second), 0.0
		length := time.Duration(len(draws)) * 30 * time.Second
		l := lease("l1", 20_000, start, length)
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(start) || !now.Before(l.Until) {
				return 0
			}
			return draws[now.Sub(start)/(30*time.Second)]
		}
		for _, d := range draws {
			truth += float64(d) * 30
		}
		setCaps(t, g, 1, l)
		for range int((length + time.Minute) / time.Second) {
			w.run(time.Second)
			broken := func(second bool) (yes bool) {
				for _, o := range away {
					at := time.Since(start)
					yes = yes || o.second == second && at >= o.from && at < o.until
				}
				return yes
			}
			s.tenant.change(func() { s.tenant.broken = broken(false) })
			w.change(func() { w.broken = broken(true) })
		}
		s.proofs(g)
		delivered, drawn = s.proof["l1"].Delivered, unit.Joules(truth)
	})
	return delivered, drawn
}

// Ensure that what one meter of a tenant has told while its stand-in was away is not told again by the
// other's counter, and that nothing is left out, whatever was drawn meanwhile.
func TestGovernor_AStandInsCounterIsClippedToWhatIsNotTold(t *testing.T) {
	m := time.Minute
	for name, away := range map[string][]outage{
		"the first dies while the second is away": {{true, m, 5 * m / 2}, {false, 2 * m, 8 * m}},
		"and comes back first":                    {{true, m, 4 * m}, {false, 2 * m, 3 * m}},
		"they take turns":                         {{false, m, 3 * m}, {true, 3*m + 10*time.Second, 5 * m}},
		"both, then the second alone":             {{false, m, 9 * m}, {true, 3 * m, 4 * m}},
	} {
		for _, draws := range [][]unit.Watts{
			{20_000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000},
			{18_000, 18_000, 2_000, 2_000, 19_000, 19_000, 1_000, 1_000, 20_000, 20_000},
			{2_000, 2_000, 19_000, 19_000, 1_000, 1_000, 19_000, 19_000, 2_000, 2_000},
		} {
			got, want := metered(t, false, draws, away)
			if got < want*98/100 || got > want*101/100 {
				t.Errorf("%s: %v delivered, %v were drawn as %d", name, got, want, draws)
			}
		}
	}
}

// Ensure the same for outages at random.
func TestGovernor_AStandInsCounterIsClippedWheneverItWasAway(t *testing.T) {
	runs := 20
	if testing.Short() {
		runs = 4
	}
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		var draws []unit.Watts
		for range 12 {
			draws = append(draws, unit.Watts(r.IntN(20_000)))
		}
		var away []outage
		for i := range 8 {
			from := time.Duration(r.IntN(330)) * time.Second
			away = append(away, outage{i%2 == 0, from, from + time.Duration(r.IntN(90))*time.Second})
		}
		got, want := metered(t, false, draws, away)
		if got < want*97/100 || got > want*102/100 {
			t.Errorf("seed %d: %v delivered, %v were drawn as %d with %v", seed, got, want, draws, away)
		}
	}
}

// Ensure that without counters a stand-in joins on where the other stopped, not where it was last seen
// itself.
func TestGovernor_AStandInWithoutACounterJoinsOn(t *testing.T) {
	m := time.Minute
	draws := []unit.Watts{15_000, 15_000, 15_000, 15_000, 15_000, 15_000, 15_000, 15_000}
	got, want := metered(t, true, draws, []outage{{true, m / 2, 5 * m / 2}, {false, 2 * m, 9 * m}})
	if got < want*98/100 || got > want*101/100 {
		t.Errorf("%v delivered, %v were drawn", got, want)
	}
}

// Ensure that a group of meters that measure different things is refused by name.
func TestConfig_RefusesStandInsOfAnotherRole(t *testing.T) {
	s := newSim(t, 2)
	cfg := s.config()
	cfg.Meters[0].Group, cfg.Meters[1].Group = "A", "A"
	cfg.Meters[1].Role = fleet.Base
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "in one group with meter") {
		t.Errorf("error %v", err)
	}
}
