package fleet_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// fleets is how many random fleets of each kind are compared with the exact optimum.
var fleets = flag.Int("fleets", 3000, "random fleets to plan and compare with the exact optimum")

func drawnFleets() int {
	if testing.Short() {
		return min(*fleets, 300)
	}
	return *fleets
}

// costs is the least cost at which exactly so many watts can be freed, by watts.
type costs []float64

// freeing is what workers can free together, by dynamic programming over watts.
func freeing(ws []fleet.WorkerState) costs {
	sum := costs{0}
	for i := range ws {
		full := ws[i].Worker.Curve.Full().Watts
		one := slices.Repeat(costs{math.Inf(1)}, int(full)+1)
		for _, s := range states(&ws[i], false) {
			one[full-s.watts] = min(one[full-s.watts], s.lost)
		}
		sum = sum.and(one)
	}
	return sum
}

// and is what two groups can free together.
func (c costs) and(d costs) costs {
	sum := slices.Repeat(costs{math.Inf(1)}, len(c)+len(d)-1)
	for i, a := range c {
		if math.IsInf(a, 1) {
			continue
		}
		for j, b := range d {
			sum[i+j] = min(sum[i+j], a+b)
		}
	}
	return sum
}

// atLeast leaves only what frees need watts or more.
func (c costs) atLeast(need unit.Watts) costs {
	for i := range min(len(c), int(max(0, need))) {
		c[i] = math.Inf(1)
	}
	return c
}

func (c costs) least() float64 { return slices.Min(c) }

// smallWorker is a machine of a few watts, so that an exact search over watts is possible.
func smallWorker(r *rand.Rand, i int) fleet.WorkerState {
	points := 1 + r.IntN(4)
	c := make(fleet.Curve, 0, points)
	watts, rate := unit.Watts(6+r.IntN(15)), 50e12*(0.5+r.Float64())
	for range points {
		c = append(c, fleet.Point{Watts: watts, Hashrate: unit.Hashrate(rate)})
		watts += unit.Watts(1 + r.IntN(12))
		rate *= 1 + r.Float64()
	}
	return fleet.WorkerState{
		Worker: &fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.w%d", i)), Feeder: "f", Curve: c, Sleep: 1,
			Wear: unit.Msat(r.IntN(20)),
		},
		Reachable: true, Draw: c.Full().Watts,
		Capability: fleet.Capability{CanCap: r.IntN(2) == 0, CanPause: r.IntN(4) > 0, Min: c[0].Watts},
	}
}

// withinOnePercent fails if a plan costs more than one part in a hundred above the optimum.
func withinOnePercent(t *testing.T, seed int, s *fleet.Snapshot, p fleet.Plan, best float64) {
	t.Helper()
	if _, cost := costOf(s, p); cost > best*1.01+1e-6 {
		t.Errorf("seed %d: plan costs %.3f msat/h, the optimum %.3f: %.2f %% more",
			seed, cost, best, 100*(cost/best-1))
	}
}

// Ensure that from 30 workers on a plan is within one percent of the exact optimum, found by dynamic
// programming.
func TestMakePlan_IsWithinOnePercentOfTheOptimum(t *testing.T) {
	for seed := range drawnFleets() {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		s := &fleet.Snapshot{MsatPerHash: price}
		var full unit.Watts
		for i := range 30 + r.IntN(51) {
			s.Workers = append(s.Workers, smallWorker(r, i))
			full += s.Workers[i].Draw
		}
		need := unit.Watts(1 + r.IntN(int(full)*8/10))
		s.Feeders = []fleet.FeederState{{Feeder: &fleet.Feeder{ID: "f", Limit: full - need}}}
		best := freeing(s.Workers).atLeast(need).least()
		p := fleet.MakePlan(s, nil, noon)
		if math.IsInf(best, 1) {
			if p.Feeders[0].Short == 0 {
				t.Fatal("nothing frees enough, and nobody says so")
			}
			continue
		}
		if p.Feeders[0].Short > 0 {
			t.Fatalf("short by %d W", p.Feeders[0].Short)
		}
		withinOnePercent(t, seed, s, p, best)
	}
}

