package governor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// soft is how often figures alone make a new proof.
const soft = time.Second

// Delivered waits until there are proofs newer than after and returns them, the newest of each
// claim, ascending by Seq.
func (g *Governor) Delivered(ctx context.Context, after uint64) ([]fleet.Proof, error) {
	var proofs []fleet.Proof
	err := g.bell.wait(ctx, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, c := range g.claims {
			if !c.operator && c.proof.Seq > after {
				proofs = append(proofs, c.proof)
			}
		}
		return len(proofs) > 0
	})
	slices.SortFunc(proofs, func(a, b fleet.Proof) int { return cmp.Compare(a.Seq, b.Seq) })
	return proofs, err
}

// prove judges every claim by the newest readings.
func (g *Governor) prove(now time.Time) {
	byFeeder := map[fleet.FeederID][]*claim{}
	for _, c := range g.claims {
		if !now.Before(c.cap.Begins()) {
			byFeeder[c.cap.Feeder] = append(byFeeder[c.cap.Feeder], c)
		}
	}
	for _, f := range g.feeders {
		claims := byFeeder[f.ID]
		if g.ready { // before, nobody knows whose energy it is
			f.account(claims)
			g.overruns(f, claims, now)
		}
		slices.SortFunc(claims, func(a, b *claim) int { return a.before(b) })
		g.proveFeeder(f, claims, now)
	}
}

// before orders claims: who was shown to be free first, then by start. Room is given in this order.
func (c *claim) before(b *claim) int {
	if c.free != b.free {
		if c.free {
			return -1
		}
		return 1
	}
	if order := c.cap.From.Compare(b.cap.From); order != 0 {
		return order
	}
	return strings.Compare(c.cap.Claim, b.cap.Claim)
}

// room is what tenants hold on a feeder, summed up claim by claim.
type room struct {
	granted, drawn map[string]unit.Watts
	held           unit.Watts // sum over tenants of max(granted, drawn)
}

func (f *feeder) room() *room {
	r := &room{granted: map[string]unit.Watts{}, drawn: map[string]unit.Watts{}}
	for _, t := range f.now.tenants {
		r.drawn[t.Tenant] += t.Drawn
		r.held += t.Drawn
	}
	return r
}

// with is what all hold if the claim is granted too.
func (r *room) with(c *fleet.Cap) unit.Watts {
	t := c.Tenant
	old := max(r.granted[t], r.drawn[t])
	return r.held - old + max(r.granted[t]+c.Watts, r.drawn[t])
}

func (r *room) grant(c *fleet.Cap) {
	r.held = r.with(c)
	r.granted[c.Tenant] += c.Watts
}

// proveFeeder judges a feeder's claims one after the other. ACTIVE, exactly: in a reading newer
// than the order, (feeder - sum of tenants' draw) + sum over tenants of max(granted,
// drawn) <= limit - reserve, including this claim.
func (g *Governor) proveFeeder(f *feeder, claims []*claim, now time.Time) {
	r := f.room()
	calm := true
	f.lacks = false
	for _, c := range claims {
		ended := !now.Before(c.cap.Until)
		was := c.proof
		switch {
		case c.operator:
		case ended:
			g.proveGone(f, c, claims, now)
			if !c.gone && !c.off && !f.hasMeterOf(c.cap.Tenant) {
				r.grant(&c.cap)
			}
		default:
			if barred := f.barred(c.cap.Tenant); barred != "" && (!c.free || now.Before(c.cap.From)) {
				c.free, c.proof.Reason = false, barred
			} else {
				g.proveFree(f, c, r, now)
			}
			if c.free {
				r.grant(&c.cap)
			}
			calm = calm && c.free
		}
		g.figures(f, c, now)
		g.publish(f, c, was, now)
	}
	f.held = r.held
	if !calm {
		f.calmSince = now
	}
}

// proveFree judges whether the claim's room is there. A first proof needs readings newer than the
// last reduction, room for returns that are still under way, and the same by another reading of every meter:
// when a tenant's draw goes up or down between two that are read one after the other, they do not add up.
// Afterwards two readings in a row must stand against it.
func (g *Governor) proveFree(f *feeder, c *claim, r *room, now time.Time) {
	if !f.now.fresh {
		// Which meter, where and why is the operator's to know: tenants read this.
		c.free, c.proof.Reason = false, "the feeder's meters show nothing fresh"
		c.roomAt = time.Time{}
		return
	}
	over, tight := f.outsideNow(!c.free, now)+r.with(&c.cap)-(f.Limit-f.Reserve), (*branch)(nil)
	if over <= 0 {
		over, tight = g.overAbove(f, r.with(&c.cap), !c.free, now)
	}
	switch {
	case over <= 0 && (c.free || g.seenTwice(f, c) && f.awaits() == ""):
		c.free, c.failed, c.proof.Reason, c.roomAt = true, 0, "", time.Time{}
	case over <= 0:
		c.proof.Reason = cmp.Or(f.awaits(), "waiting for readings that are newer than the last order")
	case c.free && c.failed == 0:
		c.failed, c.judgedAt = 1, f.now.at
	case c.free && !f.now.at.After(c.judgedAt):
	default:
		c.free, c.failed, c.proof.Reason = false, 0, f.missing(over, r.with(&c.cap), tight)
		c.roomAt = time.Time{}
		f.lack(tight == nil)
	}
}

