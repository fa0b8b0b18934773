package main

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// power is what the operator can do about a site's power besides curtailing it.
func (s *server) power() poolrpc.Power {
	return poolrpc.Power{
		Stop: s.stopSite, Resume: s.resumeSite, SetLimit: s.setLimit, ClearLimit: s.clearLimit,
		Limits: s.limits, Advice: s.advice,
	}
}

func (s *server) stopSite(
	ctx context.Context, site fleet.SiteID, reason string,
) (*hashleasev1.StopSiteResponse, error) {
	r, err := s.governor.Stop(ctx, site, reason)
	if err != nil {
		return nil, refusedByGovernor(err)
	}
	out := &hashleasev1.StopSiteResponse{
		StopTime: timestamppb.New(r.Stop.At), Workers: int32(r.Workers), WorkersAway: int32(r.Away),
		MiningWatts: int64(r.Before), LeftoverWatts: int64(r.Leftover),
	}
	for _, f := range r.Unarmed {
		out.UnarmedFeeders = append(out.UnarmedFeeders, feederName(site, f))
	}
	return out, nil
}

func (s *server) resumeSite(ctx context.Context, site fleet.SiteID) error {
	return refusedByGovernor(s.governor.Resume(ctx, site))
}

func (s *server) setLimit(ctx context.Context, w poolrpc.LimitWish) (*hashleasev1.Limit, error) {
	l, err := s.governor.SetLimit(ctx, governor.Limit{
		Site: w.Site, Feeder: w.Feeder, Watts: w.Watts, From: w.From, Until: w.Until, Reason: w.Reason,
	})
	if err != nil {
		return nil, refusedByGovernor(err)
	}
	for _, st := range s.governor.Limits() {
		if st.ID == l.ID {
			return limitMessage(&st), nil
		}
	}
	return limitMessage(&governor.LimitStatus{Limit: l}), nil
}

func (s *server) clearLimit(ctx context.Context, number uint64) error {
	return refusedByGovernor(s.governor.ClearLimit(ctx, number))
}

func (s *server) limits() []*hashleasev1.Limit {
	var out []*hashleasev1.Limit
	for _, l := range s.governor.Limits() {
		out = append(out, limitMessage(&l))
	}
	return out
}

func limitMessage(l *governor.LimitStatus) *hashleasev1.Limit {
	on := "sites/" + string(l.Site)
	if l.Feeder != "" {
		on = feederName(l.Site, l.Feeder)
	}
	return &hashleasev1.Limit{
		Name: poolrpc.LimitName(l.ID), On: on, Watts: int64(l.Watts), StartTime: timestamppb.New(l.From),
		EndTime: timestamppb.New(l.Until), Reason: l.Reason, InForce: l.InForce,
		MeteredWatts: int64(l.Metered), FixedWatts: int64(l.Fixed), Fresh: l.Fresh,
	}
}

func (s *server) advice() []*hashleasev1.Advice {
	var out []*hashleasev1.Advice
	for _, a := range s.governor.Advice() {
		m := &hashleasev1.Advice{
			Feeder: feederName(a.Site, a.Feeder), Arm: hashleasev1.Arm(a.Arm) + 1,
			FreedWatts: int64(a.Freed), CostMsatPerHour: int64(a.Cost), ShortWatts: int64(a.Short),
			OverSeconds: a.Over.Seconds(), OverWatts: int64(a.OverMost), SavedJoules: int64(a.Energy),
			ForegoneMsat: int64(a.Foregone), Orders: a.Orders,
		}
		if !a.Since.IsZero() {
			m.SinceTime = timestamppb.New(a.Since)
		}
		for _, w := range a.Workers {
			m.Workers = append(m.Workers, &hashleasev1.CurtailedWorker{
				Worker: string(w.Worker), Feeder: m.Feeder, FromWatts: int64(w.From), ToWatts: int64(w.To),
			})
		}
		out = append(out, m)
	}
	return out
}
