package governor

import "time"

// lookMost is how long after a start machines on their way are waited for.
const lookMost = 30 * time.Second

// looking says that it is too early after a start to order anything on the feeder: machines have not
// said yet what they draw, or are on their way by an order of the process before this one. What they
// are about to free would be taken from others a second time. There is time for it while the meters
// show the feeder within its limit, and half the time that its overload is allowed for.
func (g *Governor) looking(f *feeder, now time.Time) bool {
	since := now.Sub(g.started)
	within := f.now.total <= f.Limit ||
		f.now.total <= f.Limit+f.Overload.Watts && since < f.Overload.For/2
	if since >= lookMost || !f.now.fresh || !within {
		return false
	}
	if !f.touched && now.Sub(f.settledAt) < settle {
		return true // machines have just arrived; what meters say of the base load is still askew
	}
	for _, w := range f.workers {
		switch {
		case w.ordered():
		case w.unheard() && since < g.firstRound(), w.moving && since < w.capability.ShedIn+reportGrace:
			return true
		case since < reportGrace && w.unsure(now):
			return true
		}
	}
	return false
}
