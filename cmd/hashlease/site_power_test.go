package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

func (s *scripted) StopSite(
	_ context.Context, r *hashleasev1.StopSiteRequest,
) (*hashleasev1.StopSiteResponse, error) {
	s.reason = r.GetSite() + " " + r.GetReason()
	return &hashleasev1.StopSiteResponse{
		Workers: 200, WorkersAway: 2, MiningWatts: 650_000, LeftoverWatts: 13_000,
		UnarmedFeeders: []string{"sites/north/feeders/n2"},
	}, nil
}

func (s *scripted) ResumeSite(
	context.Context, *hashleasev1.ResumeSiteRequest,
) (*hashleasev1.ResumeSiteResponse, error) {
	return &hashleasev1.ResumeSiteResponse{}, nil
}

func (s *scripted) CreateLimit(
	_ context.Context, r *hashleasev1.CreateLimitRequest,
) (*hashleasev1.Limit, error) {
	l := r.GetLimit()
	l.Name, l.InForce, l.Fresh, l.MeteredWatts, l.FixedWatts = "limits/3", true, true, 2_500_000, 2_100_000
	s.limit = l
	return l, nil
}

func (s *scripted) DeleteLimit(
	_ context.Context, r *hashleasev1.DeleteLimitRequest,
) (*hashleasev1.DeleteLimitResponse, error) {
	s.reason = r.GetName()
	return &hashleasev1.DeleteLimitResponse{}, nil
}

func (s *scripted) ListLimits(
	context.Context, *hashleasev1.ListLimitsRequest,
) (*hashleasev1.ListLimitsResponse, error) {
	if s.limit == nil {
		return &hashleasev1.ListLimitsResponse{}, nil
	}
	return &hashleasev1.ListLimitsResponse{Limits: []*hashleasev1.Limit{s.limit}}, nil
}

func (s *scripted) ListAdvice(
	context.Context, *hashleasev1.ListAdviceRequest,
) (*hashleasev1.ListAdviceResponse, error) {
	return &hashleasev1.ListAdviceResponse{Feeders: []*hashleasev1.Advice{{
		Feeder: "sites/north/feeders/n1", Arm: hashleasev1.Arm_ARM_OBSERVE,
		SinceTime: &timestamppb.Timestamp{Seconds: 1893553445}, FreedWatts: 20_000, CostMsatPerHour: 900_000,
		OverSeconds: 61, OverWatts: 18_000, SavedJoules: 3_600_000, ForegoneMsat: 45_000, Orders: 7,
		Workers: []*hashleasev1.CurtailedWorker{{Worker: "a.1\x1b", FromWatts: 3500, ToWatts: 30}},
	}}}, nil
}

// Ensure that a stop says whom it reaches, whom not, and how to end it.
func TestSiteStop_SaysWhomItReaches(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "STOPPED: 200 workers go to their minimum; mining drew 650 kW and will draw at most "+
		"13 kW.\n2 workers are out of reach",
		"NOT stopped, because not armed to act: sites/north/feeders/n2\n",
		"site", "stop", "north", "--reason", "smoke in hall 2")
	if d.srv.reason != "sites/north smoke in hall 2" ||
		!strings.Contains(d.err, "hashlease site resume north") {
		t.Errorf("asked for %q; stderr %q", d.srv.reason, d.err)
	}
	d.want(exitOK, `"workers_away":2`, "", "site", "stop", "north", "--json")
	d.want(exitOK, "north: mining returns", "", "site", "resume", "north")
}

// Ensure that limits are asked for as the flags say, and shown with what does not give way.
func TestSiteLimit_SetsListsAndClears(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "LIMIT  ON     POWER", "Base load and tenants alone hold 100 kW more than that",
		"site", "limit", "set", "north", "2MW", "--from", "2030-01-02T03:00:00Z", "--for", "1h",
		"--reason", "4CP")
	l := d.srv.limit
	if l.GetOn() != "sites/north" || l.GetWatts() != 2_000_000 || l.GetReason() != "4CP" ||
		l.GetEndTime().AsTime().Sub(l.GetStartTime().AsTime()) != time.Hour {
		t.Errorf("asked for %v", l)
	}
	d.want(exitOK, "above it", "", "site", "limit", "list")
	set := d.srv.limit
	d.srv.limit = nil
	d.want(exitOK, "", "No limit is set.\n", "site", "limit", "list")
	d.srv.limit = set
	d.want(exitOK, `"on":"sites/north/feeders/n1"`, "",
		"site", "limit", "set", "north/n1", "100kW", "--until", "+30m", "--json")
	if at := d.srv.limit.GetStartTime(); at != nil {
		t.Errorf("now is asked for as %v", at)
	}
	d.want(exitUsage, "", "--for=DURATION or --until=TIME", "site", "limit", "set", "north", "1MW")
	d.want(exitUsage, "", "can't be used together",
		"site", "limit", "set", "north", "1MW", "--for", "1h", "--until", "+1h")
	d.want(exitOK, "limit 3 is over.\n", "", "site", "limit", "clear", "3")
	if d.srv.reason != "limits/3" {
		t.Errorf("cleared %q", d.srv.reason)
	}
}

// Ensure that advice is shown with its workers where a feeder is named, harmless to a terminal.
func TestSiteAdvice_ShowsWhatWouldHaveBeenDone(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "north/n1  observe  2030-01-02 03:04:05 UTC  1 worker    20 kW  900 sat", "",
		"site", "advice")
	d.want(exitOK, "1m1s, up to 18 kW", "", "site", "advice")
	d.want(exitOK, "a.1?    3.5 kW  30 W\n", "", "site", "advice", "n1")
	d.want(exitOK, `"saved_joules":"3600000"`, "", "site", "advice", "--json")
	d.want(exitUsage, "", "no site has it", "site", "advice", "n9")
}

// Ensure that meters are shown with their state, and what is wrong with them.
func TestSiteMeters_ShowsWhatIsWrong(t *testing.T) {
	d := newDesk(t)
	d.srv.status = &hashleasev1.GetStatusResponse{Feeders: []*hashleasev1.FeederStatus{{
		Feeder: "sites/north/feeders/n1",
		Meters: []*hashleasev1.MeterStatus{
			{Name: "n1 total", Role: "total", State: "ok", Watts: 98_000},
			{Name: "n1 tenant acme", Role: "tenant", Tenant: "acme", State: "lost", Detail: "cable\x1b[2J"},
		},
	}}}
	d.want(exitOK, "ON        METER        READS  AT  STATE  DETAIL\n"+
		"north/n1  total        98 kW  -   ok\n"+
		"north/n1  tenant acme  0 W    -   lost   cable?[2J\n", "", "site", "meters")
	d.want(exitOK, `"state":"lost"`, "", "site", "meters", "--json")
}
