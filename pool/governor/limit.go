package governor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// MaxLimits bounds the limits that are kept at a time.
	MaxLimits = 1000
	// longestLimit is how long a limit may last, and how far ahead it may begin.
	longestLimit = 366 * 24 * time.Hour
)

// Limit is a cap from outside on all that a site or one of its feeders takes, from From until Until: a
// utility's order, a base point, an hour of a demand charge. Mining gives way to it. Tenants keep
// what they hold; what they and the base load take beyond it is said, not cut.
type Limit struct {
	ID     uint64         `json:"id"`
	Site   fleet.SiteID   `json:"site"`
	Feeder fleet.FeederID `json:"feeder,omitempty"` // empty: the whole site
	Watts  unit.Watts     `json:"watts"`
	From   time.Time      `json:"from"`
	Until  time.Time      `json:"until"`
	Reason string         `json:"reason,omitempty"` // for people
}

// LimitStatus is a limit with what it comes to now.
type LimitStatus struct {
	Limit

	InForce bool
	Metered unit.Watts // what is taken where it applies
	Fixed   unit.Watts // of that, or claimed: base load and tenants, which do not give way to it
	Fresh   bool       // the readings behind it are
}

// SetLimit puts a limit in force at its From (zero: now), durably. Several may overlap: the lowest
// binds. Its ID is given here.
func (g *Governor) SetLimit(ctx context.Context, l Limit) (Limit, error) {
	now := time.Now()
	if l.From.IsZero() {
		l.From = now
	}
	if err := g.checkLimit(&l, now); err != nil {
		return Limit{}, err
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(g.saved.Limits), func(o Limit) bool {
		return !now.Before(o.Until)
	})
	if len(kept) >= MaxLimits {
		return Limit{}, refuse(ErrState, "%d limits are set: clear some before", len(kept))
	}
	l.ID = g.saved.LimitCounter + 1
	err := g.save(ctx, func(d *durable) { d.LimitCounter, d.Limits = l.ID, append(kept, l) })
	if err != nil {
		return Limit{}, fmt.Errorf("noting the limit: %w", err)
	}
	g.mu.Lock()
	g.noteLimit(&l, "set", now)
	g.mu.Unlock()
	g.takeLimits(now, Event{Site: l.Site, Feeder: l.Feeder, Message: fmt.Sprintf(
		"limit %d from outside: %v from %s until %s%s", l.ID, l.Watts, l.From.UTC().Format(time.RFC3339),
		l.Until.UTC().Format(time.RFC3339), because(l.Reason))})
	return l, nil
}

// checkLimit lists every fault of a limit.
func (g *Governor) checkLimit(l *Limit, now time.Time) error {
	st := g.siteNamed(l.Site)
	if st == nil {
		return g.noSite(l.Site)
	}
	var errs []error
	if l.Feeder != "" && !slices.ContainsFunc(st.feeders, func(f *feeder) bool { return f.ID == l.Feeder }) {
		return g.noFeeder(l.Feeder)
	}
	if l.Watts < 0 {
		errs = append(errs, fmt.Errorf("watts is %d: 0 or more is accepted", l.Watts))
	}
	switch {
	case !l.Until.After(now):
		errs = append(errs, fmt.Errorf("it ends at %s, which is over: a time to come is accepted",
			l.Until.UTC().Format(time.RFC3339)))
	case !l.Until.After(l.From):
		errs = append(errs, fmt.Errorf("it ends at %s, before it begins: a later end is accepted",
			l.Until.UTC().Format(time.RFC3339)))
	case l.Until.Sub(l.From) > longestLimit || l.From.Sub(now) > longestLimit:
		errs = append(errs, errors.New("it reaches too far: a window of up to 366 days that begins "+
			"within 366 days is accepted"))
	}
	return errors.Join(append(errs, checkReason(l.Reason))...)
}

// ClearLimit ends a limit, durably.
func (g *Governor) ClearLimit(ctx context.Context, id uint64) error {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	i := slices.IndexFunc(g.saved.Limits, func(l Limit) bool { return l.ID == id })
	if i < 0 {
		return refuse(ErrUnknown, "there is no limit %d: hashlease site limit list shows those there are", id)
	}
	l := g.saved.Limits[i]
	err := g.save(ctx, func(d *durable) { d.Limits = slices.Delete(d.Limits, i, i+1) })
	if err != nil {
		return fmt.Errorf("noting that the limit is over: %w", err)
	}
	g.mu.Lock()
	g.noteLimit(&l, "cleared", time.Now())
	g.mu.Unlock()
	g.takeLimits(time.Now(), Event{Site: l.Site, Feeder: l.Feeder, Message: fmt.Sprintf(
		"limit %d from outside is cleared", l.ID)})
	return nil
}

// takeLimits makes what is saved what binds. The caller holds saveMu.
func (g *Governor) takeLimits(now time.Time, e Event) {
	g.mu.Lock()
	g.limits = slices.Clone(g.saved.Limits)
	g.event(now, e)
	g.mu.Unlock()
	g.wake()
}

func (l *Limit) inForce(now time.Time) bool { return !now.Before(l.From) && now.Before(l.Until) }

// orders is when ordering for a limit begins: so long before it that machines have yielded when it does.
func (g *Governor) orders(l *Limit) time.Time {
	var notice time.Duration
	for _, f := range g.feeders {
		if f.Site == l.Site && (l.Feeder == "" || l.Feeder == f.ID) {
			notice = max(notice, f.Notice, f.capacity.declared.Notice)
		}
	}
	return l.From.Add(-notice)
}

// lowestLimit is a copy of the lowest limit that binds on a site (feeder empty) or on one of its feeders, nil
// for none.
func (g *Governor) lowestLimit(site fleet.SiteID, feeder fleet.FeederID, now time.Time) *Limit {
	var lowest *Limit
	for _, l := range g.limits {
		here := l.Site == site && l.Feeder == feeder && now.Before(l.Until) && !now.Before(g.orders(&l))
		if here && (lowest == nil || l.Watts < lowest.Watts) {
			lowest = &l
		}
	}
	return lowest
}

// spreadLimits finds what limits from outside bind: a feeder's on it, a site's on its import, so that whoever
// is cheapest anywhere on the site gives way.
func (g *Governor) spreadLimits(now time.Time) {
	for _, st := range g.sites {
		st.top.ceiling = 0
		if l := g.lowestLimit(st.ID, "", now); l != nil {
			st.top.ceiling = max(1, l.Watts)
		}
		for _, f := range st.feeders {
			f.ceiling = 0
			if l := g.lowestLimit(st.ID, f.ID, now); l != nil {
				f.ceiling = max(1, l.Watts)
			}
		}
	}
}

// Limits are the limits that are not over, by their begin.
func (g *Governor) Limits() []LimitStatus {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	caps := g.capsNow(now)
	var out []LimitStatus
	for _, l := range g.limits {
		if !now.Before(l.Until) {
			continue
		}
		s := LimitStatus{Limit: l, InForce: l.inForce(now), Fresh: true}
		for _, f := range g.siteNamed(l.Site).feeders {
			if l.Feeder == "" || l.Feeder == f.ID {
				s.Metered += f.now.total
				s.Fixed += f.base + f.claimed(caps, now)
				s.Fresh = s.Fresh && f.now.fresh
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b LimitStatus) int { return a.From.Compare(b.From) })
	return out
}
