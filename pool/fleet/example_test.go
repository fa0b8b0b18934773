package fleet_test

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// A claim of 3 kW on a feeder with two machines: the one that earns less a kWh gives way.
func ExampleMakePlan() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	feeder := &fleet.Feeder{ID: "f1", Site: "s1", Limit: 8 * unit.Kilowatt, Reserve: 500}
	snapshot := &fleet.Snapshot{
		Feeders:     []fleet.FeederState{{Feeder: feeder, SleepFirst: true}},
		MsatPerHash: 5e-13,
	}
	for _, name := range []string{"Antminer S21", "WhatsMiner M50S"} {
		m, _ := fleet.ModelNamed(name)
		snapshot.Workers = append(snapshot.Workers, fleet.WorkerState{
			Worker: &fleet.Worker{
				ID:     "acme.m" + pool.WorkerID(fmt.Sprint(len(snapshot.Workers)+1)),
				Feeder: "f1", Model: name, Curve: m.Curve(8), Sleep: m.Sleep,
			},
			Capability: fleet.Capability{CanPause: true}, Reachable: true,
		})
	}
	claim := fleet.Cap{
		Feeder: "f1", Claim: "lease", Tenant: "t", Watts: 3 * unit.Kilowatt,
		From: now, Until: now.Add(time.Hour),
	}
	plan := fleet.MakePlan(snapshot, []fleet.Cap{claim}, now)
	for _, s := range plan.Setpoints {
		fmt.Println(s.Worker, s.Mode, s.Watts)
	}
	fmt.Println("bound", plan.Feeders[0].Bound, "planned", plan.Feeders[0].Planned)
	// Output:
	// acme.m2 paused 20 W
	// bound 4.5 kW planned 3.52 kW
}
