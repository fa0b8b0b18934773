package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// maxBody is the longest body of an action, in bytes.
const maxBody = 4 << 10

// actions are what the operator can order here. The governor checks and keeps them; the page only asks.
type actions struct {
	stop       func(context.Context, fleet.SiteID, string) (governor.Stopped, error)
	resume     func(context.Context, fleet.SiteID) error
	setLimit   func(context.Context, governor.Limit) (governor.Limit, error)
	clearLimit func(context.Context, uint64) error
	limits     func() []governor.LimitStatus
	ceiling    func(context.Context, pool.WorkerID, governor.Ceiling) error
	wake       func(context.Context, pool.WorkerID) error
	release    func(context.Context, pool.WorkerID) error
}

func actionsOf(g *governor.Governor) actions {
	return actions{
		stop: g.Stop, resume: g.Resume, setLimit: g.SetLimit, clearLimit: g.ClearLimit, limits: g.Limits,
		ceiling: g.SetCeiling, wake: g.Wake, release: g.Release,
	}
}

// act lets requests through that have a session, or the admin key as programs have it. A browser's must come
// from our own page: the cross-origin protection around all routes sees to that.
func (c *Console) act(next func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.session(r) == "" && !c.bearer(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="hashlease"`)
			http.Error(w, "log in first, or send the admin key: Authorization: Bearer KEY is accepted",
				http.StatusUnauthorized)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := next(w, r)
		if err == nil {
			return
		}
		status := http.StatusBadRequest
		switch {
		case errors.Is(err, governor.ErrUnknown):
			status = http.StatusNotFound
		case errors.Is(err, governor.ErrState):
			status = http.StatusConflict
		}
		c.log.Warn("console action refused", slog.String("path", r.URL.Path), slog.Any("error", err))
		http.Error(w, err.Error(), status)
	}
}

// readBody reads a JSON body strictly; none at all is an empty one.
func readBody(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body is not the JSON object that is accepted here: %w", err)
	}
	return nil
}

// stopSite is the emergency stop.
func (c *Console) stopSite(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := readBody(r, &body); err != nil {
		return err
	}
	s, err := c.read.actions.stop(r.Context(), fleet.SiteID(r.PathValue("site")), body.Reason)
	if err != nil {
		return err
	}
	c.answer(w, struct {
		Workers  int              `json:"workers"`
		Away     int              `json:"away"`
		Unarmed  []fleet.FeederID `json:"unarmed,omitempty"`
		Leftover int64            `json:"leftover"`
	}{s.Workers, s.Away, s.Unarmed, int64(s.Leftover)})
	return nil
}

func (c *Console) resumeSite(w http.ResponseWriter, r *http.Request) error {
	if err := c.read.actions.resume(r.Context(), fleet.SiteID(r.PathValue("site"))); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// limitBody is a limit as programs ask for it and as it is listed. Times are RFC 3339.
type limitBody struct {
	ID     uint64     `json:"id,omitempty"`
	Site   string     `json:"site"`
	Feeder string     `json:"feeder,omitempty"`
	Watts  *int64     `json:"watts"`
	From   *time.Time `json:"from,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	For    string     `json:"for,omitempty"` // in place of until, as "1h"
	Reason string     `json:"reason,omitempty"`

	InForce bool  `json:"in_force"`
	Metered int64 `json:"metered"`
	Fixed   int64 `json:"fixed"` // base load and tenants, which do not give way
}

func bodyOf(l *governor.LimitStatus) limitBody {
	watts := int64(l.Watts)
	return limitBody{
		ID: l.ID, Site: string(l.Site), Feeder: string(l.Feeder), Watts: &watts, From: &l.From,
		Until: &l.Until, Reason: l.Reason, InForce: l.InForce, Metered: int64(l.Metered),
		Fixed: int64(l.Fixed),
	}
}

func (c *Console) listLimits(w http.ResponseWriter, _ *http.Request) error {
	out := []limitBody{}
	for _, l := range c.read.actions.limits() {
		out = append(out, bodyOf(&l))
	}
	c.answer(w, out)
	return nil
}

// limit is what a body asks for.
func (b *limitBody) limit() (governor.Limit, error) {
	l := governor.Limit{Site: fleet.SiteID(b.Site), Feeder: fleet.FeederID(b.Feeder), Reason: b.Reason}
	var errs []error
	if b.Watts == nil {
		errs = append(errs, errors.New("watts is missing: 0 or more is accepted"))
	} else {
		l.Watts = unit.Watts(*b.Watts)
	}
	if b.From != nil {
		l.From = *b.From
	}
	switch {
	case (b.Until == nil) == (b.For == ""):
		errs = append(errs, errors.New(`one of until (RFC 3339) and for (as "1h") is accepted`))
	case b.Until != nil:
		l.Until = *b.Until
	default:
		d, err := time.ParseDuration(b.For)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("for is %q: a duration as 90s, 2m or 1h30m is accepted", b.For))
		}
		begin := l.From
		if begin.IsZero() {
			begin = time.Now()
		}
		l.Until = begin.Add(d)
	}
	return l, errors.Join(errs...)
}

func (c *Console) postLimit(w http.ResponseWriter, r *http.Request) error {
	var body limitBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	l, err := body.limit()
	if err != nil {
		return err
	}
	l, err = c.read.actions.setLimit(r.Context(), l)
	if err != nil {
		return err
	}
	for _, s := range c.read.actions.limits() {
		if s.ID == l.ID {
			c.answer(w, bodyOf(&s))
			return nil
		}
	}
	c.answer(w, bodyOf(&governor.LimitStatus{Limit: l}))
	return nil
}

func (c *Console) deleteLimit(w http.ResponseWriter, r *http.Request) error {
	text := r.PathValue("id")
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("limit %q: its number is accepted", strings.ToValidUTF8(text, "?"))
	}
	if err := c.read.actions.clearLimit(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
