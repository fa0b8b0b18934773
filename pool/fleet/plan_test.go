package fleet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/fleet/fleettest"
	"github.com/hashlease/hashlease/pool/unit"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const price = 5e-13 // msat per hash

// drawnWorker is a random small worker.
func drawnWorker(t *rapid.T, i int) fleet.WorkerState {
	points := rapid.IntRange(1, 4).Draw(t, "points")
	c := make(fleet.Curve, 0, points)
	watts, rate := unit.Watts(rapid.IntRange(300, 900).Draw(t, "min")), unit.Hashrate(1e13)
	for range points {
		c = append(c, fleet.Point{Watts: watts, Hashrate: rate})
		watts += unit.Watts(rapid.IntRange(1, 900).Draw(t, "step"))
		rate += unit.Hashrate(rapid.IntRange(0, 50).Draw(t, "rate")) * 1e12
	}
	w := &fleet.Worker{
		ID: pool.WorkerID(fmt.Sprintf("a.w%d", i)), Feeder: "f", Curve: c, Sleep: 30,
		MinRun: 10 * time.Minute, MinOff: 5 * time.Minute,
		Wear:   unit.Msat(rapid.IntRange(0, 2000).Draw(t, "wear")),
		Pinned: rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
	}
	st := fleet.WorkerState{
		Worker: w, Draw: c.Full().Watts, Reachable: rapid.IntRange(0, 9).Draw(t, "reachable") > 0,
		Capability: fleet.Capability{
			CanCap: rapid.Bool().Draw(t, "cap"), CanPause: rapid.Bool().Draw(t, "pause"),
			Min: c[0].Watts, Max: c.Full().Watts,
		},
	}
	if st.Capability.CanPause && rapid.Bool().Draw(t, "paused") {
		st.Mode = fleet.Paused
	}
	if rapid.IntRange(0, 3).Draw(t, "dwell") == 0 {
		st.Since = noon.Add(-time.Duration(rapid.IntRange(0, 900).Draw(t, "since")) * time.Second)
	}
	return st
}

// drawnSnapshot is a random small feeder with claims on it.
func drawnSnapshot(t *rapid.T, most int) (*fleet.Snapshot, []fleet.Cap) {
	f := &fleet.Feeder{ID: "f", Site: "s", Limit: 20_000, Reserve: 200}
	s := &fleet.Snapshot{MsatPerHash: price, Feeders: []fleet.FeederState{{Feeder: f, Base: 500}}}
	for i := range rapid.IntRange(0, most).Draw(t, "workers") {
		s.Workers = append(s.Workers, drawnWorker(t, i))
	}
	caps := []fleet.Cap{{
		Feeder: "f", Claim: "l1", Tenant: "t", Watts: unit.Watts(rapid.IntRange(1, 20_000).Draw(t, "claim")),
		From: noon, Until: noon.Add(time.Hour),
	}}
	return s, caps
}

// states are all that a worker may be told, by the rules and not by the planner: mode, watts, cost an hour.
type state struct {
	watts unit.Watts
	lost  float64
}

func states(st *fleet.WorkerState, relaxed bool) []state {
	w := st.Worker
	full := w.Curve.Full()
	if w.Pinned || !st.Reachable {
		return []state{{st.Draw, 0}}
	}
	since := noon.Sub(st.Since)
	sleep := state{w.Sleep, float64(full.Hashrate) * 3600 * price}
	if st.Mode == fleet.Paused && since < w.MinOff {
		return []state{sleep}
	}
	all := []state{{full.Watts, 0}}
	if st.Capability.CanCap {
		for _, p := range w.Curve[:len(w.Curve)-1] {
			all = append(all, state{p.Watts, float64(full.Hashrate-p.Hashrate) * 3600 * price})
		}
	}
	switch {
	case st.Mode == fleet.Paused:
		all = append(all, sleep)
	case st.Capability.CanPause && (relaxed || since >= w.MinRun):
		sleep.lost += float64(w.Wear)
		all = append(all, sleep)
	}
	return all
}

