package simtest

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// breaker is the limit of a feeder or a branch and how long it was passed: the judge of both.
type breaker struct {
	settled   time.Time
	overSince time.Time // zero: within the limit
}

// pass judges the time since the last change, in which the draw was total: how long it was over the
// limit, and how much of that was beyond the overload allowance.
func (b *breaker) pass(
	now time.Time, total float64, limit unit.Watts, allow fleet.Overload,
) (over, outside time.Duration) {
	from := b.settled
	b.settled = now
	if total <= float64(limit) {
		b.overSince = time.Time{}
		return 0, 0
	}
	if b.overSince.IsZero() {
		b.overSince = from
	}
	over = now.Sub(from)
	if total > float64(limit)+float64(allow.Watts) {
		return over, over
	}
	allowed := b.overSince.Add(allow.For)
	if allowed.Before(from) {
		allowed = from
	}
	return over, max(0, now.Sub(allowed))
}
