package governor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that a return which was ordered, and did not reach its machine, is not sent again while the feeder's
// meters show nothing fresh, and is once they do.
func TestGovernor_SendsNoReturnAgainUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		end := time.Now().Add(time.Minute)
		setCaps(t, g, 1, lease("l1", 40_000, end.Add(-30*time.Second), 30*time.Second))
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(end.Add(-30*time.Second)) || now.After(end) {
				return 0
			}
			return 40_000
		}
		s.run(50 * time.Second)
		mute := func(is bool) {
			for _, d := range s.devices {
				d.mu.Lock()
				d.mute = is
				d.mu.Unlock()
			}
		}
		awake := func() (n int) {
			for _, d := range s.devices {
				if o := d.orders(); len(o) > 0 && o[len(o)-1].Mode == fleet.Free {
					n++
				}
			}
			return n
		}
		before := awake()
		mute(true)
		s.run(30 * time.Second) // the lease ends: returns are ordered and reach nobody
		for _, m := range []*simMeter{s.total, s.mining} {
			m.change(func() { m.broken = true })
		}
		s.run(10 * time.Second) // until their readings are stale
		mute(false)
		s.run(2 * time.Minute)
		if n := awake() - before; n > 0 {
			t.Errorf("%d machines were told to return by meters that show nothing", n)
		}
		for _, m := range []*simMeter{s.total, s.mining} {
			m.change(func() { m.broken = false })
		}
		s.until("return", 3*time.Minute, func() bool { return one(g).Curtailed == 0 && awake() > before })
		s.neverOver()
	})
}
