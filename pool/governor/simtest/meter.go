package simtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// meter reads a feeder or a branch with a constant error, some noise, and gaps.
type meter struct {
	w      *world
	role   fleet.Role
	tenant int            // whose, if it is a tenant's
	truth  func() float64 // watts; called under the world's mu
	bias   float64
	rng    *rand.Rand
	lost   bool
	lostAt time.Time
}

// lose lets the meter be silent for a while.
func (m *meter) lose(span time.Duration) {
	m.lost, m.lostAt = true, time.Now()
	m.w.in(span, func() { m.lost = false })
}

var errMeter = errors.New("meter does not answer")

var _ fleet.Meter = (*meter)(nil)

// Read implements fleet.Meter.
func (m *meter) Read(ctx context.Context) (fleet.Reading, error) {
	m.w.mu.Lock()
	wait := time.Duration(10+m.rng.IntN(50))*time.Millisecond + time.Duration(m.rng.IntN(1e6))
	gone := m.lost || m.rng.Float64() < 0.001
	noise := 0.0005 * m.rng.NormFloat64()
	m.w.mu.Unlock()
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
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return fleet.Reading{Watts: unit.Watts(max(0, m.truth()*(1+m.bias+noise))), At: time.Now()}, nil
}
