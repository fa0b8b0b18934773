package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// longestGap is how far apart two readings without an energy counter may be and still be joined.
const longestGap = time.Minute

// account adds the energy between the last two readings of each tenant's branch to the tenant's claims, in
// proportion to their watts.
func (f *feeder) account(claims []*claim) {
	for _, p := range f.points {
		if p.role() == fleet.Tenant {
			p.account(claims)
		}
	}
}

// span is the time between two readings.
type span struct{ from, to time.Time }

// divide accounts what the tenant was allowed to draw as delivered, and the rest as overrun. What was too
// much is told by watts: counters tick in hundredths of a kilowatt-hour and stand still between two ticks.
func divide(claims []*claim, tenant string, t span, joules, byWatts float64) {
	over := byWatts - overdrawn(claims, tenant, t.from, t.to, byWatts)
	share(claims, tenant, t.from, t.to, joules-over)
}

// share divides energy that a tenant drew between two instants among its claims. Of a span that reaches
// out of their windows, as after a restart, it counts up to what they grant inside.
func share(claims []*claim, tenant string, from, to time.Time, joules float64) {
	total := 0.0
	for _, c := range claims {
		if c.cap.Tenant == tenant {
			total += c.overlap(from, to) * float64(c.cap.Watts)
		}
	}
	span := to.Sub(from).Seconds()
	if total <= 0 || span <= 0 {
		return
	}
	covered := 0.0 // of the span, by any claim
	for _, c := range claims {
		if c.cap.Tenant == tenant {
			covered = max(covered, c.overlap(from, to)/span)
		}
	}
	if covered < 1 {
		joules = min(joules, total)
	}
	for _, c := range claims {
		if c.cap.Tenant == tenant {
			c.joules += joules * c.overlap(from, to) * float64(c.cap.Watts) / total
		}
	}
}

// overlap is how many seconds of [from, to) lie in the claim's window.
func (c *claim) overlap(from, to time.Time) float64 {
	if c.cap.From.After(from) {
		from = c.cap.From
	}
	if c.cap.Until.Before(to) {
		to = c.cap.Until
	}
	return max(0, to.Sub(from).Seconds())
}
