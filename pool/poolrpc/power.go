package poolrpc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const (
	acceptedSite = `"sites/{site}" is accepted, the name of 1 to 40 of a-z 0-9 - _`
	acceptedOn   = `"sites/{site}" or "sites/{site}/feeders/{feeder}" is accepted, each name of ` +
		"1 to 40 of a-z 0-9 - _"
	acceptedWhy = "up to 200 bytes without control characters are accepted"
	maxWhy      = 200
)

// LimitWish is a cap from outside on a site, or on a feeder of it.
type LimitWish struct {
	Site        fleet.SiteID
	Feeder      fleet.FeederID // empty: the whole site
	Watts       unit.Watts
	From, Until time.Time // From zero: now
	Reason      string
}

// Power is what the operator can do about a site's power besides curtailing it.
type Power struct {
	// Stop brings all mining of a site to its minimum, durably; Resume ends that.
	Stop   func(ctx context.Context, site fleet.SiteID, reason string) (*hashleasev1.StopSiteResponse, error)
	Resume func(ctx context.Context, site fleet.SiteID) error
	// SetLimit puts a limit in force, durably; ClearLimit ends the one of that number.
	SetLimit   func(ctx context.Context, l LimitWish) (*hashleasev1.Limit, error)
	ClearLimit func(ctx context.Context, number uint64) error
	Limits     func() []*hashleasev1.Limit
	// Advice is what would have been done where that is not armed.
	Advice func() []*hashleasev1.Advice
}

func (p *Power) check(need func(field string, set bool)) {
	need("Power.Stop", p.Stop != nil)
	need("Power.Resume", p.Resume != nil)
	need("Power.SetLimit", p.SetLimit != nil)
	need("Power.ClearLimit", p.ClearLimit != nil)
	need("Power.Limits", p.Limits != nil)
	need("Power.Advice", p.Advice != nil)
}

// site reads a request's name of a site.
func (v *invalid) site(name string) fleet.SiteID {
	id, ok := strings.CutPrefix(name, "sites/")
	if !ok || !validName(id) {
		v.add("site", acceptedSite)
	}
	return fleet.SiteID(id)
}

func (v *invalid) why(field, reason string) {
	if len(reason) > maxWhy || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' }) {
		v.add(field, acceptedWhy)
	}
}

// StopSite brings all mining of a site to its minimum until it is resumed.
func (s *Service) StopSite(
	ctx context.Context, req *hashleasev1.StopSiteRequest,
) (*hashleasev1.StopSiteResponse, error) {
	var v invalid
	site := v.site(req.GetSite())
	v.why("reason", req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	res, err := s.cfg.Power.Stop(ctx, site, req.GetReason())
	return res, answer(ctx, "StopSite", err)
}

// ResumeSite ends a site's emergency stop.
func (s *Service) ResumeSite(
	ctx context.Context, req *hashleasev1.ResumeSiteRequest,
) (*hashleasev1.ResumeSiteResponse, error) {
	var v invalid
	site := v.site(req.GetSite())
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.cfg.Power.Resume(ctx, site); err != nil {
		return nil, answer(ctx, "ResumeSite", err)
	}
	return &hashleasev1.ResumeSiteResponse{}, nil
}

// CreateLimit caps from outside what a site or a feeder takes.
func (s *Service) CreateLimit(
	ctx context.Context, req *hashleasev1.CreateLimitRequest,
) (*hashleasev1.Limit, error) {
	l, err := parseLimit(req.GetLimit())
	if err != nil {
		return nil, err
	}
	res, err := s.cfg.Power.SetLimit(ctx, l)
	return res, answer(ctx, "CreateLimit", err)
}

// parseLimit lists every fault of a limit that is asked for.
func parseLimit(l *hashleasev1.Limit) (LimitWish, error) {
	var v invalid
	w := LimitWish{Watts: unit.Watts(l.GetWatts()), Reason: l.GetReason()}
	site, feeder, onFeeder := parseFeeder(l.GetOn())
	name, onSite := strings.CutPrefix(l.GetOn(), "sites/")
	switch {
	case onFeeder:
		w.Site, w.Feeder = site, feeder
	case onSite && validName(name):
		w.Site = fleet.SiteID(name)
	default:
		v.add("limit.on", acceptedOn)
	}
	if l.GetWatts() < 0 || l.GetWatts() > maxWatts {
		v.add("limit.watts", "0 to 1000000000000 is accepted")
	}
	w.From = v.instant("limit.start_time", l.GetStartTime(), false)
	w.Until = v.instant("limit.end_time", l.GetEndTime(), true)
	v.why("limit.reason", l.GetReason())
	set := l.GetName() != "" || l.GetInForce() || l.GetFresh() || l.GetMeteredWatts() != 0
	if set || l.GetFixedWatts() != 0 {
		v.add("limit.name", "nothing is accepted: name and figures are the server's to set")
	}
	return w, v.err()
}

// instant reads a point in time from 1970 on.
func (v *invalid) instant(field string, t *timestamppb.Timestamp, needed bool) time.Time {
	switch {
	case t == nil && !needed:
		return time.Time{}
	case t == nil:
		v.add(field, "a time is accepted, and one is needed")
		return time.Time{}
	case t.CheckValid() != nil || t.GetSeconds() < 0:
		v.add(field, "a time since 1970 is accepted")
		return time.Time{}
	}
	return t.AsTime()
}

// DeleteLimit ends a limit.
func (s *Service) DeleteLimit(
	ctx context.Context, req *hashleasev1.DeleteLimitRequest,
) (*hashleasev1.DeleteLimitResponse, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(req.GetName(), "limits/"), 10, 64)
	if err != nil || LimitName(n) != req.GetName() {
		var v invalid
		v.add("name", `"limits/{number}" is accepted, as ListLimits names it`)
		return nil, v.err()
	}
	if err := s.cfg.Power.ClearLimit(ctx, n); err != nil {
		return nil, answer(ctx, "DeleteLimit", err)
	}
	return &hashleasev1.DeleteLimitResponse{}, nil
}

// LimitName is a limit's resource name.
func LimitName(n uint64) string { return fmt.Sprintf("limits/%d", n) }

// ListLimits gives the limits that are not over.
func (s *Service) ListLimits(
	context.Context, *hashleasev1.ListLimitsRequest,
) (*hashleasev1.ListLimitsResponse, error) {
	return &hashleasev1.ListLimitsResponse{Limits: s.cfg.Power.Limits()}, nil
}

// ListAdvice says what would have been done where it is not armed.
func (s *Service) ListAdvice(
	context.Context, *hashleasev1.ListAdviceRequest,
) (*hashleasev1.ListAdviceResponse, error) {
	return &hashleasev1.ListAdviceResponse{Feeders: s.cfg.Power.Advice()}, nil
}
