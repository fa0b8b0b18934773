package fleet_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// priced are all that a worker may be told and what each loses an hour at a tariff, by the rules and not
// by the planner: income less energy not bought, wear, and 3 % of the tariff for every watt of change.
func priced(st *fleet.WorkerState, tariff float64, relaxed bool) []state {
	w := st.Worker
	all := states(st, relaxed)
	if w.Pinned || !st.Reachable {
		return all
	}
	full := w.Curve.Full().Watts
	present := w.Draw(st.Mode, st.Watts)
	var open []state
	for _, s := range all {
		freed := float64(full - s.watts)
		bars := st.Terms.KeepFull && freed > 0 ||
			st.Terms.KeepAwake && s.watts == w.Sleep && st.Mode != fleet.Paused
		if bars && len(all) > 1 {
			continue
		}
		s.lost += -tariff*freed + 0.03*math.Abs(tariff)*math.Abs(float64(s.watts-present))
		open = append(open, s)
	}
	return open
}

// pricedOracle tries everything for the least loss under the bound.
func pricedOracle(ws []fleet.WorkerState, tariff float64, bound unit.Watts) float64 {
	cost := math.Inf(1)
	var try func(i int, watts unit.Watts, lost float64)
	try = func(i int, watts unit.Watts, lost float64) {
		if i == len(ws) {
			if watts <= bound {
				cost = min(cost, lost)
			}
			return
		}
		for _, o := range priced(&ws[i], tariff, false) {
			try(i+1, watts+o.watts, lost+o.lost)
		}
	}
	try(0, 0, 0)
	return cost
}

// Ensure that leases and price share one plan: where the bound can be kept within terms and run times,
// no choice that a brute-force search finds loses less, income, energy and wear together; with a tariff
// below 0 too.
func TestMakePlan_WithATariffIsAsCheapAsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 6)
		s.Feeders[0].Tariff = unit.Msat(rapid.IntRange(-20, 200).Draw(t, "tariff"))
		s.Feeders[0].TariffFor = time.Hour
		if rapid.Bool().Draw(t, "no claim") {
			caps = nil
		}
		for i := range s.Workers {
			s.Workers[i].Terms.KeepFull = rapid.IntRange(0, 5).Draw(t, "keep full") == 0
			s.Workers[i].Terms.KeepAwake = rapid.IntRange(0, 5).Draw(t, "keep awake") == 0
		}
		p := fleet.MakePlan(s, caps, noon)
		fp := p.Feeders[0]
		tariff := float64(s.Feeders[0].Tariff) / 1000
		best := pricedOracle(s.Workers, tariff, fp.Bound)
		if math.IsInf(best, 1) {
			return // run times or terms give way: the tests of those
		}
		watts, cost := costOf(s, p)
		for i := range s.Workers {
			st := &s.Workers[i]
			if st.Worker.Pinned || !st.Reachable {
				continue
			}
			mode, at := st.Mode, st.Watts
			if j := slices.IndexFunc(p.Setpoints, func(sp fleet.Setpoint) bool {
				return sp.Worker == st.Worker.ID
			}); j >= 0 {
				mode, at = p.Setpoints[j].Mode, p.Setpoints[j].Watts
			}
			draw := st.Worker.Draw(mode, at)
			cost += -tariff*float64(st.Worker.Curve.Full().Watts-draw) +
				0.03*math.Abs(tariff)*math.Abs(float64(draw-st.Worker.Draw(st.Mode, st.Watts)))
		}
		if watts > fp.Bound || len(fp.Broken) > 0 {
			t.Fatalf("planned %d W for a bound of %d W, broken %v", watts, fp.Bound, fp.Broken)
		}
		if cost > best+1e-9*math.Abs(best)+1e-6 {
			t.Fatalf("plan costs %.3f msat/h, brute force finds %.3f", cost, best)
		}
	})
}

// pricedFleet is a feeder with room for all and one machine of each efficiency.
func pricedFleet(tariff unit.Msat, rates ...float64) *fleet.Snapshot {
	f := &fleet.Feeder{ID: "f", Site: "s", Limit: 100_000, Reserve: 200}
	s := &fleet.Snapshot{MsatPerHash: price, Feeders: []fleet.FeederState{{Feeder: f, Tariff: tariff}}}
	for i, r := range rates {
		s.Workers = append(s.Workers, fleet.WorkerState{Reachable: true, Worker: &fleet.Worker{
			ID: pool.WorkerID("a.w" + string(rune('0'+i))), Feeder: "f", Sleep: 30,
			Curve: fleet.Curve{{Watts: 3030, Hashrate: unit.Hashrate(r) * 1e12}},
		}, Capability: fleet.Capability{CanPause: true, Min: 3030, Max: 3030}})
	}
	return s
}

// hourClaim is a tenant's claim for an hour.
func hourClaim(watts unit.Watts) []fleet.Cap {
	return []fleet.Cap{{
		Feeder: "f", Claim: "l", Tenant: "t", Watts: watts, From: noon, Until: noon.Add(time.Hour),
	}}
}

