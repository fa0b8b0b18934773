package governor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// ahead is how far a meter's clock may be before ours.
const ahead = 2 * time.Second

// meter reads one branch at its own pace and keeps the newest reading.
type meter struct {
	Meter

	mu      sync.Mutex
	reading fleet.Reading
	fault   error // of the newest read, nil if it was good

	counter counterCheck // guarded by Governor.mu
	state   MeterState   // guarded by Governor.mu: by the newest look

	carriedBy string // guarded by Governor.mu: who counts while it cannot be believed; empty: nobody

	// Guarded by Governor.mu: what it reads, or would read, at the instant up to which energy is accounted,
	// and when the reading behind that was made.
	accounted fleet.Reading
	followed  time.Time
}

func newMeter(m Meter) *meter { return &meter{Meter: m} }

// run reads until ctx ends, one read at a time.
func (m *meter) run(ctx context.Context, cfg *Config) {
	tick := time.NewTicker(cfg.MeterEvery)
	defer tick.Stop()
	for {
		m.read(ctx, cfg.MeterTimeout)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// read reads once. A reading that is not newer than the
// last one changes nothing: a frozen meter grows stale.
func (m *meter) read(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := m.Meter.Meter.Read(ctx)
	now := time.Now()
	switch {
	case err != nil:
	case r.Watts < 0:
		err = fmt.Errorf("%w: it shows %v: 0 or more is accepted", fleet.ErrReversed, r.Watts)
	case r.At.After(now.Add(ahead)):
		err = fmt.Errorf("reading is from %v ahead of our clock", r.At.Sub(now))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = err
	if err == nil && r.At.After(m.reading.At) {
		m.reading = r
	}
}

// last is the newest reading, zero before the first, and what is wrong with the newest read.
func (m *meter) last() (fleet.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reading, m.fault
}
