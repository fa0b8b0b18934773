package governor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that a claim does not wait for machines that say nothing and may be on their way back: their returns
// count in full until three times their time has passed, and others make room for them meanwhile.
func TestGovernor_MakesRoomForReturnsThatCannotBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		spare := s.feeder.Limit * 3 / 10
		s.feeder.Limit += spare // machines are told to mine freely, as far as there is room for their return
		for i, d := range s.devices {
			d.capability.ReturnIn = 6 * time.Minute
			d.silent = i%4 == 0 // and draws its full power all the while
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(2 * time.Minute)
		l := lease("l1", 40_000+spare, time.Now().Add(30*time.Second), time.Hour)
		setCaps(t, g, 2, l)
		s.policy = func(now time.Time) unit.Watts {
			if s.proof["l1"].Free && !now.Before(l.From) {
				return l.Watts
			}
			return 0
		}
		s.until("proof", 90*time.Second, func() bool {
			s.proofs(g)
			return s.proof["l1"].Free
		})
		mined := one(g).Mining
		s.run(30 * time.Minute) // until their time has passed
		s.proofs(g)
		if !s.proof["l1"].Free {
			t.Errorf("no longer proven: %s", s.proof["l1"].Reason)
		}
		if now := one(g).Mining; now < mined+8_000 {
			t.Errorf("%v is mined, little more than while the returns counted: %v", now, mined)
		}
		s.neverOver()
	})
}
