package simtest

import (
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// feeder is a feeder as it truly is, and the judge of it. It is guarded by its world's mu.
type feeder struct {
	fleet.Feeder
	w       *world
	rng     *rand.Rand
	devices []*device
	largest float64
	meters  []*meter
	top     *branch // the transformer; nil: there is none

	mining, base float64
	drawn        [tenants]float64
	leases       []*lease
	turned       time.Time // when what is to be free here last changed, by a lease or a limit
	firm         unit.Watts
	cause        string // of the wide fault behind it; it counts until causeUntil
	causeUntil   time.Time
	ceiling      float64 // limit from outside; 0: none
	ceilingFrom  time.Time

	breaker
	rises []rise  // ordered returns of the last minute
	risen float64 // sum of them
	past  []sight // of the last seconds
}

type rise struct {
	at    time.Time
	watts float64
}

// sight is the truth at an instant.
type sight struct {
	at      time.Time
	outside float64 // all but tenants
	drawn   [tenants]float64
}

func (f *feeder) tenants() (sum float64) {
	for _, d := range f.drawn {
		sum += d
	}
	return sum
}

func (f *feeder) total() float64 { return f.mining + f.base + f.tenants() }

// blame is what wide fault is behind the feeder's state now, empty if at most one domain has failed.
func (f *feeder) blame(now time.Time) string {
	if now.Before(f.causeUntil) {
		return f.cause
	}
	return ""
}

// settle judges the time since the last change: the draw was the same all the while.
func (f *feeder) settle(now time.Time) {
	if f.top != nil {
		f.top.settle(now)
	}
	r := f.w.result
	total := f.total()
	r.Joules += total * now.Sub(f.settled).Seconds()
	over, outside := f.pass(now, total, f.Limit, f.Overload)
	if over > 0 {
		r.Over += over.Seconds()
		r.Most = max(r.Most, total/float64(f.Limit)-1)
	}
	if outside > 0 {
		f.w.outside(f, outside)
	}
}

// returned notes an ordered return, and judges the ramp.
func (f *feeder) returned(now time.Time, watts float64) {
	f.rises = append(f.rises, rise{now, watts})
	f.risen += watts
	for now.Sub(f.rises[0].at) > time.Minute {
		f.risen -= f.rises[0].watts
		f.rises = f.rises[1:]
	}
	// Orders that had to be repeated arrive later than they were made.
	if most := float64(f.Restore)*90 + 2*f.largest; f.risen > most {
		f.w.fault("ramp", "feeder %s: %.0f W ordered to return within a minute, %.0f W are accepted",
			f.ID, f.risen, most)
		f.rises, f.risen = nil, 0
	}
}

// look keeps the truth of this second.
func (f *feeder) look(now time.Time) {
	f.settle(now)
	if len(f.past) > 30 {
		f.past = append(f.past[:0], f.past[len(f.past)-20:]...)
	}
	f.past = append(f.past, sight{now, f.mining + f.base, f.drawn})
	if f.ceiling > 0 && now.Sub(f.ceilingFrom) > 4*time.Minute && f.blame(now) == "" {
		f.w.result.LimitSeconds++
		if f.total() > f.ceiling+f.tolerance() {
			f.w.result.LimitOver++
		}
	}
}

// tolerance is the class of a meter, and a machine.
func (f *feeder) tolerance() float64 { return 0.005*float64(f.Limit) + f.largest }
