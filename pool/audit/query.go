package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Query says what a report is about: a claim, a limit, or else everything of the site in a span.
type Query struct {
	Site  fleet.SiteID `json:"site"`
	Claim string       `json:"claim,omitempty"` // a lease's uid, or a curtailment: operator/3
	Limit uint64       `json:"limit,omitempty"` // a limit's number
	From  time.Time    `json:"from"`            // half open: [From, Until)
	Until time.Time    `json:"until"`
	Zone  string       `json:"zone"` // whose days count
}

// longestSpan bounds a report.
const longestSpan = 366 * 24 * time.Hour

// Validate lists every fault at once.
func (q *Query) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if q.Site == "" {
		fault("site is missing")
	}
	if q.Claim != "" && q.Limit != 0 {
		fault("claim and limit: one of the two is accepted")
	}
	if len(q.Claim) > 250 || strings.ContainsFunc(q.Claim, func(r rune) bool { return r < ' ' }) {
		fault("claim has %d bytes: up to 250 without control characters are accepted", len(q.Claim))
	}
	if !q.Until.After(q.From) || q.Until.Sub(q.From) > longestSpan {
		fault("from %s until %s: an end after the beginning, up to 366 days, is accepted",
			q.From.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	if _, err := time.LoadLocation(q.Zone); err != nil || q.Zone == "Local" {
		fault("zone %q is not known: a name as Europe/Oslo is accepted", q.Zone)
	}
	return errors.Join(errs...)
}

// location is the zone whose days count.
func (q *Query) location() *time.Location {
	loc, err := time.LoadLocation(q.Zone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// about says whether a claim's record is asked for. A curtailment has a claim on each feeder.
func (q *Query) about(claim string) bool {
	curtailment := strings.HasPrefix(q.Claim, "operator/")
	return q.Claim == claim || curtailment && strings.HasPrefix(claim, q.Claim+"/")
}
