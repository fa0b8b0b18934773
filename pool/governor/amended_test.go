package governor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that each proof names the watts it is about: a claim that grew is not free for the further ones
// until a meter shows them all free, and one that shrank goes on being free, for fewer.
func TestGovernor_ProofsNameTheirWatts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		began := time.Now()
		claim := func(w unit.Watts) func() bool {
			return func() bool {
				s.proofs(g)
				p := s.proof["l1"]
				return p.Watts == w && p.Free
			}
		}
		setCaps(t, g, 1, lease("l1", 10_000, began, time.Hour))
		s.until("10 kW are free", 5*time.Minute, claim(10_000))
		setCaps(t, g, 2, lease("l1", 30_000, began, time.Hour))
		synctest.Wait()
		s.proofs(g)
		if p := s.proof["l1"]; p.Free && p.Watts == 30_000 {
			t.Errorf("30 kW are free at once: %+v", p)
		}
		s.until("30 kW are free", 5*time.Minute, claim(30_000))
		free := s.feeder.Limit - s.feeder.Reserve - s.truth()
		if free < 30_000*98/100 {
			t.Errorf("30 kW are said to be free, %v are", free)
		}
		setCaps(t, g, 3, lease("l1", 20_000, began, time.Hour))
		s.until("20 kW are free", 10*time.Second, claim(20_000))
	})
}