// oracle tries everything: the least cost under the bound, and the least watts possible.
func oracle(ws []fleet.WorkerState, bound unit.Watts, relaxed bool) (cost float64, least unit.Watts) {
	cost = math.Inf(1)
	least = math.MaxInt64
	var try func(i int, watts unit.Watts, lost float64)
	try = func(i int, watts unit.Watts, lost float64) {
		if i == len(ws) {
			least = min(least, watts)
			if watts <= bound {
				cost = min(cost, lost)
			}
			return
		}
		for _, o := range states(&ws[i], relaxed) {
			try(i+1, watts+o.watts, lost+o.lost)
		}
	}
	try(0, 0, 0)
	return cost, least
}

// costOf is what the plan's states cost by the oracle's figures.
func costOf(s *fleet.Snapshot, p fleet.Plan) (watts unit.Watts, lost float64) {
	for i := range s.Workers {
		st := &s.Workers[i]
		mode, at := st.Mode, st.Watts
		for _, sp := range p.Setpoints {
			if sp.Worker == st.Worker.ID {
				mode, at = sp.Mode, sp.Watts
			}
		}
		if st.Worker.Pinned || !st.Reachable {
			watts += st.Draw
			continue
		}
		watts += st.Worker.Draw(mode, at)
		lost += float64(st.Worker.Curve.Full().Hashrate-st.Worker.Rate(mode, at)) * 3600 * price
		if mode == fleet.Paused && st.Mode != fleet.Paused {
			lost += float64(st.Worker.Wear)
		}
	}
	return watts, lost
}

// Ensure that a plan fits under the bound whenever that is possible at all, and that on small
// fleets nothing that a brute-force search finds is cheaper.
func TestMakePlan_IsAsCheapAsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 6)
		p := fleet.MakePlan(s, caps, noon)
		fp := p.Feeders[0]
		best, least := oracle(s.Workers, fp.Bound, false)
		if math.IsInf(best, 1) { // only then may MinRun give way
			best, least = oracle(s.Workers, fp.Bound, true)
		}
		watts, cost := costOf(s, p)
		if watts != fp.Planned {
			t.Fatalf("plan says %d W, its setpoints come to %d W", fp.Planned, watts)
		}
		if math.IsInf(best, 1) {
			if watts > least || fp.Short != watts-fp.Bound {
				t.Fatalf("infeasible: planned %d W, short %d W; least possible is %d W, bound %d W",
					watts, fp.Short, least, fp.Bound)
			}
			return
		}
		if watts > fp.Bound {
			t.Fatalf("planned %d W above the bound of %d W", watts, fp.Bound)
		}
		if cost > best*(1+1e-9)+1e-6 {
			t.Fatalf("plan costs %.3f msat/h, brute force finds %.3f", cost, best)
		}
	})
}

// Ensure that the same snapshot gives the same plan, that pinned and unreachable workers get no order,
// and that plans come to rest once they are carried out. One more change may follow the first: wear
// that has been spent no longer counts against the machines that sleep.
func TestMakePlan_IsDeterministicAndComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 40)
		s.Feeders[0].Keep = 50
		for round := 0; ; round++ {
			p := fleet.MakePlan(s, caps, noon)
			if d := cmp.Diff(p, fleet.MakePlan(s, caps, noon)); d != "" {
				t.Fatalf("the second plan differs:\n%s", d)
			}
			if len(p.Setpoints) == 0 {
				return
			}
			if round == 4 {
				t.Fatalf("after %d rounds the plan still changes: %+v", round, p.Setpoints)
			}
			carryOut(t, s, p)
		}
	})
}

