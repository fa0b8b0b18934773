package console

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/hashlease/hashlease/pool/fleet"
)

// ReportWish is what a report is asked about: a lease's uid or a curtailment (operator/3), or else a month.
type ReportWish struct {
	Site  fleet.SiteID
	Claim string
	Month string // 2026-11
}

// siteReport sends the file of a report, for site verify.
func (c *Console) siteReport(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	wish := ReportWish{
		Site: fleet.SiteID(r.PathValue("site")), Claim: q.Get("claim"), Month: q.Get("month"),
	}
	if (wish.Claim == "") == (wish.Month == "") || c.cfg.Report == nil {
		return errors.New("one of claim (a lease's uid, or operator/3) and month (as 2026-11) is accepted")
	}
	about := strings.ReplaceAll(wish.Claim+wish.Month, "/", "-")
	name := "report-" + string(wish.Site) + "-" + about + ".jsonl"
	out := &lateHeader{w: w, name: name}
	err := c.cfg.Report(r.Context(), wish, out)
	if err != nil && out.begun { // too late for words: the file has no seal, which verifying it tells
		panic(http.ErrAbortHandler)
	}
	return err
}

// lateHeader sends the header with the first bytes, so that a refusal can still have one of its own.
type lateHeader struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

var _ io.Writer = (*lateHeader)(nil)

// Write implements io.Writer.
func (l *lateHeader) Write(b []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/jsonl")
		l.w.Header().Set("Content-Disposition",
			mime.FormatMediaType("attachment", map[string]string{"filename": l.name}))
	}
	return l.w.Write(b)
}

// Reporter writes the file of a report.
type Reporter = func(ctx context.Context, w ReportWish, to io.Writer) error
