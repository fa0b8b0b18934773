package governor_test

import (
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
