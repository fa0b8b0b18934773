package poolrpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// power answers from constants.
func power() poolrpc.Power {
	return poolrpc.Power{
		Stop: func(
			_ context.Context, site fleet.SiteID, reason string,
		) (*hashleasev1.StopSiteResponse, error) {
			return &hashleasev1.StopSiteResponse{UnarmedFeeders: []string{string(site), reason}}, nil
		},
		Resume: func(context.Context, fleet.SiteID) error { return nil },
		SetLimit: func(_ context.Context, l poolrpc.LimitWish) (*hashleasev1.Limit, error) {
			return &hashleasev1.Limit{
				Name: poolrpc.LimitName(7), On: string(l.Site) + "|" + string(l.Feeder),
				Watts: int64(l.Watts), Reason: l.Reason,
				StartTime: timestamppb.New(l.From), EndTime: timestamppb.New(l.Until),
			}, nil
		},
		ClearLimit: func(_ context.Context, n uint64) error {
			if n != 7 {
				return poolrpc.ErrUnknown
			}
			return nil
		},
		Limits: func() []*hashleasev1.Limit { return []*hashleasev1.Limit{{Watts: 3}} },
		Advice: func() []*hashleasev1.Advice { return []*hashleasev1.Advice{{Orders: 5}} },
	}
}

// Ensure that a site's name and reason reach the stop, and that faults in them are all named.
func TestService_StopsAndResumesSites(t *testing.T) {
	client := dial(t, config())
	r, err := client.StopSite(t.Context(), &hashleasev1.StopSiteRequest{Site: "sites/yard", Reason: "smoke"})
	if err != nil || cmp.Diff([]string{"yard", "smoke"}, r.GetUnarmedFeeders()) != "" {
		t.Errorf("stop gave %v, %v", r, err)
	}
	for _, reason := range []string{strings.Repeat("x", 201), "a\nb"} {
		_, err := client.StopSite(t.Context(), &hashleasev1.StopSiteRequest{Site: "yard", Reason: reason})
		if diff := cmp.Diff([]string{"site", "reason"}, violations(t, err)); diff != "" {
			t.Errorf("violations of a stop for %.5q (-want +got):\n%s", reason, diff)
		}
	}
	_, err = client.ResumeSite(t.Context(), &hashleasev1.ResumeSiteRequest{Site: "sites/yard"})
	if err != nil {
		t.Error(err)
	}
	_, err = client.ResumeSite(t.Context(), &hashleasev1.ResumeSiteRequest{Site: "sites/"})
	if diff := cmp.Diff([]string{"site"}, violations(t, err)); diff != "" {
		t.Errorf("violations of a resume (-want +got):\n%s", diff)
	}
}

// Ensure that limits go through as they are asked for, and that every fault is named.
func TestService_SetsListsAndClearsLimits(t *testing.T) {
	client := dial(t, config())
	ask := func(l *hashleasev1.Limit) (*hashleasev1.Limit, error) {
		return client.CreateLimit(t.Context(), &hashleasev1.CreateLimitRequest{Limit: l})
	}
	until := timestamppb.New(at.Add(time.Hour))
	for on, want := range map[string]string{"sites/yard": "yard|", "sites/yard/feeders/f-1": "yard|f-1"} {
		l, err := ask(&hashleasev1.Limit{On: on, Watts: 5000, EndTime: until, Reason: "4CP"})
		if err != nil || l.GetOn() != want || l.GetWatts() != 5000 ||
			!l.GetEndTime().AsTime().Equal(until.AsTime()) {
			t.Errorf("a limit on %s gave %v, %v", on, l, err)
		}
	}
	_, err := ask(&hashleasev1.Limit{
		Name: "limits/1", On: "yard/f-1", Watts: -1, StartTime: &timestamppb.Timestamp{Seconds: -5},
		Reason: "\x00",
	})
	want := []string{
		"limit.on", "limit.watts", "limit.start_time", "limit.end_time", "limit.reason", "limit.name",
	}
	if diff := cmp.Diff(want, violations(t, err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	if _, err := ask(nil); err == nil {
		t.Error("no limit at all was accepted")
	}
	for name, ok := range map[string]bool{
		"limits/7": true, "limits/8": false, "limits/07": false, "7": false, "limits/": false,
		"limits/-7": false,
	} {
		_, err := client.DeleteLimit(t.Context(), &hashleasev1.DeleteLimitRequest{Name: name})
		if (err == nil) != ok {
			t.Errorf("clearing %q gave %v", name, err)
		}
	}
	ls, err := client.ListLimits(t.Context(), &hashleasev1.ListLimitsRequest{})
	if err != nil || len(ls.GetLimits()) != 1 {
		t.Errorf("limits %v, %v", ls, err)
	}
	as, err := client.ListAdvice(t.Context(), &hashleasev1.ListAdviceRequest{})
	if err != nil || as.GetFeeders()[0].GetOrders() != 5 {
		t.Errorf("advice %v, %v", as, err)
	}
}
