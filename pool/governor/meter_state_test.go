package governor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// stateOf is what is said of the meter of that name.
func stateOf(g *governor.Governor, name string) governor.MeterStatus {
	for _, m := range one(g).Meters {
		if m.Name == name {
			return m
		}
	}
	return governor.MeterStatus{}
}

// warned says whether a warning begins with a text.
func warned(g *governor.Governor, text string) bool {
	for _, e := range g.Events(0) {
		if e.Level == governor.Warn && strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// Ensure that a lost meter is not a lost load: while it is away, mining counts with the most that it may
// draw, nobody returns, nothing is proven, and the feeder sells nothing; and that all of it ends when it is
// back.
func TestGovernor_ALostMeterIsNotALostLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Meters = cfg.Meters[1:] // mining and tenant
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1, lease("l1", 20_000, time.Now(), 10*time.Minute))
		s.until("proof", 20*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		reduced := s.miningTruth()
		s.mining.change(func() { s.mining.broken = true })
		s.run(5 * time.Second)
		if st := stateOf(g, "mining"); st.State != governor.MeterStale {
			t.Errorf("after 5 s: %+v", st)
		}
		s.run(2 * time.Minute)
		s.proofs(g)
		st := stateOf(g, "mining")
		if st.State != governor.MeterLost || !strings.Contains(st.Detail, "broken") || s.proof["l1"].Free ||
			!warned(g, "meter mining is lost") {
			t.Errorf("after 2 min: %+v, the lease is proven: %v", st, s.proof["l1"].Free)
		}
		if m := one(g).Mining; m < reduced {
			t.Errorf("mining counts with %v, it draws %v", m, reduced)
		}
		setCaps(t, g, 2) // the lease is over: nobody returns without a meter
		writes := s.writes()
		s.run(time.Minute)
		if s.writes() > writes || s.miningTruth() != reduced {
			t.Errorf("%d orders without a meter, mining draws %v", s.writes()-writes, s.miningTruth())
		}
		s.mining.change(func() { s.mining.broken = false })
		s.until("mining is back", 5*time.Minute, func() bool { return s.miningTruth() >= one(g).Full*99/100 })
		if st := stateOf(g, "mining"); st.State != governor.MeterOK {
			t.Errorf("at the end: %+v", st)
		}
		s.neverOver()
	})
}

// Ensure that a meter that runs backwards is shown as that, with what to do about it, and not as one that
// does not answer; and that it sells nothing.
func TestGovernor_NamesAReversedMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		cfg := s.config()
		cfg.Meters = cfg.Meters[1:] // mining and tenant
		for i := range cfg.Meters {
			if cfg.Meters[i].Role == fleet.Mining {
				cfg.Meters[i].Meter = backwards{cfg.Meters[i].Meter}
			}
		}
		g, stop := s.start(cfg)
		defer stop()
		s.run(3 * time.Second)
		st := stateOf(g, "mining")
		if st.State != governor.MeterReversed || !strings.Contains(st.Detail, "meter mining: ") ||
			!strings.Contains(st.Detail, "turn it round") {
			t.Errorf("%+v", st)
		}
		if f := one(g); f.Fresh || f.State == "ok" {
			t.Errorf("%+v", f)
		}
	})
}

// backwards is a meter that refuses what it reads, as drivers do.
type backwards struct{ fleet.Meter }

func (b backwards) Read(ctx context.Context) (fleet.Reading, error) {
	r, err := b.Meter.Read(ctx)
	if err != nil {
		return r, err
	}
	return fleet.Reading{}, fmt.Errorf("%w: it shows %v: turn it round", fleet.ErrReversed, -r.Watts)
}

// Ensure that a meter whose counter and watts tell different things is not believed, until they agree again.
func TestGovernor_FindsAMeterThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(5 * time.Minute)
		if st := stateOf(g, "mining"); st.State != governor.MeterOK || warned(g, "disagree") {
			t.Fatalf("a sound meter: %+v", st)
		}
		s.mining.change(func() { s.mining.bias = -0.5 }) // it shows half of what it counts
		s.run(3 * time.Minute)
		st := stateOf(g, "mining")
		if st.State != governor.MeterInconsistent || !warned(g, "energy counter") {
			t.Errorf("with half of its watts: %+v", st)
		}
		s.mining.change(func() { s.mining.bias = 0 })
		s.until("it is believed again", 5*time.Minute, func() bool {
			return stateOf(g, "mining").State == governor.MeterOK
		})
	})
}

// Ensure that after a minute in which a meter shows much less than its machines say, the higher counts, so
// that no claim is proven by a meter that has lost a phase; and that a sound site is never accused.
func TestGovernor_BelievesTheHigherOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		for _, d := range s.devices {
			d.factor = 0.93 // of what their curves say: their words are off in the same way
		}
		s.mining.plain = true
		cfg := s.config()
		cfg.Meters = cfg.Meters[1:]
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Minute)
		if warned(g, "disagree") {
			t.Fatal("a sound site is accused")
		}
		s.mining.change(func() { s.mining.bias = -0.33 }) // a phase is gone
		s.run(3 * time.Minute)
		truth := s.miningTruth()
		if !warned(g, "meter and machines disagree") || one(g).Mining < truth*95/100 {
			t.Errorf("a third is missing: mining counts with %v, it draws %v; %q",
				one(g).Mining, truth, one(g).State)
		}
		s.mining.change(func() { s.mining.bias = 0 })
		s.run(3 * time.Minute)
		if st := one(g); strings.Contains(st.State, "disagree") || st.Mining > truth*101/100 {
			t.Errorf("after the repair: %q, %v", st.State, st.Mining)
		}
	})
}

// Ensure that branches that do not add up are named with their watts, and the higher counts.
func TestGovernor_NamesBranchesThatDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		for _, d := range s.devices {
			d.silent = true
		}
		s.mining.plain = true
		cfg := s.config()
		base := &simMeter{truth: func() unit.Watts { return s.base }}
		cfg.Meters = append(cfg.Meters, governor.Meter{
			Name: "base", Feeder: "f1", Role: fleet.Base, Meter: base,
		})
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		run := func(d time.Duration) {
			for range int(d / simStep) {
				s.run(simStep)
				base.refresh(time.Now(), time.Second)
			}
		}
		run(2 * time.Minute)
		if warned(g, "disagree") {
			t.Fatal("sound meters are accused")
		}
		s.mining.change(func() { s.mining.bias = -0.2 })
		run(50 * time.Second)
		if warned(g, "meters disagree") {
			t.Error("accused before a minute was over")
		}
		run(30 * time.Second)
		if st := one(g); !warned(g, "meters disagree: total") || st.Mining < s.miningTruth()*99/100 {
			t.Errorf("mining counts with %v of %v: %q", st.Mining, s.miningTruth(), st.State)
		}
	})
}
