package simtest_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/governor/simtest"
)

var seed = flag.Uint64("sim.seed", 0, "run the short simulation with this seed alone")

// simulate runs a simulation in a bubble.
func simulate(t *testing.T, cfg simtest.Config) (res *simtest.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if res, err = simtest.Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	})
	if res == nil {
		t.FailNow()
	}
	return res
}

// Ensure that nothing passes an overload allowance while at most one control domain fails, and that
// every proof holds in truth.
func TestSim_ShortStories(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	span := 2 * time.Hour
	if testing.Short() { // as the race detector runs them, five times as slowly
		seeds, span = seeds[:1], time.Hour
	}
	for _, s := range seeds {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			cfg := simtest.Short(s, 300, span)
			cfg.Audit = t.TempDir()
			if s == 4 {
				cfg.Branches, cfg.Span, cfg.Tick = true, span/4, 2*time.Second
			}
			res := simulate(t, cfg)
			t.Log("\n" + res.Text())
			if err := res.Err(); err != nil {
				t.Errorf("%v\nagain: go test ./pool/governor/simtest -run ShortStories -sim.seed %d", err, s)
			}
		})
	}
}

// Ensure that operators' curtailments free what was wished, where nothing else moves machines.
func TestSim_Curtailments(t *testing.T) {
	cfg := simtest.Short(5, 300, 12*time.Hour)
	cfg.Quiet, cfg.FaultEvery, cfg.WideEvery, cfg.Tick = true, 3*time.Hour, 0, 2*time.Second
	if testing.Short() {
		cfg.Span = 3 * time.Hour
	}
	res := simulate(t, cfg)
	t.Log("\n" + res.Text())
	if err := res.Err(); err != nil {
		t.Error(err)
	}
	if least := int(cfg.Span / (2 * time.Hour)); res.Curtailed < least {
		t.Errorf("%d of %d curtailments were judged, at least %d should be",
			res.Curtailed, res.Curtailments, least)
	}
}

// Ensure that ten thousand workers keep to the same rules.
func TestSim_ManyWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	cfg := simtest.Short(11, 10_000, 10*time.Minute)
	cfg.FaultEvery, cfg.Sites = 2*time.Minute, 3
	res := simulate(t, cfg)
	t.Log("\n" + res.Text())
	if err := res.Err(); err != nil {
		t.Error(err)
	}
}

// governors changes how the governor is configured.
func governors(change func(*governor.Config)) func(*simtest.Config) {
	return func(c *simtest.Config) { c.Defect = change }
}

// feeders changes what the governor is told of every feeder.
func feeders(change func(*fleet.Feeder)) func(*simtest.Config) {
	return func(c *simtest.Config) {
		c.Defect = func(g *governor.Config) {
			for _, s := range g.Sites {
				for i := range s.Feeders {
					change(&s.Feeders[i])
				}
			}
		}
	}
}

// branches has the governor know no limit of one kind of branch, in a story that has them.
func branches(kind fleet.BranchKind) func(*simtest.Config) {
	return func(c *simtest.Config) {
		c.Branches, c.Tick = true, 2*time.Second
		c.Defect = func(g *governor.Config) {
			for _, s := range g.Sites {
				for i := range s.Branches {
					if b := &s.Branches[i]; b.Kind == kind {
						b.Limit *= 10
					}
				}
			}
		}
	}
}

// doubled is a meter that shows twice what it measures.
type doubled struct{ fleet.Meter }

// Read implements fleet.Meter.
func (m doubled) Read(ctx context.Context) (fleet.Reading, error) {
	r, err := m.Meter.Read(ctx)
	r.Watts *= 2
	return r, err
}

// defects are what the simulation must find, and by which judge. Of four stories that with the first seed
// is tried first: it is known to show the defect soon.
var defects = []struct {
	name, shows string
	first       uint64
	change      func(*simtest.Config)
}{
	{"restores ten times as fast", "ramp", 1, feeders(func(f *fleet.Feeder) { f.Restore *= 10 })},
	{"ignores the reserve", "proof", 1, feeders(func(f *fleet.Feeder) { f.Reserve = 0 })},
	{"holds nothing", "outside", 1, func(c *simtest.Config) { c.NoHold, c.ValidFor = true, 20*time.Second }},
	{"only observes", "outside", 3, feeders(func(f *fleet.Feeder) { f.Arm = fleet.Observe })},
	{"takes all for twice as much", "curtailed", 1, func(c *simtest.Config) {
		c.Quiet, c.FaultEvery, c.WideEvery = true, 0, 0
		c.Defect = func(g *governor.Config) {
			for i := range g.Meters {
				g.Meters[i].Meter = doubled{g.Meters[i].Meter}
			}
			for i := range g.Workers {
				w := &g.Workers[i]
				w.Curve = slices.Clone(w.Curve)
				for k := range w.Curve {
					w.Curve[k].Watts *= 2
				}
			}
		}
	}},
	{"believes meters for ten minutes", "blind", 2, governors(func(g *governor.Config) {
		g.Stale, g.Lost = 10*time.Minute, 10*time.Minute
	})},
	{"knows no transformer", "branch", 3, branches(fleet.Transformer)},
	{"knows no PDU", "branch", 1, branches(fleet.PDU)},
	{"takes no machine for stuck", "late", 9, governors(func(g *governor.Config) {
		g.ShedGrace = time.Hour
	})},
}

// Ensure that the simulation finds seeded defects: what cannot fail shows nothing.
func TestSim_FindsSeededDefects(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			failed := map[string]int{}
			for s := range uint64(4) {
				cfg := simtest.Short(d.first+s, 300, 2*time.Hour)
				d.change(&cfg)
				cfg.Every = time.Minute
				cfg.Progress = func(_ time.Duration, r *simtest.Result) bool {
					return r.Failed[d.shows] == 0
				}
				for k, n := range simulate(t, cfg).Failed {
					failed[k] += n
				}
				if failed[d.shows] > 0 {
					t.Logf("found in seed %d", cfg.Seed)
					return
				}
			}
			t.Errorf("not found by %q: %v", d.shows, failed)
		})
	}
}
