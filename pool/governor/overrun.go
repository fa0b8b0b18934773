package governor

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Overrun is a tenant that draws more than it holds now: past its lease's watts, or before or after its
// window. Mining yields to it at once, because bounds count the larger of claim and draw; it pays for it, and
// nobody else's claim on the feeder begins until it is over.
type Overrun struct {
	Tenant string
	Since  time.Time
	Drawn  unit.Watts
	Held   unit.Watts // what it may draw now
}

// edge is how far beyond the ends of its window a tenant's draw is not held against it: meters' clocks are
// that far from ours, and a breaker takes its time.
const edge = 2 * time.Second

// overrunSlack is what a tenant may draw beyond what it holds without being blamed: the meter's class.
func overrunSlack(held unit.Watts) unit.Watts { return max(50, held/100) }

// held is what a tenant's claims allow it to draw at t, proven or not: who sold the watts is to blame for
// those that are not free.
func held(claims []*claim, tenant string, t time.Time) (sum unit.Watts) {
	for _, c := range claims {
		if c.cap.Tenant == tenant && !t.Before(c.cap.From.Add(-edge)) && t.Before(c.cap.Until.Add(edge)) {
			sum += c.cap.Watts
		}
	}
	return sum
}

// overruns notes who draws more than it holds by fresh readings, and tells people when that begins and
// ends. A reading covers the time since the one before it, so that what was held then counts too.
func (g *Governor) overruns(f *feeder, claims []*claim, now time.Time) {
	for _, d := range f.now.tenants {
		at := f.tenantReadAt(d.Tenant)
		if !d.Metered || !at.After(f.judgedAt[d.Tenant]) {
			continue
		}
		last := f.judgedAt[d.Tenant]
		f.judgedAt[d.Tenant] = at
		may := held(claims, d.Tenant, at)
		if !last.IsZero() {
			may = max(may, held(claims, d.Tenant, last))
		}
		o, was := f.overrun[d.Tenant]
		switch over := d.Drawn > may+overrunSlack(may); {
		case over && !was:
			o = Overrun{Tenant: d.Tenant, Since: at}
			g.event(now, Event{Level: Warn, Feeder: f.ID, Message: fmt.Sprintf(
				"OVERRUN: tenant %s draws %v and holds %v; mining gives way, new starts wait",
				d.Tenant, d.Drawn, may)})
		case !over && was:
			delete(f.overrun, d.Tenant)
			g.event(now, Event{Feeder: f.ID, Message: fmt.Sprintf(
				"tenant %s draws no more than it holds again, after %.0f s",
				d.Tenant, at.Sub(o.Since).Seconds())})
			continue
		case !over:
			continue
		}
		o.Drawn, o.Held = d.Drawn, may
		f.overrun[d.Tenant] = o
	}
}

// barred says why no claim may begin on the feeder now, empty if it may: another tenant's excess already
// lives on the reserve that a new start would need.
func (f *feeder) barred(tenant string) string {
	for name, o := range f.overrun {
		if name != tenant {
			return fmt.Sprintf("tenant %s draws %v more than it holds: new starts on this feeder wait",
				name, o.Drawn-o.Held)
		}
	}
	return ""
}

// overdrawn parts energy that a tenant drew between two readings into what its claims allowed, which it
// returns, and what they did not. That is laid to the claims that were in force, by their watts, or else to
// the one that ended last: it is the one that was overstayed.
func overdrawn(claims []*claim, tenant string, from, to time.Time, joules float64) (allowed float64) {
	may, span := 0.0, to.Sub(from).Seconds()
	for _, c := range claims {
		if c.cap.Tenant == tenant {
			may += c.within(from, to) * float64(c.cap.Watts)
		}
	}
	if span <= 0 || joules <= may+float64(overrunSlack(unit.Watts(may/span)))*span {
		return joules
	}
	over := joules - may
	if may > 0 {
		for _, c := range claims {
			if c.cap.Tenant == tenant {
				c.overrun += over * c.within(from, to) * float64(c.cap.Watts) / may
			}
		}
		return may
	}
	var last *claim
	for _, c := range claims {
		ended := c.cap.Tenant == tenant && !c.cap.Until.After(from) && !c.gone
		if ended && (last == nil || c.cap.Until.After(last.cap.Until)) {
			last = c
		}
	}
	if last != nil {
		last.overrun += over
	}
	return 0
}

// within is how many seconds of [from, to) lie in the claim's window and its edges.
func (c *claim) within(from, to time.Time) float64 {
	wide := claim{cap: c.cap}
	wide.cap.From, wide.cap.Until = c.cap.From.Add(-edge), c.cap.Until.Add(edge)
	return wide.overlap(from, to)
}

// overrunList is a copy for people.
func (f *feeder) overrunList() []Overrun {
	var os []Overrun
	for _, d := range f.now.tenants {
		if o, ok := f.overrun[d.Tenant]; ok {
			os = append(os, o)
		}
	}
	return os
}
