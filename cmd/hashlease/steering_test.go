package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/lease"
	leaseclient "github.com/hashlease/hashlease/lease/client"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/poolrpc"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/storage/mem"
)

// quiet is a governor with 10 kW on one feeder that never proves anything, and a ledger.
type quiet struct{}

func (quiet) SetCaps(context.Context, fleet.Revision, []fleet.Cap) error { return nil }

func (quiet) Post(context.Context, ...ledger.Entry) error { return nil }

func (quiet) Capacity(ctx context.Context, after uint64) ([]fleet.Capacity, error) {
	if after == 0 {
		return []fleet.Capacity{{Seq: 1, Feeder: "n1", Firm: 10 * unit.Kilowatt}}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (quiet) Delivered(ctx context.Context, _ uint64) ([]fleet.Proof, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// steered is a server of which only the lease service runs, by a clock that is jump (nanoseconds) ahead.
func steered(t *testing.T) (s *server, jump *atomic.Int64) {
	t.Helper()
	jump = new(atomic.Int64)
	cfg := service.DefaultConfig()
	cfg.Sites = []fleet.Site{{ID: "north", Feeders: []fleet.Feeder{{
		ID: "n1", Site: "north", Limit: 20 * unit.Kilowatt,
	}}}}
	cfg.Wall = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
	leases, err := service.New(cfg, mem.New(), quiet{}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- leases.Run(ctx) }() // ends with ctx
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-leases.Ready()
	synctest.Wait()
	return &server{leases: leases}, jump
}

// Ensure that an ended lease without a meter stays as it is until the operator says that it is off, and
// that only its full name does.
func TestConfirmOff_EndsALeaseWithoutAMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := steered(t)
		l, err := s.leases.Create(t.Context(), lease.Create{
			Tenant: "acme", RequestID: leaseclient.NewRequestID(), Site: "north", Watts: 1000,
			End: time.Now().Add(time.Minute),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.confirmOff(t.Context(), "acme", string(l.UID))
		if !errors.Is(err, poolrpc.ErrState) {
			t.Errorf("confirming a lease that is not over: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if l, err = s.leases.Lease("acme", l.UID); err != nil || !l.Claims() {
			t.Fatalf("an hour later the lease is %v and keeps its watts: %t (%v)", l.State, l.Claims(), err)
		}
		if _, err := s.confirmOff(t.Context(), "other", string(l.UID)); !errors.Is(err, poolrpc.ErrUnknown) {
			t.Errorf("confirming by another tenant's name: %v", err)
		}
		got, err := s.confirmOff(t.Context(), "acme", string(l.UID))
		if err != nil || got.GetGoneTime() == nil || got.GetName() != "tenants/acme/leases/"+string(l.UID) {
			t.Errorf("confirmed as %v (%v)", got, err)
		}
		if l, err = s.leases.Lease("acme", l.UID); err != nil || l.Claims() {
			t.Errorf("confirmed, the lease is %v and keeps its watts: %t (%v)", l.State, l.Claims(), err)
		}
		names := s.leaseNames([]string{"operator/1/n1", string(l.UID)})
		if len(names) != 1 || names[0] != got.GetName() {
			t.Errorf("leases among the claims are %q", names)
		}
	})
}

// Ensure that a jump of the clock shows in the status until the operator accepts it, and that a clock
// behind what was recorded is not accepted.
func TestAcceptClock_LetsLeasesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, jump := steered(t)
		look := func() *hashleasev1.LeaseBookStatus {
			time.Sleep(2 * time.Second) // the service looks every second
			synctest.Wait()
			return s.bookStatus()
		}
		if st := look(); st.GetState() != "ok" || st.GetClockSuspect() {
			t.Fatalf("before the jump: %v", st)
		}
		jump.Store(int64(time.Hour))
		if st := look(); !st.GetClockSuspect() || st.GetState() == "ok" {
			t.Errorf("after the jump: %v", st)
		}
		want := time.Now().Add(time.Hour)
		if now, err := s.acceptClock(t.Context()); err != nil || !now.Equal(want) {
			t.Errorf("accepted %v (%v), want %v", now, err, want)
		}
		if st := look(); st.GetState() != "ok" {
			t.Errorf("after accepting: %v", st)
		}
		jump.Store(0)
		if st := look(); !st.GetClockSuspect() {
			t.Errorf("after the jump back: %v", st)
		}
		if _, err := s.acceptClock(t.Context()); !errors.Is(err, poolrpc.ErrState) {
			t.Errorf("a clock that is behind was accepted: %v", err)
		}
	})
}
