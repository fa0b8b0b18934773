package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that leases, and the operator's claim on top of them, steer machines of all six firmwares over their
// own interfaces, Bitaxes of 19 W with them, where meters are of class 0.5: all that a feeder sells is let,
// and the claim takes the best machines too. The limit holds, everything is proven at the meter, and the
// machines that gave way come back.
func TestProgram_SteersEveryFirmware(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a server; the full run is make test")
	}
	s := newTestSite(t, 48, func(d *demo) {
		d.plan, d.vendor, d.class = sim.SiteOf(48, sim.Models(), demoTenant), true, 0.005
	})
	s.startServer()
	var demands []sim.Demand
	for i, watts := range []unit.Watts{24_000, 5000, 8000, 11_000} {
		f := s.plan.Sites[0].Feeders[i]
		demands = append(demands, sim.Demand{
			Site: "north", Feeder: string(f.ID), Watts: watts, After: 5 * time.Second, Notice: demoLead,
			For: 30 * time.Second,
		})
	}
	s.runMiners()
	s.awaitMiners(48 - s.sim.Stats().Away)
	s.eventually("every machine takes orders, and there is power to sell", time.Minute, func() bool {
		return s.reachable() == 48 && s.leasable("f1") >= demands[0].Watts
	})
	s.lets(demands)
	s.sim.MarkTruth()
	s.eventually("every lease is on", time.Minute, func() bool {
		list := s.tenant.Reports()
		waits := func(l sim.LeaseReport) bool { return l.State != "ACTIVE" }
		return len(list) == len(demands) && !slices.ContainsFunc(list, waits)
	})
	out := s.command("site", "curtail", "north", "60kW", "--for", "20s", "--json")
	if !strings.Contains(out, `"proven":true`) {
		t.Errorf("no proof in the answer to the operator: %s", out)
	}
	s.eventually("every lease is over", 2*time.Minute, func() bool {
		over := 0
		for _, l := range s.tenant.Reports() {
			if finalState(l.State) {
				over++
			}
		}
		return over == len(demands)
	})
	for _, l := range s.tenant.Reports() {
		if l.State != "COMPLETED" {
			t.Errorf("%s of %v is %s: %s", l.Name, l.Watts, l.State, l.Reason)
		}
	}
	if truth := s.sim.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	// With such meters a feeder that is filled to 98.5 % has no room for its last machine.
	s.eventually("all but a machine a feeder are back, some of every firmware", 4*time.Minute, func() bool {
		down, none := 0, false
		for _, n := range s.sim.Steered() {
			down, none = down+n.Curtailed-n.Back, none || n.Back == 0
		}
		return !none && down <= len(s.plan.Sites[0].Feeders)
	})
	for kind, n := range s.sim.Steered() {
		t.Logf("%s: %+v", kind, n)
		if n.Machines != 8 || n.Curtailed == 0 {
			t.Errorf("%s: %+v; want 8 machines and some that gave way", kind, n)
		}
	}
	s.stop()
}

// reachable is how many machines take orders over their own interfaces.
func (s *site) reachable() (n int) {
	s.t.Helper()
	var list []struct {
		Reachable bool `json:"reachable"`
	}
	if err := json.Unmarshal([]byte(s.command("device", "list", "--json")), &list); err != nil {
		s.t.Fatalf("reading devices: %v", err)
	}
	for _, d := range list {
		if d.Reachable {
			n++
		}
	}
	return n
}

// leasable is what a feeder of the first site sells now.
func (s *site) leasable(feeder string) unit.Watts {
	s.t.Helper()
	var sites []struct {
		Feeders []struct {
			Name     string `json:"name"`
			Leasable int64  `json:"leasable_watts,string"`
		} `json:"feeders"`
	}
	s.asTenant(&sites, "capacity")
	for _, f := range sites[0].Feeders {
		if strings.HasSuffix(f.Name, "/"+feeder) {
			return unit.Watts(f.Leasable)
		}
	}
	s.t.Fatalf("there is no feeder %s", feeder)
	return 0
}

// lets adds a tenant that leases from now on, until the test ends.
func (s *site) lets(demands []sim.Demand) {
	s.t.Helper()
	var err error
	if s.tenant, err = s.sim.AddTenant(sim.TenantConfig{
		Name: demoTenant, Target: s.listen[1], Key: s.keys.tenant, CA: s.caFile(), Demands: demands,
	}); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	s.t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { _ = s.tenant.Run(ctx) }) // ends with ctx
}
