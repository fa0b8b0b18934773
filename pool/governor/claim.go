package governor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// MaxClaims bounds the claims of one set.
const MaxClaims = 100_000

// operatorPrefix begins the claims of curtailments.
const operatorPrefix = "operator/"

// claim is one cap with what has been shown of it.
type claim struct {
	cap      fleet.Cap
	operator bool // a curtailment of ours, not of the set
	gone     bool // the tenant is off after the end
	off      bool // an operator confirmed it
	free     bool // see fleet.Proof.Free
	failed   int  // readings in a row against free
	judgedAt time.Time
	roomAt   time.Time // newest reading of the first look at which there was room; zero: there is none
	proof    fleet.Proof
	softAt   time.Time // when figures last made a new proof
	baseline unit.Watts
	joules   float64 // delivered
	overrun  float64 // joules drawn beyond what the tenant held, laid to this claim
}

// counts says whether the claim takes part in the bound now, before draw.
func (c *claim) counts(now time.Time) bool {
	return !now.Before(c.cap.Begins()) && now.Before(c.cap.Until)
}

// touch makes the claim's proof a new one.
func (c *claim) touch(g *Governor) {
	g.seq++
	c.proof.Seq = g.seq
}

// SetCaps replaces the whole set of claims; an older revision than the newest seen is ignored. Until
// it was called for the first time nothing is ordered. A faulty set changes nothing.
//
// A claim that is missing from the new set while its tenant has no meter and may still draw is
// kept until ConfirmOff.
func (g *Governor) SetCaps(ctx context.Context, rev fleet.Revision, caps []fleet.Cap) error {
	if err := g.checkCaps(caps); err != nil {
		return fmt.Errorf("caps of revision %d: %w", rev, err)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	now := time.Now()
	held, old := g.heldBy(rev, caps, now)
	if old {
		return nil
	}
	if err := g.saveHeld(ctx, held); err != nil {
		return fmt.Errorf("keeping claims whose tenants are not confirmed off: %w", err)
	}
	g.mu.Lock()
	g.revision, g.ready = rev, true
	g.replaceCapsLocked(slices.Concat(caps, held), now)
	g.mu.Unlock()
	g.wake()
	return nil
}

// checkCaps lists every fault of a set.
func (g *Governor) checkCaps(caps []fleet.Cap) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(caps) > MaxClaims {
		return fmt.Errorf("%d claims: at most %d are accepted", len(caps), MaxClaims)
	}
	seen := make(map[string]bool, len(caps))
	for i := range caps {
		c := &caps[i]
		switch {
		case c.Claim == "" || len(c.Claim) > 200:
			fault("claim %d: name has %d bytes: 1 to 200 are accepted", i+1, len(c.Claim))
		case seen[c.Claim]:
			fault("claim %q is there twice", c.Claim)
		case strings.HasPrefix(c.Claim, operatorPrefix):
			fault("claim %q: names that begin with %s are ours", c.Claim, operatorPrefix)
		}
		seen[c.Claim] = true
		if g.byFeeder[c.Feeder] == nil {
			fault("claim %q: feeder %q is not one of a site's", c.Claim, c.Feeder)
		}
		if c.Watts <= 0 {
			fault("claim %q: %d W: above 0 is accepted", c.Claim, c.Watts)
		}
		if !c.From.Before(c.Until) {
			fault("claim %q: from %v until %v: an end after the start is accepted", c.Claim, c.From, c.Until)
		}
		if len(errs) > 20 {
			break
		}
	}
	return errors.Join(errs...)
}

