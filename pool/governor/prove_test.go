package governor_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that meters which are read one after the other prove nothing together while a tenant's draw goes up
// and down between them: who has no room by the truth is not proven to have it by readings of two times.
func TestGovernor_ProvesNothingByReadingsOfTwoTimes(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			s, rng := newSim(t, 40), rand.New(rand.NewPCG(seed, 1))
			s.feeder.Overload.Watts = s.feeder.Limit // what the tenant does is not the question
			g, stop := s.start(s.config())
			defer stop()
			first := lease("l1", 40_000, time.Now().Add(30*time.Second), time.Hour)
			setCaps(t, g, 1, first)
			s.until("proof", 2*time.Minute, func() bool { s.proofs(g); return s.proof["l1"].Free })
			for _, d := range s.devices {
				d.mu.Lock()
				d.deaf = true
				d.mu.Unlock()
			}
			second := lease("l2", 20_000, time.Now().Add(30*time.Second), time.Hour)
			setCaps(t, g, 2, first, second)
			drawn, turns := unit.Watts(0), time.Now()
			s.policy = func(now time.Time) unit.Watts {
				if !now.Before(turns) {
					drawn = first.Watts - drawn
					turns = now.Add(2*time.Second + time.Duration(rng.IntN(8_000))*time.Millisecond)
				}
				return drawn
			}
			for range 600 {
				s.run(time.Second)
				s.proofs(g)
				if s.proof["l2"].Free {
					t.Fatalf("seed %d: %v of machines that do not obey are proven free", seed, second.Watts)
				}
			}
		})
	}
}
