package fleet_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// staying tries everything in which nobody draws more than now, for the least loss an hour under the bound.
func staying(ws []fleet.WorkerState, bound unit.Watts) float64 {
	cost := math.Inf(1)
	var try func(i int, watts unit.Watts, lost float64)
	try = func(i int, watts unit.Watts, lost float64) {
		if i == len(ws) {
			if watts <= bound {
				cost = min(cost, lost)
			}
			return
		}
		st := &ws[i]
		now := st.Worker.Draw(st.Mode, st.Watts)
		for _, o := range states(st, false) {
			if o.watts <= now || st.Worker.Pinned || !st.Reachable {
				try(i+1, watts+o.watts, lost+o.lost)
			}
		}
	}
	try(0, 0, 0)
	return cost
}

// Ensure that a second round of claims never exchanges at a loss: machines that gave way for the first return
// for others only if that saves more, while the claims last, than their return costs. Once that is carried
// out nothing more moves.
func TestMakePlan_ASecondRoundOfClaimsNeverExchangesAtALoss(t *testing.T) {
	exchanges := 0
	one := func(t *rapid.T) {
		s, caps := drawnSnapshot(t, 6)
		left := time.Duration(rapid.IntRange(30, 20_000).Draw(t, "left")) * time.Second
		caps[0].From, caps[0].Until = noon.Add(-time.Minute), noon.Add(left)
		s.Feeders[0].Keep = 50
		full := unit.Watts(100)
		for i := range s.Workers {
			full += s.Workers[i].Worker.Curve.Full().Watts
			s.Workers[i].Since = time.Time{}
			s.Workers[i].Worker.Wear = 0
			in := rapid.IntRange(0, 900).Draw(t, "returns in")
			s.Workers[i].Capability.ReturnIn = time.Duration(in) * time.Second
		}
		s.Feeders[0].Feeder.Limit = full + s.Feeders[0].Base + s.Feeders[0].Feeder.Reserve
		caps[0].Watts = full * unit.Watts(rapid.IntRange(5, 50).Draw(t, "first")) / 100
		for range 3 {
			carryOut(t, s, fleet.MakePlan(s, caps, noon))
		}
		s.Feeders[0].SleepFirst = rapid.Bool().Draw(t, "sleep first")
		second := caps[0]
		second.Claim = "l2"
		second.Watts = full * unit.Watts(rapid.IntRange(1, 40).Draw(t, "second")) / 100
		caps = append(caps, second)
		p := fleet.MakePlan(s, caps, noon)
		stay := staying(s.Workers, p.Feeders[0].Bound)
		if p.Feeders[0].Short == 0 && !math.IsInf(stay, 1) && exchange(s, p) {
			exchanges++
			_, lost := costOf(s, p)
			if saved, once := (stay-lost)*left.Hours(), returning(s, p); saved < once*(1-1e-9)-1e-6 {
				t.Fatalf("the exchange saves %.3f msat in %v and costs %.3f: %+v", saved, left, once, p)
			}
		}
		for round := 0; len(p.Setpoints) > 0; round++ {
			if round == 3 {
				t.Fatalf("after %d rounds the plan still changes: %+v", round, p.Setpoints)
			}
			carryOut(t, s, p)
			p = fleet.MakePlan(s, caps, noon)
		}
	}
	for range 10 {
		rapid.Check(t, one)
	}
	t.Logf("%d exchanges", exchanges)
}

// returning is what a plan's returns cost once: power that is drawn before it earns.
func returning(s *fleet.Snapshot, p fleet.Plan) (once float64) {
	for _, sp := range p.Setpoints {
		st := stateOf(s, sp.Worker)
		if more := sp.Hashrate - st.Worker.Rate(st.Mode, st.Watts); more > 0 {
			once += float64(more) * 3600 * price * st.Capability.ReturnIn.Hours()
		}
	}
	return once
}

// Ensure that the least heat is kept against any price where the bound leaves it, and that it changes nothing
// where the price would keep as much.
func TestMakePlan_KeepsTheLeastHeatAgainstAnyPrice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawnSnapshot(t, 8)
		f := &s.Feeders[0]
		f.Feeder.Limit = 100_000
		f.Tariff, f.TariffFor = unit.Msat(rapid.IntRange(0, 400).Draw(t, "tariff")), time.Hour
		cold := fleet.MakePlan(s, nil, noon).Feeders[0]
		least := unit.Watts(0) // while some have to sleep on
		for i := range s.Workers {
			most := unit.Watts(0)
			for _, o := range states(&s.Workers[i], false) {
				most = max(most, o.watts)
			}
			least += most
		}
		f.Feeder.Heat = unit.Watts(rapid.IntRange(0, 12_000).Draw(t, "heat"))
		warm := fleet.MakePlan(s, nil, noon).Feeders[0]
		if want := min(f.Feeder.Heat, least); warm.Planned < want {
			t.Errorf("planned %v, %v of heat are to be kept", warm.Planned, want)
		}
		if cold.Planned >= f.Feeder.Heat && warm.Planned != cold.Planned {
			t.Errorf("planned %v for %v of heat, %v without", warm.Planned, f.Feeder.Heat, cold.Planned)
		}
	})
}
