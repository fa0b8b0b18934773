package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// commissioning is what the operator can measure of a site's power.
func (s *server) commissioning() poolrpc.Commissioning {
	return poolrpc.Commissioning{Commission: s.commission, Headroom: s.headroom}
}

func (s *server) commission(
	ctx context.Context, w poolrpc.CommissionWish, send func(*hashleasev1.CommissionFeederResponse) error,
) error {
	if err := s.knowsFeeder(w.Site, w.Feeder); err != nil {
		return err
	}
	wish := governor.Commissioning{Feeder: w.Feeder, Limit: w.Limit, DryRun: w.DryRun}
	err := s.governor.Commission(ctx, wish, func(u governor.CommissionUpdate) error {
		return send(commissionMessage(&u))
	})
	if errors.Is(err, governor.ErrBound) {
		return poolrpc.NewLimitError(err)
	}
	return refusedByGovernor(err)
}

func commissionMessage(u *governor.CommissionUpdate) *hashleasev1.CommissionFeederResponse {
	switch {
	case u.Plan != nil:
		return &hashleasev1.CommissionFeederResponse{
			Event: &hashleasev1.CommissionFeederResponse_Plan{Plan: commissionPlan(u.Plan)},
		}
	case u.Group != nil:
		return &hashleasev1.CommissionFeederResponse{
			Event: &hashleasev1.CommissionFeederResponse_Group{Group: commissionGroup(u.Group)},
		}
	case u.Finding != nil:
		return &hashleasev1.CommissionFeederResponse{
			Event: &hashleasev1.CommissionFeederResponse_Finding{Finding: findingMessage(u.Finding)},
		}
	case u.Result != nil:
		return &hashleasev1.CommissionFeederResponse{
			Event: &hashleasev1.CommissionFeederResponse_Result{Result: commissionResult(u.Result)},
		}
	}
	return &hashleasev1.CommissionFeederResponse{
		Event: &hashleasev1.CommissionFeederResponse_Note{Note: u.Note},
	}
}

func commissionPlan(p *governor.CommissionPlan) *hashleasev1.CommissionPlan {
	return &hashleasev1.CommissionPlan{
		LimitWatts: int64(p.Limit), StepWatts: int64(p.Step), NoiseWatts: int64(p.Noise),
		Workers: int32(p.Workers), Groups: int32(p.Groups), Skipped: exclusions(p.Skipped), DryRun: p.DryRun,
		Reason: p.Why,
	}
}

func exclusions(list []governor.Exclusion) (out []*hashleasev1.Exclusion) {
	for _, e := range list {
		out = append(out, &hashleasev1.Exclusion{
			Reason: e.Reason, Workers: int32(e.Workers), Watts: int64(e.Watts),
		})
	}
	return out
}

func commissionGroup(g *governor.CommissionGroup) *hashleasev1.CommissionGroup {
	out := &hashleasev1.CommissionGroup{
		Number: int32(g.Number), Left: int32(g.Left), Model: g.Kind.Model, Firmware: g.Kind.Firmware,
		OrderedWatts: int64(g.Ordered), MeteredWatts: int64(g.Metered),
		ShedSeconds: g.Shed.Seconds(), ReturnSeconds: g.Return.Seconds(),
		Proven: g.Proven, Verdict: g.Verdict,
	}
	for _, w := range g.Workers {
		out.Workers = append(out.Workers, string(w))
	}
	return out
}

func findingMessage(f *governor.Finding) *hashleasev1.Finding {
	return &hashleasev1.Finding{
		Time: timestamppb.New(f.At), Kind: string(f.Kind), Worker: string(f.Worker), Message: f.Message,
	}
}

func findingMessages(list []governor.Finding) (out []*hashleasev1.Finding) {
	for i := range list {
		out = append(out, findingMessage(&list[i]))
	}
	return out
}

func commissionResult(r *governor.CommissionResult) *hashleasev1.CommissionResult {
	return &hashleasev1.CommissionResult{
		Done: r.Done, Message: r.Message, Proven: int32(r.Proven), Unproven: int32(r.Unproven),
		Findings: findingMessages(r.Findings), ElapsedSeconds: r.Elapsed.Seconds(),
		Headroom: headroomMessage(&r.Headroom),
	}
}

// headroom is what the feeders of a site can deliver.
func (s *server) headroom(site fleet.SiteID) ([]*hashleasev1.Headroom, error) {
	list, err := s.governor.Headroom(site)
	if err != nil {
		return nil, refusedByGovernor(err)
	}
	var out []*hashleasev1.Headroom
	for i := range list {
		out = append(out, headroomMessage(&list[i]))
	}
	return out, nil
}

func headroomMessage(h *governor.Headroom) *hashleasev1.Headroom {
	out := &hashleasev1.Headroom{
		Feeder: feederName(h.Site, h.Feeder), State: h.State.String(), Reason: h.Reason, Command: h.Command,
		LimitWatts: int64(h.Limit), ReserveWatts: int64(h.Reserve), MarginWatts: int64(h.Margin),
		BaseWatts: int64(h.Base), NotCountedWatts: int64(h.NotCounted), AsleepWatts: int64(h.Asleep),
		NotFreedWatts: int64(h.NotFreed), SourceWatts: int64(h.Source), FailureWatts: int64(h.Failures),
		ElsewhereWatts: int64(h.Elsewhere), WorkersElsewhere: int32(h.NoSession),
		HeatWatts: int64(h.Heat), DomainWatts: int64(h.Domain), Domain: h.DomainName,
		FirmWatts: int64(h.Firm),
		Workers:   int32(h.Workers), WorkersCounted: int32(h.Counted), Excluded: exclusions(h.Excluded),
		DeclaredNotice: durationpb.New(h.Declared), Notice: durationpb.New(h.Notice),
		Findings: findingMessages(h.Findings),
	}
	if h.Shed > 0 {
		out.Shed, out.Proof = durationpb.New(h.Shed), durationpb.New(h.Proof)
	}
	if !h.ProvenAt.IsZero() {
		out.ProvenTime = timestamppb.New(h.ProvenAt)
	}
	for i := range h.Measured {
		m := &h.Measured[i]
		out.Responses = append(out.Responses, &hashleasev1.MeasuredResponse{
			Model: m.Model, Firmware: m.Firmware, Workers: int32(m.Workers), Samples: int32(m.Samples),
			Freed: m.Freed, ShedSeconds: m.Shed.Seconds(), ReturnSeconds: m.Return.Seconds(),
			Metered: m.Metered, Orders: m.Orders, Failures: m.Failures,
			SampleTime: timestamppb.New(m.At.Truncate(time.Second)),
		})
	}
	return out
}

// knowsFeeder says what is wrong if the site has no such feeder.
func (s *server) knowsFeeder(site fleet.SiteID, feeder fleet.FeederID) error {
	is := func(f config.Feeder) bool { return f.ID == feeder }
	for _, st := range s.cfg.Sites {
		if st.ID == site && slices.ContainsFunc(st.Feeder, is) {
			return nil
		}
	}
	return poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("there is no feeder %q at a site %q", feeder, site))
}
