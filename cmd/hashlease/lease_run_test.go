package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// grants makes the server book every lease, go through states, and count what is given back.
func (d *desk) grants(states ...hashleasev1.LeaseState) (back *int) {
	back = new(int)
	var end *timestamppb.Timestamp
	at := func(state hashleasev1.LeaseState, revision int64) *hashleasev1.Lease {
		return &hashleasev1.Lease{
			Name: "tenants/acme/leases/l1", Feeder: "sites/north/feeders/n1", Watts: 1000, State: state,
			EndTime: end, Revision: revision, StateReason: "as it is",
		}
	}
	d.srv.create = func(r *hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) {
		end = r.GetLease().GetEndTime()
		return at(hashleasev1.LeaseState_LEASE_STATE_SCHEDULED, 1), nil
	}
	d.srv.watch = func(r *hashleasev1.WatchLeasesRequest, send func(*hashleasev1.Lease)) error {
		for i, s := range states {
			send(at(s, int64(2+i)))
			time.Sleep(10 * time.Millisecond) // others are on their way, too
		}
		time.Sleep(time.Minute) // the test is over before
		return nil
	}
	d.srv.cancel = func(*hashleasev1.CancelLeaseRequest) (*hashleasev1.Lease, error) {
		*back++
		return at(hashleasev1.LeaseState_LEASE_STATE_ENDING, 100), nil
	}
	return back
}

const (
	preparing = hashleasev1.LeaseState_LEASE_STATE_PREPARING
	active    = hashleasev1.LeaseState_LEASE_STATE_ACTIVE
)

// Ensure that a command runs once its power is proven free, knows its lease, ends with its own exit
// status, and that its power is given back.
func TestLeaseRun_RunsWhilePowerIsFree(t *testing.T) {
	d := newDesk(t)
	back := d.grants(preparing, active)
	d.want(7, "tenants/acme/leases/l1 sites/north/feeders/n1 1000 20", "ACTIVE     l1  1 kW at north/n1",
		"lease", "run", "--site", "north", "--watts", "1kW", "--for", "1h", "--", "sh", "-c",
		`echo "$HASHLEASE_LEASE $HASHLEASE_FEEDER $HASHLEASE_WATTS $HASHLEASE_END"; exit 7`)
	if *back != 1 || !strings.Contains(d.err, "PREPARING") {
		t.Errorf("given back %d times\n%s", *back, d.err)
	}
	d.want(exitOK, "", `"state":"LEASE_STATE_ACTIVE"`,
		"lease", "run", "--json", "--site", "north", "--watts", "1kW", "--for", "1h", "true")
}

// Ensure that at the end of its slot a command is told to stop, and ended if it does not, with all that
// it has started.
func TestLeaseRun_StopsWithTheSlot(t *testing.T) {
	d := newDesk(t)
	back := d.grants(active)
	run := []string{"lease", "run", "--site", "north", "--watts", "1kW", "--for", "2s", "--grace", "1s", "--"}
	d.want(143, "", "the slot is over: the command is told to stop", append(run, "sleep", "60")...)
	began := time.Now()
	left := filepath.Join(t.TempDir(), "left")
	d.want(137, "", "told to stop", append(run, "sh", "-c",
		`trap "" TERM; (sleep 3; touch `+left+`) & while :; do sleep 0.1; done`)...)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	time.Sleep(time.Until(began.Add(4 * time.Second))) // until the child would have done it
	if _, err := os.Stat(left); err == nil || *back != 2 {
		t.Errorf("a child was left, or the power kept: %v, given back %d times", err, *back)
	}
}

// Ensure that nothing runs without power, and that nothing is booked for what cannot run.
func TestLeaseRun_RunsNothingWithoutPower(t *testing.T) {
	d := newDesk(t)
	back := d.grants(preparing, hashleasev1.LeaseState_LEASE_STATE_FAILED)
	d.want(exitFailed, "", "the lease never became active: it is FAILED: as it is",
		"lease", "run", "--site", "north", "--watts", "1kW", "--for", "1h", "--", "echo", "ran")
	if d.out != "" || *back != 1 {
		t.Errorf("printed %q, given back %d times", d.out, *back)
	}
	booked := 0
	d.srv.create = func(*hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) {
		booked++
		return &hashleasev1.Lease{}, nil
	}
	slot := []string{"lease", "run", "--site", "north", "--watts", "1kW", "--for", "1h"}
	d.want(exitUsage, "", "Try: hashlease lease run --help", slot...)
	d.want(exitUsage, "", "a command is needed, as in", append(slot, "--")...)
	d.want(exitUsage, "", "a program that is in PATH is accepted", append(slot, "--", "no-such-program")...)
	d.want(exitUsage, "", "--grace is 2h0m0s: 0 to 1h0m0s is accepted",
		append(slot, "--grace", "2h", "--", "true")...)
	if booked > 0 {
		t.Errorf("%d leases were booked for what cannot run", booked)
	}
}