// carryOut makes the plan the present state.
func carryOut(t *rapid.T, s *fleet.Snapshot, p fleet.Plan) {
	at := map[pool.WorkerID]int{}
	for i := range s.Workers {
		at[s.Workers[i].Worker.ID] = i
	}
	for _, sp := range p.Setpoints {
		st := &s.Workers[at[sp.Worker]]
		if st.Worker.Pinned || !st.Reachable {
			t.Fatalf("%s got an order", sp.Worker)
		}
		if sp.Watts != st.Worker.Draw(sp.Mode, sp.Watts) {
			t.Fatalf("%s: %v to %d W", sp.Worker, sp.Mode, sp.Watts)
		}
		st.Mode, st.Watts = sp.Mode, sp.Watts
	}
}

// Ensure that more claimed watts never make mining give up less, beyond what one
// machine may differ.
func TestMakePlan_IsMonotoneInClaims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 6)
		for i := range s.Workers {
			s.Workers[i].Capability.CanCap = false
		}
		_, a := costOf(s, fleet.MakePlan(s, caps, noon))
		caps[0].Watts += unit.Watts(rapid.IntRange(1, 3000).Draw(t, "more"))
		plan := fleet.MakePlan(s, caps, noon)
		if _, b := costOf(s, plan); b < a*(1-1e-9) && plan.Feeders[0].Short == 0 {
			t.Fatalf("cost falls from %f to %f", a, b)
		}
	})
}

// Ensure that an ended claim counts on without a tenant's meter, and by draw alone with one.
func TestFeederState_CountsEndedClaimUntilTenantIsOff(t *testing.T) {
	f := fleet.FeederState{Feeder: &fleet.Feeder{ID: "f", Limit: 100_000, Reserve: 1000}, Base: 2000}
	caps := []fleet.Cap{
		{Feeder: "f", Claim: "a", Tenant: "t", Watts: 10_000, From: noon.Add(-time.Hour), Until: noon},
		{Feeder: "f", Claim: "b", Tenant: "t", Watts: 5_000, From: noon.Add(-time.Hour), Until: noon.Add(1)},
		{Feeder: "f", Claim: "c", Tenant: "u", Watts: 7_000, Order: noon.Add(1), From: noon.Add(time.Hour)},
		{Feeder: "f", Claim: "operator/1", Watts: 3_000, From: noon, Until: noon.Add(time.Hour)},
		{Feeder: "f", Claim: "operator/2", Watts: 4_000, From: noon.Add(-time.Hour), Until: noon},
		{Feeder: "g", Claim: "d", Watts: 9_000, From: noon, Until: noon.Add(time.Hour)},
	}
	for _, tt := range []struct {
		name    string
		tenants []fleet.TenantDraw
		want    unit.Watts
	}{
		{"no meter", nil, 18_000},
		{"stale meter", []fleet.TenantDraw{{Tenant: "t", Drawn: 20_000}}, 23_000},
		{"draws on", []fleet.TenantDraw{{Tenant: "t", Drawn: 14_000, Metered: true}}, 17_000},
		{"draws its other claim", []fleet.TenantDraw{{Tenant: "t", Drawn: 4_000, Metered: true}}, 8_000},
		{"a stranger draws", []fleet.TenantDraw{
			{Tenant: "t", Metered: true}, {Tenant: "x", Drawn: 99, Metered: true},
		}, 8_099},
	} {
		f.Tenants = tt.tenants
		if got := f.Claimed(caps, noon); got != tt.want {
			t.Errorf("%s: claimed %d W, want %d W", tt.name, got, tt.want)
		}
	}
	if got := f.Bound(18_000); got != 79_000 {
		t.Errorf("bound %d W", got)
	}
}

