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

// Ensure that a limit from outside holds all that a site takes below it from its begin to its end, that it
// survives a restart, that the lowest binds, that a tenant's lease beside it stays ACTIVE, and that mining
// returns when it is cleared.
func TestGovernor_KeepsLimitsFromOutside(t *testing.T) {
	for _, feeder := range []string{"", "f1"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 40)
			s.feeder.Notice = 8 * time.Second
			cfg := s.config()
			cfg.Journal = mem.New()
			g, stop := s.start(cfg)
			setCaps(t, g, 1)
			s.run(5 * time.Second)
			full := s.truth()
			want := func(what string, watts unit.Watts) {
				t.Helper()
				s.until(what, 20*time.Second, func() bool { return s.truth() <= watts })
				s.run(time.Minute)
				if got := s.truth(); got > watts || got < watts*95/100 && watts < full {
					t.Errorf("%s on %q: %v is taken, the limit is %v", what, feeder, got, watts)
				}
			}
			begin := time.Now().Add(30 * time.Second)
			set := func(watts unit.Watts, from time.Time, d time.Duration) governor.Limit {
				t.Helper()
				l, err := g.SetLimit(t.Context(), governor.Limit{
					Site: "s1", Feeder: fleet.FeederID(feeder), Watts: watts,
					From: from, Until: from.Add(d), Reason: "4CP",
				})
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			set(full*8/10, begin, time.Hour)
			s.run(20 * time.Second)
			if s.writes() > 0 {
				t.Error("orders left before the limit's notice")
			}
			if ls := g.Limits(); len(ls) != 1 || ls[0].InForce {
				t.Errorf("before its begin: %+v", ls)
			}
			s.run(10 * time.Second)
			if got := s.truth(); got > full*8/10 {
				t.Errorf("%v is taken when the limit of %v begins on %q", got, full*8/10, feeder)
			}
			want("the limit's begin", full*8/10)
			lower := set(full*6/10, time.Now(), 30*time.Minute)
			want("a lower limit", full*6/10)
			stop()
			cfg.Term = 2
			g, stop = s.start(cfg)
			defer stop()
			setCaps(t, g, 2, lease("l1", 10_000, time.Now(), 10*time.Minute))
			s.policy = func(time.Time) unit.Watts {
				if s.proofs(g); s.proof["l1"].Free && !s.proof["l1"].Gone {
					return 10_000
				}
				return 0
			}
			want("a restart with a tenant", full*6/10)
			if !s.proof["l1"].Free {
				t.Errorf("the tenant's lease is not proven: %q", s.proof["l1"].Reason)
			}
			if err := g.ClearLimit(t.Context(), lower.ID); err != nil {
				t.Fatal(err)
			}
			s.run(2 * time.Minute)
			want("the higher limit again", full*8/10)
			ls := g.Limits()
			if len(ls) != 1 || !ls[0].InForce || ls[0].Metered > full*8/10 || ls[0].Fixed < 10_000 {
				t.Errorf("limits %+v", ls)
			}
			s.neverOver()
		})
	}
}

// Ensure that faulty limits are refused with what is accepted, and that nothing is kept of them.
func TestGovernor_RefusesFaultyLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		g, stop := s.start(s.config())
		defer stop()
		now := time.Now()
		good := governor.Limit{Site: "s1", Watts: 1000, Until: now.Add(time.Hour)}
		for want, change := range map[string]func(*governor.Limit){
			"no site":           func(l *governor.Limit) { l.Site = "s9" },
			"no feeder":         func(l *governor.Limit) { l.Feeder = "f9" },
			"0 or more":         func(l *governor.Limit) { l.Watts = -1 },
			"which is over":     func(l *governor.Limit) { l.Until = now },
			"a later end":       func(l *governor.Limit) { l.From = now.Add(2 * time.Hour) },
			"366 days":          func(l *governor.Limit) { l.Until = now.Add(367 * 24 * time.Hour) },
			"reason has":        func(l *governor.Limit) { l.Reason = "a\nb" },
			"reason has 201 by": func(l *governor.Limit) { l.Reason = strings.Repeat("x", 201) },
		} {
			l := good
			change(&l)
			if _, err := g.SetLimit(t.Context(), l); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v", want, err)
			}
		}
		if err := g.ClearLimit(t.Context(), 1); !errors.Is(err, governor.ErrUnknown) {
			t.Errorf("an unknown limit was cleared: %v", err)
		}
		for range governor.MaxLimits {
			if _, err := g.SetLimit(t.Context(), good); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.SetLimit(t.Context(), good); !errors.Is(err, governor.ErrState) {
			t.Errorf("one more than is kept gave %v", err)
		}
	})
}