// Ensure the same for a site whose PDUs, feeders, transformer and import all have limits of their own.
func TestMakePlan_IsWithinOnePercentOfTheOptimumOnATree(t *testing.T) {
	for seed := range drawnFleets() {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		s := &fleet.Snapshot{MsatPerHash: price}
		groups := [][]fleet.WorkerState{{}, {}, {}, {}} // PDU on f0, the rest of f0, f1, f2
		for i := range len(groups) * (30 + r.IntN(11)) {
			g := i % len(groups)
			st := smallWorker(r, i)
			st.Worker.Feeder = fleet.FeederID(fmt.Sprintf("f%d", max(0, g-1)))
			if g == 0 {
				st.Worker.Branch = "p"
			}
			groups[g] = append(groups[g], st)
			s.Workers = append(s.Workers, st)
		}
		full := make([]unit.Watts, len(groups))
		free := make([]costs, len(groups))
		for g, ws := range groups {
			free[g] = freeing(ws)
			for i := range ws {
				full[g] += ws[i].Draw
			}
		}
		limit := func(below unit.Watts, most int) (limit, need unit.Watts) { // a share of it has to give way
			need = below * unit.Watts(r.IntN(most+1)) / 100
			return below - need + 1, need - 1
		}
		pdu, pduNeed := limit(full[0], 60)
		f0, f0Need := limit(full[0]+full[1], 60)
		f1, f1Need := limit(full[2], 60)
		f2, f2Need := limit(full[3], 60)
		tr, trNeed := limit(full[0]+full[1]+full[2], 70)
		all, allNeed := limit(full[0]+full[1]+full[2]+full[3], 75)
		below := free[0].atLeast(pduNeed).and(free[1]).atLeast(f0Need)
		below = below.and(free[2].atLeast(f1Need)).atLeast(trNeed)
		best := below.and(free[3].atLeast(f2Need)).atLeast(allNeed).least()
		for _, f := range []*fleet.Feeder{
			{ID: "f0", Limit: f0, Branch: "t"}, {ID: "f1", Limit: f1, Branch: "t"}, {ID: "f2", Limit: f2},
		} {
			s.Feeders = append(s.Feeders, fleet.FeederState{Feeder: f})
		}
		for _, b := range []*fleet.Branch{
			{ID: "p", Limit: pdu},
			{ID: "t", Kind: fleet.Transformer, Limit: tr},
			{ID: "import", Kind: fleet.Import, Limit: all},
		} {
			s.Branches = append(s.Branches, fleet.BranchState{Branch: b})
		}
		p := fleet.MakePlan(s, nil, noon)
		short := unit.Watts(0)
		for _, f := range p.Feeders {
			short += f.Short
		}
		for _, b := range p.Branches {
			short += b.Short
		}
		if math.IsInf(best, 1) != (short > 0) {
			t.Fatalf("short by %d W, the optimum is %v", short, best)
		}
		if short == 0 {
			withinOnePercent(t, seed, s, p, best)
		}
	}
}

// Ensure that machines too slow for a claim that is about to begin are passed over, that they are counted on
// again where it would fall short, and once it has begun.
func TestMakePlan_CountsOnNobodyTooSlowForTheNotice(t *testing.T) {
	s := pricedFleet(0, 100, 200) // the cheaper one to stop is the first
	s.Feeders[0].Feeder.Limit = 6300
	s.Workers[0].Capability.ShedIn = time.Minute
	s.Workers[1].Capability.ShedIn = 5 * time.Second
	for _, test := range []struct {
		before time.Duration
		watts  unit.Watts
		want   string
	}{
		{30 * time.Second, 2000, "a.w1 "},
		{2 * time.Minute, 2000, "a.w0 "},
		{0, 2000, "a.w0 "},
		{30 * time.Second, 5000, "a.w0 a.w1 "},
	} {
		c := []fleet.Cap{{
			Feeder: "f", Claim: "l", Tenant: "t", Watts: test.watts,
			Order: noon.Add(-time.Minute), From: noon.Add(test.before), Until: noon.Add(time.Hour),
		}}
		got := ""
		for _, sp := range fleet.MakePlan(s, c, noon).Setpoints {
			got += string(sp.Worker) + " "
		}
		if got != test.want {
			t.Errorf("%v before %d W: %q give way, want %q", test.before, test.watts, got, test.want)
		}
	}
}

