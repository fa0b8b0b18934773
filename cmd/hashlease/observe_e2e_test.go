package main

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
)

// adviceView is what the tests read of `hashlease site advice --json`.
type adviceView struct {
	Feeder  string `json:"feeder"`
	Arm     string `json:"arm"`
	Orders  int64  `json:"orders,string"`
	Saved   int64  `json:"saved_joules,string"`
	Freed   int64  `json:"freed_watts,string"`
	Workers []struct {
		Worker string `json:"worker"`
	} `json:"workers"`
}

func (s *site) advice(feeder string) (v adviceView) {
	s.t.Helper()
	var all []adviceView
	s.decode(&all, "site", "advice", feeder, "--json")
	if len(all) == 1 {
		v = all[0]
	}
	return v
}

// Ensure that over the real program no order reaches any machine of a feeder that observes or advises,
// whatever is asked of it, that it is shown whom it would tell and what that would have saved, and that it
// is ordered once the feeder is armed to act.
func TestProgram_ObservesAndAdvisesWithoutAnOrder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 8
	s := newTestSite(t, miners)
	var orders atomic.Int64
	meters := s.sim.Addr()
	err := s.sim.Close()
	if err == nil {
		s.sim, err = sim.New(sim.Config{
			Plan: s.plan, Seed: 1, Meters: meters, Firmware: sim.InBand, Log: s.log,
			Ordered: func(pool.WorkerID) { orders.Add(1) },
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.configure(`(?m)^arm = "act"`, `arm = "observe"`)
	s.startServer()
	s.runMiners()
	s.awaitMiners(miners)
	s.eventually("it is ready for limits", time.Minute, func() bool {
		set := s.begin(t.Context(), "site", "limit", "set", "north/f1", "4kW", "--for", "10m")
		return set.wait() == exitOK
	})
	for _, arm := range []string{"observe", "advise"} {
		s.command("site", "arm", "f1", arm)
		s.eventually("it says what it would save while it only "+arm+"s", time.Minute, func() bool {
			a := s.advice("f1")
			return a.Orders > 0 && a.Saved > 0 && a.Freed > 0 && len(a.Workers) > 0
		})
		if n := orders.Load(); n > 0 {
			t.Errorf("%d orders came in while it only %ss", n, arm)
		}
	}
	s.command("site", "arm", "f1", "act")
	s.eventually("machines sleep", time.Minute, func() bool {
		return orders.Load() > 0 && s.sim.Stats().States["sleep"] > 0
	})
	if a := s.advice("f1"); a.Feeder != "" {
		t.Errorf("a feeder that is armed to act is advised of: %+v", a)
	}
	s.stop()
}
