package simtest

import (
	"context"
	"errors"
	"math"
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

	settled   time.Time
	overSince time.Time // zero: within the limit
	rises     []rise    // ordered returns of the last minute
	risen     float64   // sum of them
	past      []sight   // of the last seconds
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
	from := f.settled
	f.settled = now
	total, limit := f.total(), float64(f.Limit)
	r := f.w.result
	r.Joules += total * now.Sub(from).Seconds()
	if total <= limit {
		f.overSince = time.Time{}
		return
	}
	if f.overSince.IsZero() {
		f.overSince = from
	}
	r.Over += now.Sub(from).Seconds()
	r.Most = max(r.Most, total/limit-1)
	outside := now.Sub(from)
	if total <= limit+float64(f.Overload.Watts) {
		allowed := f.overSince.Add(f.Overload.For)
		if !now.After(allowed) {
			return
		}
		if allowed.After(from) {
			outside = now.Sub(allowed)
		}
	}
	f.w.outside(f, outside)
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

// meter reads a branch with a constant error, some noise, and gaps.
type meter struct {
	f      *feeder
	role   fleet.Role
	tenant int
	bias   float64
	rng    *rand.Rand
	lost   bool
	lostAt time.Time
}

// lose lets the meter be silent for a while.
func (m *meter) lose(span time.Duration) {
	m.lost, m.lostAt = true, time.Now()
	m.f.w.in(span, func() { m.lost = false })
}

var errMeter = errors.New("meter does not answer")

var _ fleet.Meter = (*meter)(nil)

// Read implements fleet.Meter.
func (m *meter) Read(ctx context.Context) (fleet.Reading, error) {
	m.f.w.mu.Lock()
	wait := time.Duration(10+m.rng.IntN(50))*time.Millisecond + time.Duration(m.rng.IntN(1e6))
	gone := m.lost || m.rng.Float64() < 0.001
	noise := 0.0005 * m.rng.NormFloat64()
	m.f.w.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fleet.Reading{}, ctx.Err()
	case <-t.C:
	}
	if gone {
		return fleet.Reading{}, errMeter
	}
	m.f.w.mu.Lock()
	defer m.f.w.mu.Unlock()
	var truth float64
	switch m.role {
	case fleet.Total:
		truth = m.f.total()
	case fleet.Mining:
		truth = m.f.mining
	case fleet.Base:
		truth = m.f.base
	case fleet.Tenant:
		truth = m.f.drawn[m.tenant]
	}
	return fleet.Reading{Watts: unit.Watts(max(0, truth*(1+m.bias+noise))), At: time.Now()}, nil
}

// poisson draws a count.
func poisson(r *rand.Rand, mean float64) uint64 {
	limit, p := math.Exp(-mean), r.Float64()
	n := uint64(0)
	for p > limit {
		p *= r.Float64()
		n++
	}
	return n
}
