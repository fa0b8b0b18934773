package fleet_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

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

// exactly is the hashrate a freed watt that any choice among the points of the machines' curves loses at
// least, by dynamic programming over every single watt. Nothing of the planner is in it.
func exactly(ws []*fleet.WorkerState, need unit.Watts) float64 {
	left := unit.Watts(0) // what the machines that are not looked at yet can free at most
	for _, st := range ws {
		left += mostOf(st)
	}
	least := slices.Repeat([]float64{math.Inf(1)}, int(need)+1) // by freed watts; the last: so many or more
	least[0] = 0
	next := make([]float64, len(least))
	for _, st := range ws {
		full := st.Worker.Curve.Full().Watts
		left -= mostOf(st)
		from := int(max(0, need-left)) // who frees less by now does not get there
		for i := from; i <= int(need); i++ {
			next[i] = math.Inf(1)
		}
		for _, o := range states(st, false) {
			addState(next, least, from, int(full-o.watts), o.lost)
		}
		least, next = next, least
	}
	return least[need] / (3600 * price) / float64(need)
}

// mostOf is what a machine can free at most.
func mostOf(st *fleet.WorkerState) (most unit.Watts) {
	for _, o := range states(st, false) {
		most = max(most, st.Worker.Curve.Full().Watts-o.watts)
	}
	return most
}

// addState lets one more machine free so many watts, in all cells of next from one on.
func addState(next, least []float64, from, freed int, lost float64) {
	last := len(next) - 1
	for i := max(0, last-freed); i <= last; i++ {
		next[last] = min(next[last], least[i]+lost)
	}
	from = max(from, freed)
	if from >= last {
		return
	}
	to := next[from:last]
	by := least[from-freed:][:len(to)]
	for i, v := range by {
		if v += lost; v < to[i] {
			to[i] = v
		}
	}
}

// bound is the hashrate a freed watt that no choice goes below, the capping of machines between the points of
// their curves included: that of the cheapest steps along their lower hulls, taken in fractions.
func bound(ws []*fleet.WorkerState, need unit.Watts) float64 {
	type step struct{ slope, watts float64 }
	var steps []step
	lost, left := 0.0, float64(need)
	for _, st := range ws {
		all := states(st, false)
		slices.SortFunc(all, func(a, b state) int { return cmp.Compare(b.watts, a.watts) })
		lost += all[0].lost // of one that has to sleep on
		left -= float64(st.Worker.Curve.Full().Watts - all[0].watts)
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
	for _, s := range steps {
		take := min(max(left, 0), s.watts)
		lost += take * s.slope
		left -= take
	}
	return lost / (3600 * price) / float64(need)
}

// lostOf is a fleet whose machines have no wear, so that hashes are all that is lost, and those in the order
// in which two simpler rules let them sleep.
func lostOf(n int) (s *fleet.Snapshot, caps []fleet.Cap, random, worst []*fleet.WorkerState) {
	s, caps = jittered(n, 1)
	for i := range s.Workers {
		s.Workers[i].Worker.Wear = 0
		random = append(random, &s.Workers[i])
	}
	worst = slices.Clone(random)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { random[i], random[j] = random[j], random[i] })
	slices.SortStableFunc(worst, func(a, b *fleet.WorkerState) int {
		x, y := a.Worker.Curve.Full(), b.Worker.Curve.Full()
		return cmp.Compare(float64(x.Hashrate)/float64(x.Watts), float64(y.Hashrate)/float64(y.Watts))
	})
	return s, caps, random, worst
}

// optimum is exactly's figure for the fleet of a thousand, which takes seconds to find.
var optimum = sync.OnceValue(func() float64 {
	_, caps, ws, _ := lostOf(1000)
	return exactly(ws, caps[0].Watts)
})

// BenchmarkPlan_HashLost says how much hashrate a plan gives up for a watt, against sleeping the worst
// machines first and sleeping any: in percent above the exact optimum for a thousand machines, and above a
// bound that the optimum does not go below for more, where finding it would take hours.
func BenchmarkPlan_HashLost(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			s, caps, random, worst := lostOf(n)
			need, of := caps[0].Watts, "%-over-bound"
			least := bound(random, need)
			if n == 1000 {
				least, of = optimum(), "%-over-optimum"
			}
			var p fleet.Planner
			lost := 0.0
			for b.Loop() {
				lost = float64(p.Plan(s, caps, noon).Feeders[0].Lost) / float64(need)
			}
			b.ReportMetric(lost/1e9, "GH/W")
			b.ReportMetric(100*(lost/least-1), of)
			b.ReportMetric(100*(sleepInOrder(worst, need)/least-1), "worst-first-"+of)
			b.ReportMetric(100*(sleepInOrder(random, need)/least-1), "random-"+of)
		})
	}
}

// Ensure that the exact search of the benchmark finds what trying everything finds, and that its bound is
// one.
func TestExactly_FindsWhatTryingEverythingFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawnSnapshot(t, 5)
		ws := make([]*fleet.WorkerState, len(s.Workers))
		var full unit.Watts
		for i := range s.Workers {
			ws[i] = &s.Workers[i]
			ws[i].Worker.Pinned, ws[i].Reachable = false, true
			full += ws[i].Worker.Curve.Full().Watts
		}
		need := unit.Watts(rapid.IntRange(1, int(full)+1).Draw(t, "need"))
		want, _ := oracle(s.Workers, full-need, false)
		want /= 3600 * price * float64(need)
		if got := exactly(ws, need); math.Abs(got-want) > 1e-9*want && got != want {
			t.Errorf("freeing %d W loses %v exactly, %v by trying everything", need, got, want)
		}
		if got := bound(ws, need); got > want*(1+1e-9) {
			t.Errorf("freeing %d W loses %v by the bound, %v by trying everything", need, got, want)
		}
	})
}
