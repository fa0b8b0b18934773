package poolrpc

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const (
	// reportPart is how much of a report's file goes into one message.
	reportPart  = 64 << 10
	longestSpan = 366 * 24 * time.Hour
	maxNumber   = 20 // digits of a curtailment
)

// ReportWish is what a report is asked about.
type ReportWish struct {
	Site        fleet.SiteID
	Claim       string    // a lease's uid, or a curtailment as operator/3
	Limit       uint64    // a limit's number
	Month       string    // 2026-11, by the site's zone
	From, Until time.Time // zero unless they are asked for
	Records     bool
}

// GetSiteReport sends a report's file part by part.
func (s *Service) GetSiteReport(
	req *hashleasev1.GetSiteReportRequest,
	stream grpc.ServerStreamingServer[hashleasev1.GetSiteReportResponse],
) error {
	w, err := parseReport(req)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(partWriter{stream}, reportPart)
	err = s.cfg.Report(stream.Context(), w, out)
	if err == nil {
		err = out.Flush()
	}
	if errors.Is(err, audit.ErrNone) {
		err = As(ErrUnknown, err)
	}
	return answer(stream.Context(), "GetSiteReport", err)
}

// partWriter sends what is written.
type partWriter struct {
	stream grpc.ServerStreamingServer[hashleasev1.GetSiteReportResponse]
}

var _ io.Writer = partWriter{}

// Write sends a copy of b in parts: a line may be longer than a message should be.
func (w partWriter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		part := b[n:min(n+reportPart, len(b))]
		err := w.stream.Send(&hashleasev1.GetSiteReportResponse{Part: append([]byte(nil), part...)})
		if err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(b), nil
}

// parseReport lists every fault of a request.
func parseReport(req *hashleasev1.GetSiteReportRequest) (ReportWish, error) {
	var v invalid
	w := ReportWish{Site: v.site(req.GetSite()), Month: req.GetMonth(), Records: req.GetRecords()}
	asked := 0
	ask := func(field, value string, ok bool, accepted string) {
		if value == "" {
			return
		}
		if asked++; !ok {
			v.add(field, accepted)
		}
	}
	ask("lease", req.GetLease(), validName(req.GetLease()),
		"a lease's uid is accepted, 1 to 40 of a-z 0-9 - _")
	digits, operator := strings.CutPrefix(req.GetCurtailment(), "operator/")
	_, err := strconv.ParseUint(digits, 10, 64)
	ask("curtailment", req.GetCurtailment(), operator && err == nil && len(digits) <= maxNumber,
		`"operator/{number}" is accepted, as the curtailment was named`)
	w.Claim = req.GetLease() + req.GetCurtailment()
	number, limit := strings.CutPrefix(req.GetLimit(), "limits/")
	w.Limit, err = strconv.ParseUint(number, 10, 64)
	ask("limit", req.GetLimit(), limit && err == nil && w.Limit > 0, `"limits/{number}" is accepted`)
	_, err = time.Parse("2006-01", req.GetMonth())
	ask("month", req.GetMonth(), err == nil, "a month as 2026-11 is accepted")
	if req.GetStartTime() != nil || req.GetEndTime() != nil {
		asked++
		w.From = v.instant("start_time", req.GetStartTime(), true)
		w.Until = v.instant("end_time", req.GetEndTime(), true)
		if span := w.Until.Sub(w.From); len(v) == 0 && (span <= 0 || span > longestSpan) {
			v.add("end_time", "a time after start_time, up to 366 days, is accepted")
		}
	}
	if asked != 1 {
		v.add("lease", "exactly one of lease, curtailment, limit, month, "+
			"and start_time with end_time is accepted")
	}
	return w, v.err()
}
