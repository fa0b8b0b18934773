package fleet

import "github.com/hashlease/hashlease/pool/unit"

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