// heldBy lists the claims that a new set leaves out although their tenants may still draw and
// no meter would tell. It reports true for a set that is older than the one in force.
func (g *Governor) heldBy(rev fleet.Revision, caps []fleet.Cap, now time.Time) (held []fleet.Cap, old bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ready && rev < g.revision {
		return nil, true
	}
	kept := make(map[string]bool, len(caps))
	for i := range caps {
		kept[caps[i].Claim] = true
	}
	for name, c := range g.claims {
		unmetered := c.cap.Tenant != "" && !g.byFeeder[c.cap.Feeder].hasMeterOf(c.cap.Tenant)
		if kept[name] || c.off || !unmetered || now.Before(c.cap.From) {
			continue
		}
		h := c.cap
		if h.Until.After(now) {
			h.Until = now
		}
		if !h.From.Before(h.Until) {
			h.From = h.Until.Add(-1)
		}
		held = append(held, h)
	}
	slices.SortFunc(held, func(a, b fleet.Cap) int { return strings.Compare(a.Claim, b.Claim) })
	return held, false
}

func (f *feeder) hasMeterOf(tenant string) bool {
	return slices.ContainsFunc(f.meters, func(m *meter) bool {
		return m.Role == fleet.Tenant && m.Tenant == tenant
	})
}

// replaceCapsLocked takes a set over, keeping what was shown of claims that stay.
func (g *Governor) replaceCapsLocked(caps []fleet.Cap, now time.Time) {
	next := make(map[string]*claim, len(caps))
	for name, c := range g.claims {
		if c.operator {
			next[name] = c
		}
	}
	for i := range caps {
		name := caps[i].Claim
		c := g.claims[name]
		news := c == nil || c.cap != caps[i]
		if c == nil || c.cap.Feeder != caps[i].Feeder || c.cap.Tenant != caps[i].Tenant {
			c = g.newClaim(caps[i])
		}
		if caps[i].Watts > c.cap.Watts {
			c.free = false
		}
		if now.Before(caps[i].Until) {
			c.gone = false
		}
		c.cap = caps[i]
		next[name] = c
		if news {
			g.noteClaim(c, "set", now)
		}
	}
	for name, c := range g.claims {
		if next[name] == nil {
			g.noteClaim(c, "removed", now)
		}
	}
	g.claims = next
	for _, f := range g.feeders {
		f.calmSince = now
	}
}

func (g *Governor) newClaim(c fleet.Cap) *claim {
	n := &claim{cap: c, baseline: -1, operator: strings.HasPrefix(c.Claim, operatorPrefix)}
	n.proof.Claim, n.proof.Feeder = c.Claim, c.Feeder
	n.off = slices.Contains(g.saved.Off, c.Claim)
	n.joules, n.overrun = g.saved.Joules[c.Claim], g.saved.Overruns[c.Claim]
	return n
}

// capsNow lists what the planner is to count: claims whose tenants are off by
// proof or by word have ended for good.
func (g *Governor) capsNow(now time.Time) []fleet.Cap {
	caps := make([]fleet.Cap, 0, len(g.claims))
	for _, c := range g.claims {
		if ended := !now.Before(c.cap.Until); ended && (c.gone || c.off) {
			continue
		}
		caps = append(caps, c.cap)
	}
	slices.SortFunc(caps, func(a, b fleet.Cap) int { return strings.Compare(a.Claim, b.Claim) })
	return caps
}

// ConfirmOff is an operator's word that the tenant of an ended claim draws nothing any more. It
// is refused before the end, and for a claim that is not known.
func (g *Governor) ConfirmOff(ctx context.Context, name string) error {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	c := g.claims[name]
	early := c != nil && time.Now().Before(c.cap.Until)
	g.mu.Unlock()
	switch {
	case c == nil:
		return fmt.Errorf("claim %q is not known: the name of an ended claim is accepted", name)
	case early:
		return fmt.Errorf("claim %q has not ended: it lasts until %s", name, c.cap.Until.Format(time.RFC3339))
	}
	if err := g.save(ctx, func(d *durable) { d.confirm(name) }); err != nil {
		return fmt.Errorf("noting that claim %q is off: %w", name, err)
	}
	g.mu.Lock()
	c.off = true
	g.noteClaim(c, "confirmed off", time.Now())
	g.event(time.Now(), Event{
		Feeder: c.cap.Feeder, Claim: name, Message: "an operator confirmed that the tenant is off",
	})
	g.mu.Unlock()
	g.wake()
	return nil
}