// Ensure that machines stop at their break-even and return with hysteresis, worst first, that no price of a
// hash means no stop, and that the plan says who is stopped and what that saves.
func TestMakePlan_StopsBelowBreakEven(t *testing.T) {
	s := pricedFleet(0, 200, 150, 100)
	asleep := func(tariff unit.Msat, want ...pool.WorkerID) fleet.FeederPlan {
		t.Helper()
		s.Feeders[0].Tariff = tariff
		p := fleet.MakePlan(s, nil, noon)
		for _, sp := range p.Setpoints {
			for i := range s.Workers {
				if s.Workers[i].Worker.ID == sp.Worker {
					s.Workers[i].Mode = sp.Mode
				}
			}
		}
		var got []pool.WorkerID
		for i := range s.Workers {
			if s.Workers[i].Mode == fleet.Paused {
				got = append(got, s.Workers[i].Worker.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("at %v a kWh %v sleep, want %v", tariff, got, want)
		}
		if got := p.Feeders[0].Stopped; !slices.Equal(got, want) {
			t.Errorf("at %v a kWh the plan says %v are stopped, want %v", tariff, got, want)
		}
		return p.Feeders[0]
	}
	even := s.Workers[2].Worker.BreakEven(price) // 60,000 msat a kWh for 100 TH/s with 3 kW
	if even != 60_000 {
		t.Fatalf("break-even is %v", even)
	}
	asleep(even * 102 / 100)
	fp := asleep(even*104/100, "a.w2")
	if fp.Saved < 7_000 || fp.Saved > 7_400 || fp.Cost != -fp.Saved { // 4 % of 60,000 for 3 kWh
		t.Errorf("saved %v, cost %v an hour, want 7.2 sat", fp.Saved, fp.Cost)
	}
	asleep(even*98/100, "a.w2")
	asleep(even * 96 / 100)
	asleep(even*160/100, "a.w1", "a.w2")
	asleep(even*210/100, "a.w0", "a.w1", "a.w2")
	s.MsatPerHash = 0
	asleep(even * 210 / 100)
}

// Ensure that wear is laid against a stop by price over the time that the price is expected to stand.
func TestMakePlan_PricesWearOverTheWindow(t *testing.T) {
	s := pricedFleet(66_000, 100)
	s.Workers[0].Worker.Wear = 20_000 // a stop saves 18,000 msat an hour
	for window, stops := range map[time.Duration]int{0: 0, time.Hour: 0, 4 * time.Hour: 1} {
		s.Feeders[0].TariffFor = window
		if n := len(fleet.MakePlan(s, nil, noon).Setpoints); n != stops {
			t.Errorf("for %v of a price %d machines stop, want %d", window, n, stops)
		}
	}
}

// Ensure that the least heat of a feeder is kept against the price, by the machines that save least, and
// gives way to the bound.
func TestMakePlan_KeepsTheLeastHeat(t *testing.T) {
	s := pricedFleet(500_000, 200, 150, 100)
	s.Feeders[0].Feeder.Heat = 4000
	p := fleet.MakePlan(s, nil, noon)
	if len(p.Setpoints) != 1 || p.Setpoints[0].Worker != "a.w2" {
		t.Errorf("setpoints %+v: only the worst may stop", p.Setpoints)
	}
	caps := hourClaim(99_000)
	if p := fleet.MakePlan(s, caps, noon); p.Feeders[0].Planned != 90 {
		t.Errorf("planned %v: the bound goes before heat", p.Feeders[0].Planned)
	}
	for i := range s.Workers { // a present state that is too cold does not stand
		s.Workers[i].Mode = fleet.Paused
	}
	s.Feeders[0].Keep = 500
	if p := fleet.MakePlan(s, nil, noon); p.Feeders[0].Planned < 4000 {
		t.Errorf("planned %v of 4 kW of heat", p.Feeders[0].Planned)
	}
}

// Ensure that the bound goes before owners' terms, those bound by none first, and that the plan
// names whose it breaks.
func TestMakePlan_BreaksTermsOnlyForTheBound(t *testing.T) {
	s := pricedFleet(0, 200, 100, 150)
	s.Workers[1].Terms.KeepFull = true
	s.Workers[1].Worker.Wear, s.Workers[0].Worker.Wear = 0, 50_000
	s.Feeders[0].Feeder.Limit = 9_300
	caps := hourClaim(6000)
	p := fleet.MakePlan(s, caps, noon)
	if len(p.Setpoints) != 2 || len(p.Feeders[0].Broken) != 0 || p.Setpoints[0].Worker != "a.w0" {
		t.Errorf("plan %+v: the one that its owner keeps goes last", p)
	}
	caps[0].Watts = 9000
	for range 2 { // and once it was carried out
		p = fleet.MakePlan(s, caps, noon)
		f := p.Feeders[0]
		if !slices.Equal(f.Broken, []pool.WorkerID{"a.w1"}) || f.Short > 0 || f.Cost > 1e6 {
			t.Errorf("plan %+v: terms of a.w1 are broken, and the penalty is no cost", f)
		}
		for i := range s.Workers {
			s.Workers[i].Mode = fleet.Paused
		}
	}
	s = pricedFleet(100_000, 100)
	s.Workers[0].Terms.KeepFromPrice = true
	if p := fleet.MakePlan(s, nil, noon); len(p.Setpoints) > 0 {
		t.Errorf("setpoints %+v against the price that the owner asks", p.Setpoints)
	}
	caps[0].Watts = 98_000
	if p := fleet.MakePlan(s, caps, noon); len(p.Setpoints) != 1 || len(p.Feeders[0].Broken) > 0 {
		t.Errorf("plan %+v: a claim may have it", p)
	}
}
