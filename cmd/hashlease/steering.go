package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// setArm sets what may be done on a feeder of that site.
func (s *server) setArm(ctx context.Context, site fleet.SiteID, f fleet.FeederID, a fleet.Arm) error {
	for _, known := range s.leases.Sites() {
		if known.ID == site && slices.ContainsFunc(known.Feeders, func(v service.FeederView) bool {
			return v.ID == f
		}) {
			return refusedByGovernor(s.governor.SetArm(ctx, f, a))
		}
	}
	return poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("there is no feeder %q at a site %q", f, site))
}

// confirmOff notes that an ended lease's tenant draws nothing any more.
func (s *server) confirmOff(ctx context.Context, tenant, uid string) (*hashleasev1.Lease, error) {
	// The book asks for no tenant here: a name that is wrong in half must not end another's lease.
	if _, err := s.leases.Lease(lease.TenantID(tenant), lease.UID(uid)); err != nil {
		return nil, refusedByBook(err)
	}
	l, err := s.leases.Confirm(ctx, lease.UID(uid))
	if err != nil {
		return nil, refusedByBook(err)
	}
	return leaserpc.Message(&l, s.leases.Now()), nil
}

// acceptClock believes the clock, where service time can go on by it.
func (s *server) acceptClock(ctx context.Context) (time.Time, error) {
	if err := s.leases.AcceptClock(ctx); err != nil {
		return time.Time{}, refusedByBook(err)
	}
	now := s.leases.Now()
	if s.leases.Stats().ClockSuspect {
		return time.Time{}, poolrpc.As(poolrpc.ErrState, fmt.Errorf("the server's clock says %s, but leases "+
			"were already run until %s, and time never goes back: set the clock right, or wait for it",
			time.Now().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	}
	return now, nil
}

// bookStatus is how the lease service does.
func (s *server) bookStatus() *hashleasev1.LeaseBookStatus {
	st := s.leases.Stats()
	return &hashleasev1.LeaseBookStatus{
		State: bookState(&st, s.leases.Health()), Time: timestamppb.New(st.Now),
		ClockSuspect: st.ClockSuspect, ReadOnly: st.ReadOnly, Live: int64(st.Live),
	}
}

// bookState says in words what is wrong with the lease service, and what to do.
func bookState(st *service.Stats, health error) string {
	switch {
	case st.ReadOnly:
		return "the journal cannot be written, nothing is booked or ended: look at the disk of storage.dir " +
			"and at the log"
	case health != nil:
		return health.Error()
	case st.ClockSuspect:
		return "the server's clock jumped: no lease begins, ends or is booked. Set it right (NTP), or, " +
			"if it is right now: hashlease clock accept"
	default:
		return "ok"
	}
}

// leaseNames are the resource names of those claims on power that are leases.
func (s *server) leaseNames(claims []string) []string {
	var names []string
	for _, c := range claims {
		if l, err := s.leases.Lease("", lease.UID(c)); err == nil {
			names = append(names, leaserpc.Message(&l, s.leases.Now()).GetName())
		}
	}
	return names
}

func feederName(site fleet.SiteID, f fleet.FeederID) string {
	return fmt.Sprintf("sites/%s/feeders/%s", site, f)
}

// refusedByGovernor and refusedByBook make the rooms' own errors ones that poolrpc understands.
func refusedByGovernor(err error) error {
	return oneOf(err, map[error]error{
		governor.ErrUnknown: poolrpc.ErrUnknown, governor.ErrState: poolrpc.ErrState,
		governor.ErrShort: poolrpc.ErrShort, governor.ErrEarly: poolrpc.ErrUnavailable,
	})
}

func refusedByBook(err error) error {
	if r, ok := errors.AsType[*lease.Refusal](err); ok {
		if r.Kind == lease.UnknownLease {
			return poolrpc.As(poolrpc.ErrUnknown, errors.New(r.Detail))
		}
		return poolrpc.As(poolrpc.ErrState, fmt.Errorf("the lease is %v: only one that is ENDING, or FAILED "+
			"with its watts still kept for its tenant, can be confirmed off", r.State))
	}
	return oneOf(err, map[error]error{
		service.ErrRecovering: poolrpc.ErrUnavailable, service.ErrReadOnly: poolrpc.ErrUnavailable,
		service.ErrClosed: poolrpc.ErrUnavailable,
	})
}

// oneOf gives err the kind that it has in another room's words.
func oneOf(err error, kinds map[error]error) error {
	for theirs, ours := range kinds {
		if errors.Is(err, theirs) {
			return poolrpc.As(ours, err)
		}
	}
	return err
}
