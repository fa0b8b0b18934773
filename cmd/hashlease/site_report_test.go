package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/hashlease/hashlease/pool/audit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// GetSiteReport sends a report of a lease of two minutes out of a log of its own.
func (s *scripted) GetSiteReport(
	r *hashleasev1.GetSiteReportRequest, stream grpc.ServerStreamingServer[hashleasev1.GetSiteReportResponse],
) error {
	s.asked = r
	s.reason = r.GetLease() + r.GetCurtailment() + r.GetLimit() + r.GetMonth()
	dir, err := os.MkdirTemp("", "report-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	l, err := audit.Open(audit.DefaultConfig(dir), at)
	if err != nil {
		return err
	}
	l.Note(audit.Record{
		At: at, Kind: audit.Claim, Site: "north", Feeder: "n1", Claim: "=l1", State: "set", Watts: 20_000,
		From: at.Add(5 * time.Minute), Until: at.Add(7 * time.Minute),
	})
	for i := range 480 {
		rec := audit.Record{
			At: at.Add(time.Duration(i) * time.Second), Kind: audit.Reading, Site: "north", Feeder: "n1",
			Mining: 100_000, Limit: 150_000, Bound: 120_000, Fresh: true,
		}
		if i > 300 && i <= 420 {
			rec.Mining, rec.Watts, rec.Reduced, rec.Due, rec.Price = 80_000, 20_000, 5, 1e15, 5e-13
		}
		l.Note(rec)
	}
	var file bytes.Buffer
	q := audit.Query{Site: "north", Claim: "=l1"}
	if _, err := l.Report(stream.Context(), q, !r.GetRecords(), &file); err != nil {
		return err
	}
	for b := file.Bytes(); len(b) > 0; {
		n := min(len(b), 1000)
		if err := stream.Send(&hashleasev1.GetSiteReportResponse{Part: b[:n]}); err != nil {
			return err
		}
		b = b[n:]
	}
	return l.Close(at)
}

// Ensure that a report is shown in each form, saved, and that the saved one is checked without a server:
// as it is, and after one byte of it was changed.
func TestSiteReport_IsShownSavedAndChecked(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "energy_freed_meter   2.39 MJ", "",
		"site", "report", "north", "--lease", "tenants/a/leases/l1")
	if d.srv.reason != "l1" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "claim =l1  n1", "", "site", "report", "north", "--event", "operator/3/n1")
	if d.srv.reason != "operator/3" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "claim,'=l1,n1,2030-01-02T03:05:00Z", "",
		"site", "report", "north", "--limit", "7", "--csv")
	d.want(exitOK, `"figures":[{"name":"energy_freed_meter","known":true,"value":2390000,"unit":"J"`, "",
		"site", "report", "north", "--month", "2030-01", "--json")
	file := filepath.Join(t.TempDir(), "l1.jsonl")
	d.want(exitOK, "=l1 at site north\n", "check it anywhere with: hashlease site verify "+file+" --trusted ",
		"site", "report", "north", "--lease", "l1", "--out", file)
	d.want(exitOK, "energy_freed_meter   2.39 MJ", "The figures are what the records come to.",
		"site", "verify", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(b, []byte(`"mining":80000`), []byte(`"mining":70000`), 1)
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	d.want(exitFailed, "", "cannot be believed: record 305 (line ", "site", "verify", file)
	if !strings.Contains(d.err, "its hash is not that of its content") {
		t.Errorf("stderr %q", d.err)
	}
	for _, args := range [][]string{
		{"site", "verify", file, "--trusted", "abc"},
		{"site", "verify", file, "--head", strings.Repeat("G", 64)},
		{"site", "report", "north", "--last", "1h", "--trusted", "12"},
	} {
		d.want(exitUsage, "", "64 of 0-9 a-f are accepted", args...)
	}
	d.want(exitOK, "energy_freed_meter", "", "site", "report", "north", "--last", "24h")
	from, to := d.srv.asked.GetStartTime().AsTime(), d.srv.asked.GetEndTime().AsTime()
	if to.Sub(from) != 24*time.Hour {
		t.Errorf("asked for %v", to.Sub(from))
	}
	nowhere := filepath.Join(t.TempDir(), "not", "there.jsonl")
	d.want(exitFailed, "", "no such file or directory", "site", "report", "north", "--last", "1h",
		"--out", nowhere)
	d.want(exitUsage, "", "a report of what?", "site", "report", "north")
	d.want(exitUsage, "", "a span of its own", "site", "report", "north", "--lease", "l1",
		"--from", "2030-01-01T00:00:00Z", "--to", "now")
}