// jittered is a fleet of n workers of ten models, each with its own curve and its own timers.
func jittered(n, feeders int) (*fleet.Snapshot, []fleet.Cap) {
	r := rand.New(rand.NewPCG(1, 2))
	s := &fleet.Snapshot{MsatPerHash: price}
	var caps []fleet.Cap
	full := make([]unit.Watts, feeders)
	ms := fleettest.Models()
	for i := range n {
		m := ms[i%len(ms)]
		c := m.Curve(9)
		j := 0.97 + 0.06*r.Float64()
		for k := range c {
			c[k].Watts = unit.Watts(float64(c[k].Watts) * j)
			c[k].Hashrate *= unit.Hashrate(0.97 + 0.06*r.Float64()*0.1)
		}
		w := &fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.w%d", i)), Feeder: fleet.FeederID(fmt.Sprintf("f%d", i%feeders)),
			Curve: c, Sleep: m.Sleep, MinRun: 20 * time.Minute, MinOff: 5 * time.Minute, Wear: 500,
		}
		full[i%feeders] += c.Full().Watts
		s.Workers = append(s.Workers, fleet.WorkerState{
			Worker: w, Reachable: true, Draw: c.Full().Watts,
			Capability: fleet.Capability{
				Min: c[0].Watts, Max: c.Full().Watts, CanCap: i%3 != 0, CanPause: true,
			},
			Since: noon.Add(-time.Duration(r.IntN(7200)) * time.Second),
		})
	}
	for i := range feeders {
		f := &fleet.Feeder{ID: fleet.FeederID(fmt.Sprintf("f%d", i)), Limit: full[i]}
		s.Feeders = append(s.Feeders, fleet.FeederState{Feeder: f})
		caps = append(caps, fleet.Cap{
			Feeder: f.ID, Claim: fmt.Sprint(i), Tenant: "t", Watts: full[i]*3/10 + 17,
			From: noon, Until: noon.Add(time.Hour),
		})
	}
	return s, caps
}

// Ensure that a large plan fits, and overshoots by next to nothing.
func TestMakePlan_TrimsOvershootOfLargeFleets(t *testing.T) {
	for _, sleepFirst := range []bool{false, true} {
		s, caps := jittered(1000, 4)
		for i := range s.Feeders {
			s.Feeders[i].SleepFirst = sleepFirst
		}
		for _, fp := range fleet.MakePlan(s, caps, noon).Feeders {
			if over := fp.Bound - fp.Planned; over < 0 || over > 20 && (!sleepFirst || over > 3500) {
				t.Errorf("sleep first %v, %s: planned %d W, bound %d W",
					sleepFirst, fp.Feeder, fp.Planned, fp.Bound)
			}
		}
	}
}

// BenchmarkPlan plans fleets in which no two machines are alike.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		for _, sleepFirst := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/sleepfirst=%v", n, sleepFirst), func(b *testing.B) {
				s, caps := jittered(n, 4)
				for i := range s.Feeders {
					s.Feeders[i].SleepFirst = sleepFirst
				}
				b.ReportAllocs()
				var p fleet.Planner
				for b.Loop() {
					p.Plan(s, caps, noon)
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
			})
		}
	}
}

// BenchmarkPlan_Tree plans the same below PDUs of 20 machines, two transformers and an import that all bind.
func BenchmarkPlan_Tree(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			s, caps := jittered(n, 4)
			var sum unit.Watts
			for i := range s.Feeders {
				f := s.Feeders[i].Feeder
				f.Branch = fleet.BranchID(fmt.Sprintf("t%d", i%2))
				sum += f.Limit
			}
			for i := range n / 20 {
				s.Branches = append(s.Branches, fleet.BranchState{Branch: &fleet.Branch{
					ID: fleet.BranchID(fmt.Sprintf("p%d", i)), Limit: 64_000,
				}})
			}
			for i := range s.Workers {
				s.Workers[i].Worker.Branch = fleet.BranchID(fmt.Sprintf("p%d", i%4+i/80*4))
			}
			for id, limit := range map[fleet.BranchID]unit.Watts{"t0": 48, "t1": 48, "import": 94} {
				kind := fleet.Transformer
				if id == "import" {
					kind = fleet.Import
				}
				s.Branches = append(s.Branches, fleet.BranchState{Branch: &fleet.Branch{
					ID: id, Kind: kind, Limit: sum * limit / 100,
				}})
			}
			b.ReportAllocs()
			var p fleet.Planner
			for b.Loop() {
				p.Plan(s, caps, noon)
			}
		})
	}
}

