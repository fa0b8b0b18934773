package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/lease"
)

// Ensure a lease whose room was there without an order counts as proven, and one without a proof does not.
func TestDemoResult_ProofNeedsNoOrder(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	done := lease.Lease{
		Feeder: "f1", Watts: 2000, Freed: 2300, State: lease.Completed,
		Slot: lease.Slot{Start: start, End: start.Add(10 * time.Second)}, ActiveAt: start,
	}
	ordered, roomy, bare := done, done, done
	ordered.OrderedAt, ordered.ProvenAt = start.Add(-9*time.Second), start.Add(-7*time.Second)
	roomy.ProvenAt = start.Add(-8 * time.Second)
	faults := func(leases ...lease.Lease) []string {
		r := &demoResult{LeasesAsked: len(leases), Leases: map[string]int{}}
		for i := range leases {
			r.addLease(&leases[i])
		}
		r.judge()
		return slices.DeleteFunc(r.Faults, func(f string) bool {
			return !strings.Contains(f, "lease") // this result has no shares, blocks and limits
		})
	}
	for _, tt := range []struct {
		leases []lease.Lease
		want   string
	}{
		{[]lease.Lease{ordered, roomy}, ""},
		{[]lease.Lease{ordered, bare}, "only 1 leases were proven at the meter"},
		{[]lease.Lease{roomy}, "no lease needed an order: the way from order to proof was not measured"},
	} {
		if got := strings.Join(faults(tt.leases...), "; "); got != tt.want {
			t.Errorf("faults %q, want %q", got, tt.want)
		}
	}
}

// Ensure that a demo of the fewest machines, too, asks for power on every feeder that it has.
func TestDemo_SmallSitesAskForPower(t *testing.T) {
	t.Parallel()
	for _, miners := range []int{8, 9, 16, 50, 200, 2000} {
		d := &demo{cmd: &demoCmd{Miners: miners}, plan: sim.DemoSite(miners, demoTenant)}
		for _, r := range d.demands() {
			if r.Watts <= 0 || r.For <= 0 {
				t.Errorf("%d machines: %v for %v on feeder %s", miners, r.Watts, r.For, r.Feeder)
			}
		}
	}
}