// seenTwice says whether the room that a claim has now was there at an earlier look, by readings that are all
// older than those of now and newer than the last reduction.
func (g *Governor) seenTwice(f *feeder, c *claim) bool {
	switch newer := f.now.at.After(f.reducedAt) && f.now.at.After(c.cap.Begins()) && g.ready; {
	case !newer:
		c.roomAt = time.Time{}
	case c.roomAt.IsZero():
		c.roomAt = f.now.newest
	default:
		return f.now.at.After(c.roomAt)
	}
	return false
}

// lack notes that a claim lacks room, here or above.
func (f *feeder) lack(here bool) { f.lacks = f.lacks || here }

// missing says for people what stands against a proof.
func (f *feeder) missing(over, held unit.Watts, tight *branch) string {
	if tight != nil {
		return fmt.Sprintf("%v more must be freed below %v %s, limit %v",
			over, tight.Kind, tight.ID, tight.Limit)
	}
	return fmt.Sprintf("%v more must be freed: mining %v, base %v, tenants %v, limit less reserve %v",
		over, f.now.mining, f.now.base, held, f.Limit-f.Reserve)
}

// proveGone judges whether the tenant of an ended claim is off: what it draws is
// covered by its other claims.
func (g *Governor) proveGone(f *feeder, c *claim, claims []*claim, now time.Time) {
	if c.gone {
		return
	}
	if c.off {
		c.gone = true
		return
	}
	if !f.hasMeterOf(c.cap.Tenant) {
		c.proof.Reason = "the tenant has no meter here: an operator must confirm that it is off"
		return
	}
	var others, drawn unit.Watts
	for _, o := range claims {
		if o != c && o.cap.Tenant == c.cap.Tenant && o.counts(now) {
			others += o.cap.Watts
		}
	}
	metered := false
	for _, t := range f.now.tenants {
		if t.Tenant == c.cap.Tenant {
			drawn, metered = t.Drawn, t.Metered
		}
	}
	newer := f.tenantReadAt(c.cap.Tenant).After(c.cap.Until)
	if metered && newer && drawn <= others+max(50, c.cap.Watts/100) {
		c.gone = true
		c.proof.Reason = ""
		return
	}
	c.proof.Reason = fmt.Sprintf("the tenant still draws %v", drawn)
}

// tenantReadAt is the time of the oldest newest reading of the tenant's meters.
func (f *feeder) tenantReadAt(tenant string) time.Time {
	var at time.Time
	for _, p := range f.points {
		if p.role() != fleet.Tenant || p.tenant() != tenant {
			continue
		}
		if at.IsZero() || p.reading.At.Before(at) {
			at = p.reading.At
		}
	}
	return at
}

// figures fills in what the claim's proof says in numbers.
func (g *Governor) figures(f *feeder, c *claim, now time.Time) {
	if c.baseline < 0 && f.now.fresh {
		c.baseline = f.now.mining
		if now.After(c.cap.From) && now.Sub(c.cap.Begins()) > time.Minute {
			c.baseline = max(f.now.mining, f.full) // ordering began before this process
		}
	}
	c.proof.At, c.proof.Watts = f.now.at, c.cap.Watts
	c.proof.Free, c.proof.Gone = c.free, c.gone
	c.proof.Delivered, c.proof.Overrun = unit.Joules(max(0, c.joules)), unit.Joules(c.overrun)
	c.proof.Freed = max(0, c.baseline-f.now.mining)
	c.proof.Drawn = 0
	for _, t := range f.now.tenants {
		if t.Tenant == c.cap.Tenant {
			c.proof.Drawn = t.Drawn
		}
	}
}

// publish makes a new proof of what changed: states at once, figures now and then.
func (g *Governor) publish(f *feeder, c *claim, was fleet.Proof, now time.Time) {
	hard := was.Free != c.proof.Free || was.Watts != c.proof.Watts || was.Gone != c.proof.Gone ||
		c.proof.Seq == 0 || (was.Reason == "") != (c.proof.Reason == "")
	if hard && !c.operator {
		g.tellProof(f, c, was, now)
	}
	if hard || c.proof != was && now.Sub(c.softAt) >= soft && !(c.gone && was.Gone) {
		c.touch(g)
		c.softAt = now
		return
	}
	seq := c.proof.Seq
	c.proof = was // unchanged for those who watch
	c.proof.Seq = seq
}

func (g *Governor) tellProof(f *feeder, c *claim, was fleet.Proof, now time.Time) {
	e := Event{Feeder: f.ID, Claim: c.cap.Claim}
	switch {
	case c.proof.Gone && !was.Gone:
		e.Message = "tenant is off after its window"
	case c.proof.Free && !was.Free:
		e.Message = fmt.Sprintf("%v proven free at the meter", c.cap.Watts)
	case was.Free && !c.proof.Free:
		e.Level, e.Message = Warn, "no longer proven free: "+c.proof.Reason
	default:
		return
	}
	g.noteProof(f, c, now)
	g.event(now, e)
}
