package governor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// Ensure that capacity is declared once workers are back, counts only those that hold alone, and falls
// at once when workers are lost for good.
func TestGovernor_DeclaresWhatCanBeCountedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.devices[0].capability.HoldsAlone = false
		g, stop := s.start(s.config())
		defer stop()
		s.run(2 * time.Second)
		cs, err := g.Capacity(t.Context(), 0)
		if err != nil || len(cs) != 1 {
			t.Fatalf("capacities %+v, error %v", cs, err)
		}
		c := cs[0]
		full := one(g).Full
		if c.Firm < full*75/100 || c.Firm > full || c.Foregone <= 0 || !strings.Contains(c.Basis, "1 of 20") {
			t.Errorf("capacity %+v of %v", c, full)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if more, err := g.Capacity(ctx, c.Seq); err == nil {
			t.Errorf("nothing is new, yet %+v", more)
		}
		for _, d := range s.devices[:10] {
			s.disconnect(d)
		}
		s.run(50 * time.Second)
		if more := next(t, g, c.Seq); len(more) > 0 {
			t.Errorf("an outage of 50 s already counts: %+v", more)
		}
		s.run(20 * time.Second)
		if more := next(t, g, c.Seq); len(more) != 1 || more[0].Firm > c.Firm*60/100 {
			t.Errorf("after the outage: %+v", more)
		}
	})
}

func next(t *testing.T, g *governor.Governor, after uint64) []fleet.Capacity {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	cs, _ := g.Capacity(ctx, after)
	return cs
}

// Ensure that figures for the chart come every second and are bounded.
func TestGovernor_KeepsHistoryBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		cfg := s.config()
		cfg.History = 30
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1, lease("l1", 3000, time.Now(), time.Hour))
		s.run(time.Minute)
		h := g.History("f1")
		if len(h) != 30 || g.History("f9") != nil {
			t.Fatalf("%d samples", len(h))
		}
		for i := 1; i < len(h); i++ {
			if d := h[i].At.Sub(h[i-1].At); d < time.Second || d > 1500*time.Millisecond {
				t.Errorf("%v between samples", d)
			}
		}
		if last := h[len(h)-1]; last.Claimed != 3000 || last.Limit != s.feeder.Limit || last.Mining == 0 {
			t.Errorf("last sample %+v", last)
		}
	})
}

// Ensure that every fault of a configuration is named.
func TestConfig_ListsEveryFault(t *testing.T) {
	cfg := governor.DefaultConfig()
	cfg.Tick, cfg.Sends, cfg.RestorePermille, cfg.HashScale = 0, 0, 0, 0
	cfg.Meters = []governor.Meter{
		{Name: "m", Feeder: "f9", Role: fleet.Tenant}, {Role: fleet.Total, Tenant: "x"},
	}
	cfg.Actuators = map[pool.WorkerID]fleet.Actuator{"a.b": nil}
	_, err := governor.New(t.Context(), cfg)
	for _, want := range []string{
		"registry", "tick", "sends", "restore_permille", "hash_scale", "nothing to read", `feeder "f9"`,
		"needs the tenant's name", "only a tenant's branch", `actuator of "a.b": no such worker`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// Ensure that one control domain that carries a whole feeder is sold only where N-1 is switched off, and that
// it is said why there is nothing otherwise.
func TestHeadroom_SellsASingleDomainOnlyWithoutSpare(t *testing.T) {
	for _, off := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 1)
			s.feeder.NoSpare, s.feeder.Overload.Watts = off, 3200
			g, stop := s.start(s.config())
			defer stop()
			s.run(10 * time.Second)
			list, err := g.Headroom("")
			if err != nil {
				t.Fatal(err)
			}
			h := list[0]
			said := strings.Contains(h.Reason, "n_minus_1")
			if sold := h.Firm > 2000; sold != off || h.Spareless != off || said == off {
				t.Errorf("without spare %v: %+v", off, h)
			}
			why, _, _ := strings.Cut(h.Reason, ". ")
			if !strings.Contains(h.Basis(), why) || strings.Contains(h.Basis(), "n_minus_1") {
				t.Errorf("basis %q", h.Basis())
			}
		})
	}
}
