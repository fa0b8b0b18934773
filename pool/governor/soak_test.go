package governor_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// soak is ten minutes of leases that come, overlap and go, on a site whose machines and meters
// misbehave at random. The tenant draws what was proven and nothing else.
func soak(t *testing.T, seed uint64) *sim {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	s := newSim(t, 40)
	for _, d := range s.devices {
		d.shed = time.Duration(500+r.IntN(6000)) * time.Millisecond
		d.wake = time.Duration(2000+r.IntN(30_000)) * time.Millisecond
		d.factor = 0.98 + 0.03*r.Float64()
		d.deaf, d.mute = r.IntN(25) == 0, r.IntN(25) == 0
		d.liar, d.silent = r.IntN(25) == 0, r.IntN(10) == 0
		d.capability.CanCap = r.IntN(2) == 0
	}
	cfg := s.config()
	cfg.Reoptimise = time.Minute
	g, stop := s.start(cfg)
	defer stop()
	begin := time.Now()
	var caps []fleet.Cap
	for i := range 6 {
		at := begin.Add(time.Duration(20+r.IntN(400)) * time.Second)
		caps = append(caps, lease(fmt.Sprintf("l%d", i), unit.Watts(3000+r.IntN(12_000)), at,
			time.Duration(30+r.IntN(120))*time.Second))
	}
	s.policy = func(now time.Time) (sum unit.Watts) {
		s.proofs(g)
		for _, c := range caps {
			if s.proof[c.Claim].Free && !now.Before(c.From) && now.Before(c.Until) {
				sum += c.Watts
			}
		}
		return sum
	}
	setCaps(t, g, 1, caps...)
	base := s.base
	for range 60 {
		s.mu.Lock()
		s.base = base - base/20 + unit.Watts(r.IntN(int(base/10)))
		s.mu.Unlock()
		for _, m := range []*simMeter{s.mining, s.total} {
			m.change(func() { m.broken, m.bias = r.IntN(8) == 0, 0.004*r.Float64()-0.002 })
		}
		s.run(10 * time.Second)
	}
	proven := 0
	for _, c := range caps {
		if !s.proof[c.Claim].FirstOrder.IsZero() || s.proof[c.Claim].Free {
			proven++
		}
		if !s.proof[c.Claim].Gone {
			t.Errorf("seed %d: %s is not gone: %+v", seed, c.Claim, s.proof[c.Claim])
		}
	}
	if proven < 5 {
		t.Errorf("seed %d: only %d of 6 leases were served", seed, proven)
	}
	return s
}

// mostOrders is what ten minutes of six leases may cost forty machines: six orders each. Plans that were
// made anew with every watt of the base load cost up to twenty-five.
const mostOrders = 240

// Ensure that whatever the machines and meters do, the limit is not crossed by our act, and nobody is
// sent back and forth. Seeds 104 and 173 were the worst of 1,500.
func TestGovernor_NeverCrossesTheLimitUnderRandomFaults(t *testing.T) {
	for _, seed := range []uint64{0, 1, 104, 173} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := soak(t, seed)
				if s.over > 0 {
					t.Errorf("seed %d: over the limit of %v for %v, up to %v",
						seed, s.feeder.Limit, s.over, s.most)
				}
				if n := s.writes(); n > mostOrders {
					t.Errorf("seed %d: %d orders for %d machines: at most %d are accepted",
						seed, n, len(s.devices), mostOrders)
				}
			})
		})
	}
}
