package governor

import (
	"context"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// SumOfDevices is a meter of the branch mining of a feeder that has none: what its machines say that they
// draw, and a derating on top, because they are 5 to 20 % off. Who says nothing counts in full. It is a last
// resort: it shows what machines believe, not what a breaker sees.
type SumOfDevices struct {
	Registry *fleet.Registry
	Workers  []fleet.Worker // of the feeder
	Permille int64          // derating on what they say, in thousandths

	probes map[pool.WorkerID]*worker // who says it on an interface of its own; set by New
	cfg    *Config                   // likewise
}

var _ fleet.Meter = (*SumOfDevices)(nil)

// DeratePermilleOfDevices is what a machine's own estimate of its watts is trusted less by.
const DeratePermilleOfDevices = 100

// Read adds up what the machines said last.
func (s *SumOfDevices) Read(context.Context) (fleet.Reading, error) {
	now := time.Now()
	var sum unit.Watts
	for i := range s.Workers {
		w := &s.Workers[i]
		watts, speaks := w.Curve.Full().Watts, false
		for _, l := range s.Registry.Links(w.ID) {
			if r, ok := l.Reported(); ok && now.Sub(r.At) < reportStale {
				watts, speaks = s.derated(r.Watts), true
			}
		}
		if !speaks {
			watts = s.probed(w, now)
		}
		sum += watts
	}
	return fleet.Reading{Watts: sum, At: now}, nil
}

// derated is a machine's word with what it may be off by.
func (s *SumOfDevices) derated(said unit.Watts) unit.Watts {
	return said + said*unit.Watts(s.Permille)/1000
}

// probed is what the machine says on its own interface, likewise; its full power if it says nothing.
func (s *SumOfDevices) probed(w *fleet.Worker, now time.Time) unit.Watts {
	if m := s.probes[w.ID]; m != nil {
		seen := m.probe.seen.Load()
		if watts, ok := m.says(seen); ok && seen.reached(s.cfg, now) {
			return s.derated(watts)
		}
	}
	return w.Curve.Full().Watts
}
