package fleet

import (
	"math"

	"github.com/hashlease/hashlease/pool/unit"
)

// At is the hashrate at w watts, straight between the points. Below the first
// point there is none: a worker cannot run there. Above the last it is the last's.
func (c Curve) At(w unit.Watts) unit.Hashrate {
	if len(c) == 0 || w < c[0].Watts {
		return 0
	}
	for i := 1; i < len(c); i++ {
		if w < c[i].Watts {
			a, b := c[i-1], c[i]
			share := float64(w-a.Watts) / float64(b.Watts-a.Watts)
			return a.Hashrate + unit.Hashrate(share)*(b.Hashrate-a.Hashrate)
		}
	}
	return c[len(c)-1].Hashrate
}

// WattsAt is the power that a hashrate takes: At read backwards, within the curve.
func (c Curve) WattsAt(h unit.Hashrate) unit.Watts {
	if len(c) == 0 {
		return 0
	}
	for i, b := range c {
		if h > b.Hashrate {
			continue
		}
		if i == 0 || b.Hashrate == c[i-1].Hashrate {
			return b.Watts
		}
		a := c[i-1]
		part := float64((h - a.Hashrate) / (b.Hashrate - a.Hashrate))
		return a.Watts + unit.Watts(math.Round(part*float64(b.Watts-a.Watts)))
	}
	return c.Full().Watts
}

// Draw is what the worker draws in a mode; watts matter for Capped only.
func (w *Worker) Draw(m Mode, watts unit.Watts) unit.Watts {
	switch m {
	case Paused:
		return w.Sleep
	case Capped:
		return min(watts, w.Curve.Full().Watts)
	default:
		return w.Curve.Full().Watts
	}
}

// Rate is the hashrate of the worker in a mode; watts matter for Capped only.
func (w *Worker) Rate(m Mode, watts unit.Watts) unit.Hashrate {
	switch m {
	case Paused:
		return 0
	case Capped:
		return w.Curve.At(watts)
	default:
		return w.Curve.Full().Hashrate
	}
}
