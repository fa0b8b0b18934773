package poolrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// report writes what it was asked, or a lot for the lease "long".
func report(_ context.Context, w poolrpc.ReportWish, to io.Writer) error {
	switch w.Claim {
	case "gone":
		return fmt.Errorf("%w: nothing of that name", audit.ErrNone)
	case "long":
		_, err := to.Write(bytes.Repeat([]byte{'x'}, 200_000))
		return err
	}
	_, err := fmt.Fprintf(to, "%s|%s|%d|%s|%v|%v",
		w.Site, w.Claim, w.Limit, w.Month, w.Until.Sub(w.From), w.Records)
	return err
}

// file asks for a report.
func file(
	t *testing.T, c hashleasev1.OperatorServiceClient, r *hashleasev1.GetSiteReportRequest,
) (string, error) {
	t.Helper()
	s, err := c.GetSiteReport(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for {
		p, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return string(all), nil
		}
		if err != nil {
			return "", err
		}
		all = append(all, p.GetPart()...)
	}
}

// Ensure that a report is asked for by one thing, comes in parts, and that every fault of a request is
// named.
func TestService_SendsReports(t *testing.T) {
	c := dial(t, config())
	for _, ok := range []struct {
		req  *hashleasev1.GetSiteReportRequest
		want string
	}{
		{&hashleasev1.GetSiteReportRequest{Lease: "l1", Records: true}, "north|l1|0||0s|true"},
		{&hashleasev1.GetSiteReportRequest{Curtailment: "operator/3"}, "north|operator/3|0||0s|false"},
		{&hashleasev1.GetSiteReportRequest{Limit: "limits/4"}, "north||4||0s|false"},
		{&hashleasev1.GetSiteReportRequest{Month: "2026-11"}, "north||0|2026-11|0s|false"},
		{&hashleasev1.GetSiteReportRequest{
			StartTime: &timestamppb.Timestamp{Seconds: 100}, EndTime: &timestamppb.Timestamp{Seconds: 160},
		}, "north||0||1m0s|false"},
	} {
		ok.req.Site = "sites/north"
		if got, err := file(t, c, ok.req); err != nil || got != ok.want {
			t.Errorf("%v: %q %v, want %q", ok.req, got, err, ok.want)
		}
	}
	long, err := file(t, c, &hashleasev1.GetSiteReportRequest{Site: "sites/north", Lease: "long"})
	if err != nil || len(long) != 200_000 {
		t.Errorf("a long report has %d bytes: %v", len(long), err)
	}
	_, err = file(t, c, &hashleasev1.GetSiteReportRequest{Site: "sites/north", Lease: "gone"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("what is not there: %v", err)
	}
	for _, bad := range []*hashleasev1.GetSiteReportRequest{
		{},
		{Site: "sites/north"},
		{Site: "north", Lease: "l1"},
		{Site: "sites/north", Lease: "L/1"},
		{Site: "sites/north", Lease: "l1", Month: "2026-11"},
		{Site: "sites/north", Month: "2026-13"},
		{Site: "sites/north", Curtailment: "operator/x"},
		{Site: "sites/north", Limit: "limits/0"},
		{Site: "sites/north", StartTime: &timestamppb.Timestamp{Seconds: 5}},
		{
			Site: "sites/north", StartTime: &timestamppb.Timestamp{Seconds: 5},
			EndTime: &timestamppb.Timestamp{Seconds: 5},
		},
	} {
		if _, err := file(t, c, bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
