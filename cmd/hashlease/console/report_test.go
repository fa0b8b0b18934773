package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// Ensure that a report can be downloaded by who is logged in or has the key, and that a refusal says why.
func TestConsole_SendsReports(t *testing.T) {
	s := newSite(t, nil)
	s.console.cfg.Report = func(_ context.Context, w ReportWish, to io.Writer) error {
		if w.Claim == "l9" {
			return errors.New("the log has no such records")
		}
		_, err := fmt.Fprintf(to, "%s %s%s", w.Site, w.Claim, w.Month)
		return err
	}
	key := []string{"Authorization", "Bearer " + adminKey}
	for _, c := range []struct {
		path    string
		headers []string
		status  int
		want    string
	}{
		{"/api/sites/north/report?claim=l1", nil, 401, "log in first, or send the admin key: " +
			"Authorization: Bearer KEY is accepted"},
		{"/api/sites/north/report?claim=operator/3", key, 200, "north operator/3"},
		{"/api/sites/north/report?month=2026-11", key, 200, "north 2026-11"},
		{"/api/sites/north/report?claim=l9", key, 400, "the log has no such records"},
		{"/api/sites/north/report", key, 400, "one of claim (a lease's uid, or operator/3) and " +
			"month (as 2026-11) is accepted"},
	} {
		if status, got := s.order("GET", c.path, "", c.headers...); status != c.status || got != c.want {
			t.Errorf("%s: %d %q, want %d %q", c.path, status, got, c.status, c.want)
		}
	}
}
