package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Ensure that joules which a tenant draws beyond its lease are told apart from those that it was sold, in its
// window and after it, also across a restart, and that one who keeps to it has none.
func TestGovernor_LaysExcessToTheTenant(t *testing.T) {
	for name, c := range map[string]struct {
		draw            func(into time.Duration) unit.Watts // since the window began
		delivered, over unit.Joules
		warned          bool
	}{
		"keeps to it":    {func(time.Duration) unit.Watts { return 10_000 }, 600_000, 0, false},
		"coarse counter": {func(time.Duration) unit.Watts { return 10_000 }, 580_000, 0, false},
		"within class":   {func(time.Duration) unit.Watts { return 10_080 }, 600_000, 0, false},
		"draws more":     {func(time.Duration) unit.Watts { return 12_000 }, 600_000, 120_000, true},
		"stays a while":  {nil, 600_000, 200_000, true},
		"more, in part": {func(d time.Duration) unit.Watts {
			if d < 30*time.Second {
				return 13_000
			}
			return 5_000
		}, 450_000, 90_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			coarse := unit.Joules(0)
			if name == "coarse counter" {
				coarse = 36_000
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 40)
				s.tenant.coarse = coarse
				cfg := s.config()
				cfg.Journal = mem.New()
				g, stop := s.start(cfg)
				l := lease("l1", 10_000, time.Now().Add(40*time.Second), time.Minute)
				s.policy = func(now time.Time) unit.Watts {
					into := now.Sub(l.From)
					switch {
					case into < 0, c.draw != nil && !now.Before(l.Until):
						return 0
					case c.draw == nil && into >= 80*time.Second:
						return 0
					case c.draw == nil:
						return 10_000
					}
					return c.draw(into)
				}
				setCaps(t, g, 1, l)
				s.run(55 * time.Second)
				stop()
				cfg.Term = 2
				g, stop = s.start(cfg)
				defer stop()
				setCaps(t, g, 1, l)
				s.after = 0
				s.run(90 * time.Second)
				s.proofs(g)
				p := s.proof["l1"]
				if !near(p.Delivered, c.delivered) || !near(p.Overrun, c.over) || !p.Gone {
					t.Errorf("delivered %v, overrun %v, gone %v; want %v and %v",
						p.Delivered, p.Overrun, p.Gone, c.delivered, c.over)
				}
				warned := false
				for _, e := range g.Events(0) {
					named := strings.HasPrefix(e.Message, "OVERRUN: tenant acme")
					warned = warned || named && e.Level == governor.Warn
				}
				if warned != c.warned {
					t.Errorf("an overrun was told: %v", warned)
				}
				s.withinAllowance()
			})
		})
	}
}

// near is within what readings a second apart can tell: 3 % of a minute of 10 kW.
func near(got, want unit.Joules) bool {
	return got <= want+want/50+18_000 && got >= want-want/50-18_000 && (want > 0 || got == 0)
}

// Ensure that mining yields at once to a tenant that stays, that the next tenant's lease on the feeder is not
// proven as long, though there is room, and that it is once the first has gone.
func TestGovernor_LetsNobodyBeginBesideAnOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		cfg := s.config()
		other := &simMeter{truth: func() unit.Watts { return 0 }}
		cfg.Meters = append(cfg.Meters, governor.Meter{
			Name: "other", Feeder: "f1", Role: fleet.Tenant, Tenant: "zeta", Meter: other,
		})
		g, stop := s.start(cfg)
		defer stop()
		start := time.Now().Add(40 * time.Second)
		first := lease("l1", 10_000, start, time.Minute)
		second := lease("l2", 3_000, start.Add(75*time.Second), time.Minute)
		second.Tenant = "zeta"
		leaves := start.Add(90 * time.Second)
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(first.From) || now.After(leaves) {
				return 0
			}
			return 10_000
		}
		setCaps(t, g, 1, first, second)
		run := func(d time.Duration) {
			for range int(d / simStep) {
				s.run(simStep)
				other.refresh(time.Now(), time.Second)
			}
		}
		run(time.Until(second.From) + 10*time.Second)
		s.proofs(g)
		if p := s.proof["l2"]; p.Free || !strings.Contains(p.Reason, "tenant acme draws") {
			t.Errorf("beside an overrun: free %v, %q", p.Free, p.Reason)
		}
		if st := one(g); len(st.Overruns) != 1 || !strings.HasPrefix(st.State, "OVERRUN") {
			t.Errorf("the status says %q, %+v", st.State, st.Overruns)
		}
		run(time.Until(leaves) + 10*time.Second)
		s.proofs(g)
		if p := s.proof["l2"]; !p.Free {
			t.Errorf("after it: %q", p.Reason)
		}
		s.withinAllowance()
	})
}

// withinAllowance is neverOver where somebody else than us may pass the limit.
func (s *sim) withinAllowance() {
	s.t.Helper()
	if o := s.feeder.Overload; s.over > o.For || s.most > s.feeder.Limit+o.Watts {
		s.t.Errorf("over the limit of %v for %v, up to %v", s.feeder.Limit, s.over, s.most)
	}
}