// Ensure that an exchange, as from sleeping machines to cheaper caps, never costs more than it saves while
// the claims in force last: a machine's return is priced before it is told to.
func TestMakePlan_ExchangesNeverCostMoreThanTheySave(t *testing.T) {
	exchanges := 0
	one := func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 30)
		f := &s.Feeders[0]
		f.Keep, f.SleepFirst = 50, true
		left := time.Duration(rapid.IntRange(1, 20_000).Draw(t, "left")) * time.Second
		caps[0].From, caps[0].Until = noon.Add(-time.Minute), noon.Add(left)
		for i := range s.Workers {
			s.Workers[i].Since = time.Time{}
			returns := rapid.IntRange(0, 900).Draw(t, "returns")
			s.Workers[i].Capability.ReturnIn = time.Duration(returns) * time.Second
		}
		carryOut(t, s, fleet.MakePlan(s, caps, noon))
		f.SleepFirst = false
		caps[0].Watts = max(1, caps[0].Watts-unit.Watts(rapid.IntRange(0, 1500).Draw(t, "less")))
		p := fleet.MakePlan(s, caps, noon)
		if p.Feeders[0].Present > p.Feeders[0].Bound || !exchange(s, p) {
			return
		}
		exchanges++
		before, after, once := 0.0, 0.0, 0.0
		for _, sp := range p.Setpoints {
			st := stateOf(s, sp.Worker)
			w := st.Worker
			was, is := w.Rate(st.Mode, st.Watts), w.Rate(sp.Mode, sp.Watts)
			before -= float64(was) * 3600 * price
			after -= float64(is) * 3600 * price
			if is > was {
				once += float64(is-was) * 3600 * price * st.Capability.ReturnIn.Hours()
			}
		}
		if saved := (before - after) * left.Hours(); saved < once*(1-1e-9) {
			t.Fatalf("the exchange saves %.3f msat in %v and costs %.3f", saved, left, once)
		}
	}
	for range 10 {
		rapid.Check(t, one)
	}
	t.Logf("%d exchanges", exchanges)
	if exchanges == 0 {
		t.Error("nobody was ever exchanged")
	}
}

func stateOf(s *fleet.Snapshot, id pool.WorkerID) *fleet.WorkerState {
	at := slices.IndexFunc(s.Workers, func(st fleet.WorkerState) bool { return st.Worker.ID == id })
	return &s.Workers[at]
}

// exchange says whether a plan sends some machines down and others up.
func exchange(s *fleet.Snapshot, p fleet.Plan) bool {
	up, down := false, false
	for _, sp := range p.Setpoints {
		st := stateOf(s, sp.Worker)
		was := st.Worker.Draw(st.Mode, st.Watts)
		up, down = up || sp.Watts > was, down || sp.Watts < was
	}
	return up && down
}

// Ensure that making a plan anew allocates no more than what it gives back, whatever the fleet.
func TestPlanner_AllocatesOnlyItsResult(t *testing.T) {
	for _, workers := range []int{500, 4000} {
		s, caps := jittered(workers, 4)
		var p fleet.Planner
		p.Plan(s, caps, noon)
		got := testing.AllocsPerRun(5, func() { p.Plan(s, caps, noon) })
		if got > 20 {
			t.Errorf("%d workers: %v allocations a plan, at most 20 are expected", workers, got)
		}
	}
}
