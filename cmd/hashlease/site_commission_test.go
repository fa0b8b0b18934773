package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

var scriptedHeadroom = &hashleasev1.Headroom{
	Feeder: "sites/north/feeders/n1", State: "commissioned", Reason: "1 of 40 workers are not commissioned",
	Command: "hashlease site commission n1", LimitWatts: 500_000, ReserveWatts: 5000, FirmWatts: 101_000,
	NotFreedWatts: 9000, DomainWatts: 3500, Domain: "branch p1", Workers: 40, WorkersCounted: 39,
	Notice: durationpb.New(31 * time.Second), DeclaredNotice: durationpb.New(20 * time.Second),
	Excluded: []*hashleasev1.Exclusion{{Reason: "not commissioned", Workers: 1, Watts: 3500}},
	Responses: []*hashleasev1.MeasuredResponse{{
		Model: "Antminer S21", Firmware: "bos\x1b 26", Samples: 12, Freed: 0.96,
		ShedSeconds: 21.5, Metered: true,
	}},
	Findings: []*hashleasev1.Finding{
		{Kind: "disobeys", Worker: "a.7", Message: "a.7 does not do as ordered"},
	},
}

func (s *scripted) GetHeadroom(
	_ context.Context, r *hashleasev1.GetHeadroomRequest,
) (*hashleasev1.GetHeadroomResponse, error) {
	s.reason = r.GetSite()
	return &hashleasev1.GetHeadroomResponse{Feeders: []*hashleasev1.Headroom{scriptedHeadroom}}, nil
}

func (s *scripted) CommissionFeeder(
	r *hashleasev1.CommissionFeederRequest,
	stream grpc.ServerStreamingServer[hashleasev1.CommissionFeederResponse],
) error {
	done := r.GetLimitWatts() == 12_000
	for _, m := range []*hashleasev1.CommissionFeederResponse{
		{Event: &hashleasev1.CommissionFeederResponse_Plan{Plan: &hashleasev1.CommissionPlan{
			LimitWatts: 10_000, StepWatts: 7000, NoiseWatts: 40, Workers: 40, Groups: 20,
			DryRun:  r.GetDryRun(),
			Skipped: []*hashleasev1.Exclusion{{Reason: "pinned", Workers: 2}},
		}}},
		{Event: &hashleasev1.CommissionFeederResponse_Note{Note: "listening"}},
		{Event: &hashleasev1.CommissionFeederResponse_Group{Group: &hashleasev1.CommissionGroup{
			Number: 1, Left: 19, Model: "Antminer S21", Workers: []string{"a.1", "a.2"}, OrderedWatts: 7000,
			MeteredWatts: 6900, ShedSeconds: 19.5, Verdict: "proven", Proven: true,
		}}},
		{Event: &hashleasev1.CommissionFeederResponse_Finding{Finding: scriptedHeadroom.GetFindings()[0]}},
		{Event: &hashleasev1.CommissionFeederResponse_Result{Result: &hashleasev1.CommissionResult{
			Done: done, Message: map[bool]string{false: "a tenant needs the watts"}[done],
			Proven: 39, Unproven: 1,
			Findings: scriptedHeadroom.GetFindings(), ElapsedSeconds: 65, Headroom: scriptedHeadroom,
		}}},
	} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// Ensure that a commissioning is followed to its result, and that one that stopped is a failure with its
// reason.
func TestSiteCommission_FollowsToTheResult(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "40 workers in 20 groups of about 7 kW, at most 10 kW at once; "+
		"the meter's noise is 40 W.\n"+
		"Not tried: 2 workers: pinned\n"+
		"   1  Antminer S21: 6.9 kW of 7 kW in 19.5 s, back in -: proven (a.1, a.2; 19 to come)\n"+
		"FOUND  a.7 does not do as ordered\n"+
		"39 workers proven, 1 not, 1 finding, after 1m5s.\n"+
		"north/n1 can deliver 101 kW at a notice of 31s.\n", "Ctrl-C stops it",
		"site", "commission", "n1", "--limit", "12kW")
	d.want(exitFailed, "", "the commissioning stopped: a tenant needs the watts", "site", "commission", "n1")
	d.want(exitFailed, "at most 10 kW at once", "Nothing is ordered.\n",
		"site", "commission", "n1", "--dry-run")
	if strings.Contains(d.out, "proven, ") {
		t.Errorf("a dry run says what it has proven: %s", d.out)
	}
	d.want(exitOK, `"verdict":"proven"`, "", "site", "commission", "n1", "--limit", "12kW", "--json")
	d.want(exitUsage, "", "up to 1 TW in W", "site", "commission", "n1", "--limit=-1kW")
}

// Ensure that headroom is shown term by term with what to run, harmless to a terminal.
func TestSiteHeadroom_ShowsEveryTerm(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "- N-1               3.5 kW\n= FIRM              101 kW\nnotice              31s\n"+
		"workers counted on  39 of 40\nstate               commissioned\n"+
		"north/n1: 1 of 40 workers are not commissioned: hashlease site commission n1\n"+
		"north/n1: N-1 stands in for branch p1\n", "",
		"site", "headroom", "north")
	if d.srv.reason != "sites/north" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "Antminer S21  bos? 26   12       96 %   21.5 s  -       meter", "", "site", "headroom")
	d.want(exitOK, `"firm_watts":"101000"`, "", "site", "headroom", "--json")
}
