package service_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Ensure that of 64 tenants who ask at once for the last watts of a window one gets them, that the
// others learn that nothing is left, and that a restart knows the same winner.
func TestS01_OneOfManyGetsTheLastWatts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		r.create(60, 100, 400)
		const callers = 64
		won, errs := make([]lease.Lease, callers), make([]error, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() { // ends with its one answer
				won[i], errs[i] = r.Create(t.Context(), order(fmt.Sprintf("tenant%d", i), "", 60, 100, 600))
			})
		}
		all.Wait()
		var winner lease.UID
		for i, err := range errs {
			var no *lease.Refusal
			switch {
			case err == nil && winner != "":
				t.Fatalf("caller %d got the same watts as lease %s", i, winner)
			case err == nil:
				winner = won[i].UID
			case !errors.As(err, &no) || no.Kind != lease.NoCapacity || no.MaxFree != 0:
				t.Fatalf("caller %d: %v", i, err)
			}
		}
		if winner == "" {
			t.Fatal("nobody got the watts")
		}
		_ = r.stop()
		again := start(t, config(), j, gov, &books{})
		again.want(winner, lease.Scheduled)
		if n := again.Stats().Live; n != 2 {
			t.Errorf("%d leases after the restart, want 2", n)
		}
	})
}

// Ensure that two leases of all the watts fit back to back, that the first ends before the second begins
// at the instant they share, and that miners are held down for all of it from then on.
func TestS02_BackToBackLeasesOfEverythingFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		gov.capacity("north", 1000)
		r := start(t, config(), mem.New(), gov, &books{})
		settled(0)
		first, second := r.create(60, 100, 1000), r.create(160, 100, 1000)
		var no *lease.Refusal
		_, err := r.Create(t.Context(), order("other", "", 150, 10, 1))
		if !errors.As(err, &no) || no.Kind != lease.NoCapacity {
			t.Errorf("a watt before the instant at which they meet: %v", err)
		}
		settled(50 * time.Second)
		gov.prove(fleet.Proof{Claim: string(first.UID), Free: true})
		settled(10 * time.Second)
		r.want(first.UID, lease.Active)
		for i := range 199 { // to the last second of the second lease
			if i == 105 {
				gov.prove(fleet.Proof{Claim: string(first.UID), Gone: true})
			}
			caps, _, _ := gov.set()
			held := unit.Watts(0)
			for _, c := range caps {
				held = max(held, c.Watts)
			}
			if held != 1000 {
				t.Fatalf("%v: miners are held down for %d W, want 1000", time.Now(), held)
			}
			settled(time.Second)
		}
		r.want(first.UID, lease.Completed)
		ended, began := moveAt(r, first), moveAt(r, second)
		if ended == 0 || began == 0 || ended >= began {
			t.Errorf("the first ended at revision %d, the second began at %d", ended, began)
		}
	})
}

// moveAt is the revision at which the lease was over, or began without proof: 0 if it was neither.
func moveAt(r *rig, l lease.Lease) lease.Revision {
	for _, e := range r.RecentEvents(100) {
		if e.Kind == lease.Moved && e.Lease.UID == l.UID && (e.Lease.State == lease.Ending ||
			e.Lease.State == lease.Degraded && e.From == lease.Preparing) {
			return e.Revision
		}
	}
	return 0
}