// Ensure that a plan whose orders could not go out yet is not made anew while the base load moves a
// little: what was begun would be turned around with every reading.
func TestPlanner_StaysWithAPlanThatHasToWait(t *testing.T) {
	s, caps := jittered(40, 1)
	f := &s.Feeders[0]
	f.Margin, f.Keep = f.Feeder.Limit*3/1000, f.Feeder.Limit*5/1000
	for i := range s.Workers { // all paused: nearly all are to return, and nothing lets them
		s.Workers[i].Mode = fleet.Paused
	}
	var p fleet.Planner
	first := p.Plan(s, caps, noon)
	wants := make([]fleet.Setpoint, len(s.Workers))
	for i := range s.Workers {
		wants[i] = fleet.Setpoint{Worker: s.Workers[i].Worker.ID, Mode: fleet.Paused}
		for _, sp := range first.Setpoints {
			if sp.Worker == wants[i].Worker {
				wants[i] = sp
			}
		}
		s.Workers[i].Want = &wants[i]
	}
	if len(first.Setpoints) == 0 {
		t.Fatal("the plan changes nothing")
	}
	base := f.Base
	for w := -f.Keep / 2; w <= f.Margin/2; w += 7 {
		f.Base = base + w
		if diff := cmp.Diff(first.Setpoints, p.Plan(s, caps, noon).Setpoints); diff != "" {
			t.Fatalf("with %v of base load more, the plan is another one:\n%s", w, diff)
		}
	}
	f.Base = base - 3*f.Keep
	if cmp.Equal(first.Setpoints, p.Plan(s, caps, noon).Setpoints) {
		t.Error("the plan stays although much is to be regained")
	}
}

// Ensure that machines that give way are not exchanged for cheaper ones when the claim ends before the
// exchange has paid for the machines' return, and that they are when it does.
func TestPlanner_ExchangesMachinesOnlyIfTheClaimLastsLongEnough(t *testing.T) {
	f := &fleet.Feeder{ID: "f", Site: "s", Limit: 40_000}
	for _, test := range []struct {
		left      time.Duration
		exchanges bool
	}{{30 * time.Second, false}, {10 * time.Hour, true}} {
		s := &fleet.Snapshot{MsatPerHash: price}
		s.Feeders = []fleet.FeederState{{Feeder: f, Margin: 100, Keep: 200}}
		for i := range 12 {
			rate, mode := unit.Hashrate(200e12), fleet.Paused // efficient, and asleep
			if i%2 == 0 {
				rate, mode = 100e12, fleet.Free
			}
			w := &fleet.Worker{
				ID: pool.WorkerID(fmt.Sprintf("a.w%d", i)), Feeder: "f", Sleep: 20,
				Curve: fleet.Curve{{Watts: 3000, Hashrate: rate}},
			}
			s.Workers = append(s.Workers, fleet.WorkerState{
				Worker: w, Reachable: true, Mode: mode, Draw: 3000,
				Capability: fleet.Capability{CanPause: true, Max: 3000, ReturnIn: time.Minute},
			})
		}
		caps := []fleet.Cap{{
			Feeder: "f", Claim: "l", Tenant: "t", Watts: 21_500,
			From: noon.Add(-time.Minute), Until: noon.Add(test.left),
		}}
		if plan := fleet.MakePlan(s, caps, noon); (len(plan.Setpoints) > 0) != test.exchanges {
			t.Errorf("with %v left %d machines change", test.left, len(plan.Setpoints))
		}
	}
}
