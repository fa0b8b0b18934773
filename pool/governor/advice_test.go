package governor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that a feeder which is not armed to act says whom it would have told, and what that would have
// saved and cost, and that the sums agree with the truth and begin anew when it is armed.
func TestGovernor_SaysWhatItWouldHaveDone(t *testing.T) {
	for _, arm := range []fleet.Arm{fleet.Observe, fleet.Advise} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 20)
			s.feeder.Arm = arm
			g, stop := s.start(s.config())
			defer stop()
			setCaps(t, g, 1)
			s.run(10 * time.Second)
			if a := g.Advice(); len(a) != 1 || len(a[0].Workers) > 0 || a[0].Over > 0 || a[0].Energy > 0 {
				t.Errorf("%v: with nothing to do: %+v", arm, a)
			}
			const claimed = 20_000
			setCaps(t, g, 2, lease("l1", claimed, time.Now(), time.Hour))
			s.run(100 * time.Second)
			a := g.Advice()[0]
			var freed unit.Watts
			for _, w := range a.Workers {
				freed += w.From - w.To
			}
			if freed != a.Freed || a.Freed < claimed*8/10 || a.Freed > claimed*12/10 {
				t.Errorf("%v: would free %v by %d workers that free %v", arm, a.Freed, len(a.Workers), freed)
			}
			if e := a.Freed.Over(100); a.Energy < e*97/100 || a.Energy > e*103/100 {
				t.Errorf("%v: energy %v of %v", arm, a.Energy, e)
			}
			if c := a.Cost / 36; a.Cost <= 0 || a.Foregone < c*97/100 || a.Foregone > c*103/100 {
				t.Errorf("%v: foregone %v at %v an hour", arm, a.Foregone, a.Cost)
			}
			if a.Over < 97*time.Second || a.Over > 101*time.Second || a.OverMost < claimed*7/10 {
				t.Errorf("%v: over the bound for %v, by up to %v", arm, a.Over, a.OverMost)
			}
			if n := uint64(len(a.Workers)); a.Orders < n || a.Orders > 2*n {
				t.Errorf("%v: %d orders for %d workers", arm, a.Orders, n)
			}
			if n := s.writes(); n > 0 {
				t.Errorf("%v: %d orders were written", arm, n)
			}
			other := fleet.Observe + fleet.Advise - arm
			if err := g.SetArm(t.Context(), "f1", other); err != nil {
				t.Fatal(err)
			}
			s.run(2 * time.Second)
			if b := g.Advice()[0]; b.Arm != other || b.Orders != uint64(len(a.Workers)) {
				t.Errorf("%v after %v: %d orders for %d workers", b.Arm, arm, b.Orders, len(a.Workers))
			}
			if err := g.SetArm(t.Context(), "f1", fleet.Act); err != nil {
				t.Fatal(err)
			}
			if a := g.Advice(); len(a) > 0 {
				t.Errorf("armed to act: %+v", a)
			}
			if err := g.SetArm(t.Context(), "f1", arm); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // for the look that this asks for, which advises at once
			a = g.Advice()[0]
			if !a.Since.Equal(time.Now()) || a.Energy > 0 || a.Over > 0 || a.Orders > uint64(len(a.Workers)) {
				t.Errorf("%v again: %+v", arm, a)
			}
		})
	}
}
