package governor_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Ensure that an operator's ceiling is ordered, holds beside plans and over a restart, that plans may go
// below it, and that a machine that is woken returns only as far as limits and claims allow.
func TestCeiling_HoldsBesidePlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		sleeper, capped := s.devices[2], s.devices[3]
		most := capped.worker.Curve[2].Watts
		set := func(d *device, mode fleet.Mode, w unit.Watts) {
			t.Helper()
			err := g.SetCeiling(t.Context(), d.worker.ID, governor.Ceiling{Mode: mode, Watts: w})
			if err != nil {
				t.Fatal(err)
			}
		}
		set(sleeper, fleet.Paused, 0)
		set(capped, fleet.Capped, most)
		stands := func(when string) {
			t.Helper()
			if sleeper.says() != sleeper.worker.Sleep || capped.says() > most {
				t.Errorf("%s: asleep at %v, capped at %v of %v", when, sleeper.says(), capped.says(), most)
			}
		}
		s.run(10 * time.Second)
		stands("after the order")
		if n := s.writes(); n != 2 {
			t.Errorf("%d orders for two ceilings", n)
		}
		s.run(2 * time.Minute)
		stands("at rest")
		if n := s.writes(); n != 2 {
			t.Errorf("%d orders for two ceilings, two minutes later", n)
		}
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer func() { stop() }()
		l := lease("l1", 50_000, time.Now().Add(40*time.Second), 2*time.Minute)
		setCaps(t, g, 1, l)
		s.run(60 * time.Second)
		stands("in a lease, after a restart")
		if err := g.Wake(t.Context(), sleeper.worker.ID); err != nil {
			t.Fatal(err)
		}
		s.run(30 * time.Second)
		s.proofs(g)
		if !s.proof["l1"].Free {
			t.Error("a machine that was woken took a tenant's watts")
		}
		s.run(4 * time.Minute)
		if sleeper.says() != sleeper.worker.Curve.Full().Watts || capped.says() > most {
			t.Errorf("after the lease: woken at %v, capped at %v of %v", sleeper.says(), capped.says(), most)
		}
		if st := one(g); st.Workers[3].Ceiling == nil || st.Workers[2].Ceiling != nil || st.Curtailed != 1 {
			t.Errorf("%d curtailed, %+v", st.Curtailed, st.Workers[3])
		}
		if err := g.Wake(t.Context(), capped.worker.ID); err != nil {
			t.Fatal(err)
		}
		s.until("all return", time.Minute, func() bool { return one(g).Curtailed == 0 })
		s.neverOver()
	})
}

// Ensure that a ceiling which cannot be is refused with the reason and what to do.
func TestCeiling_RefusesWhatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 5)
		cfg := s.config()
		cfg.Workers[1].Pinned = true
		cfg.Workers[2].MustRun = true
		s.devices[3].capability.CanCap, s.devices[3].capability.CanPause = false, false
		s.disconnect(s.devices[4])
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		for i, c := range []struct {
			worker int
			mode   fleet.Mode
			watts  unit.Watts
			kind   error
			want   string
		}{
			{0, fleet.Capped, 10, governor.ErrBound, "is accepted"},
			{0, fleet.Capped, 1e6, governor.ErrBound, "hashlease device wake a.w00"},
			{0, fleet.Free, 10, governor.ErrBound, "capped or paused"},
			{1, fleet.Paused, 0, governor.ErrState, "hashlease worker unpin a.w01"},
			{2, fleet.Paused, 0, governor.ErrState, "owner's terms"},
			{3, fleet.Paused, 0, governor.ErrState, "cannot sleep"},
			{3, fleet.Capped, 2000, governor.ErrState, "cannot be set"},
			{4, fleet.Paused, 0, governor.ErrState, "out of reach"},
		} {
			err := g.SetCeiling(t.Context(), s.devices[c.worker].worker.ID,
				governor.Ceiling{Mode: c.mode, Watts: c.watts})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := g.Wake(t.Context(), "a.w00"); !errors.Is(err, governor.ErrState) {
			t.Errorf("nothing to wake: %v", err)
		}
		if err := g.Wake(t.Context(), "a.x"); !errors.Is(err, governor.ErrUnknown) {
			t.Errorf("nobody: %v", err)
		}
		if err := g.SetArm(t.Context(), "f1", fleet.Observe); err != nil {
			t.Fatal(err)
		}
		err := g.SetCeiling(t.Context(), "a.w00", governor.Ceiling{Mode: fleet.Paused})
		if !errors.Is(err, governor.ErrState) || !strings.Contains(err.Error(), "site arm f1 act") {
			t.Errorf("in observe: %v", err)
		}
		if n := s.writes(); n > 0 {
			t.Errorf("%d writes", n)
		}
	})
}
