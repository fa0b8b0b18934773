package governor

import (
	"context"
	"time"

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
		watts := w.Curve.Full().Watts
		for _, l := range s.Registry.Links(w.ID) {
			if r, ok := l.Reported(); ok && now.Sub(r.At) < reportStale {
				watts = r.Watts + r.Watts*unit.Watts(s.Permille)/1000
			}
		}
		sum += watts
	}
	return fleet.Reading{Watts: sum, At: now}, nil
}
