package fleet_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// sleepInOrder is the hashrate a freed watt that is lost if machines sleep in an order until enough is free.
func sleepInOrder(ws []*fleet.WorkerState, need unit.Watts) float64 {
	freed, lost := unit.Watts(0), 0.0
	for _, st := range ws {
		w := st.Worker
		if freed >= need {
			break
		}
		if !st.Capability.CanPause || noon.Sub(st.Since) < w.MinRun {
			continue
		}
		freed += w.Curve.Full().Watts - w.Sleep
		lost += float64(w.Curve.Full().Hashrate)
	}
	return lost / float64(need)
}

// optimum is the hashrate a freed watt that any choice loses at least: that of the cheapest steps along the
// machines' lower hulls, taken in fractions.
func optimum(ws []*fleet.WorkerState, need unit.Watts) float64 {
	type step struct{ slope, watts float64 }
	var steps []step
	for _, st := range ws {
		all := states(st, false)
		slices.SortFunc(all, func(a, b state) int { return cmp.Compare(b.watts, a.watts) })
		for at := 0; at < len(all)-1; {
			next, best := at, 0.0
			for j := at + 1; j < len(all); j++ {
				slope := (all[j].lost - all[at].lost) / float64(all[at].watts-all[j].watts)
				if next == at || slope <= best {
					next, best = j, slope
				}
			}
			steps = append(steps, step{best, float64(all[at].watts - all[next].watts)})
			at = next
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.slope, b.slope) })
	lost, left := 0.0, float64(need)
	for _, s := range steps {
		take := min(left, s.watts)
		lost += take * s.slope
		left -= take
	}
	return lost / (3600 * price) / float64(need)
}

// BenchmarkPlan_HashLost says how much hashrate a plan gives up for a watt, against sleeping the worst
// machines first, sleeping any, and the least that is possible.
func BenchmarkPlan_HashLost(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			s, caps := jittered(n, 1)
			ws := make([]*fleet.WorkerState, n)
			for i := range s.Workers {
				s.Workers[i].Worker.Wear = 0
				ws[i] = &s.Workers[i]
			}
			need := caps[0].Watts
			least := optimum(ws, need)
			rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { ws[i], ws[j] = ws[j], ws[i] })
			random := sleepInOrder(ws, need)
			slices.SortStableFunc(ws, func(a, b *fleet.WorkerState) int {
				x, y := a.Worker.Curve.Full(), b.Worker.Curve.Full()
				return cmp.Compare(float64(x.Hashrate)/float64(x.Watts), float64(y.Hashrate)/float64(y.Watts))
			})
			worst := sleepInOrder(ws, need)
			var p fleet.Planner
			lost := 0.0
			for b.Loop() {
				lost = float64(p.Plan(s, caps, noon).Feeders[0].Lost) / float64(need)
			}
			b.ReportMetric(lost/1e9, "GH/W")
			b.ReportMetric(lost/least, "x-optimum")
			b.ReportMetric(worst/least, "worst-first-x-optimum")
			b.ReportMetric(random/least, "random-x-optimum")
		})
	}
}
