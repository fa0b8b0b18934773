package governor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// trialPart is the part of all that is down that may be tried at once, or one machine. So much more gives
	// way meanwhile.
	trialPart = 50
	// trialLiars is how many liars a group may hold by the odds: more would hide each other.
	trialLiars = 0.5
	// trialAgain is when one that was cleared is tried again.
	trialAgain = 30 * time.Minute
	// trialCalm is how long before the next claim begins nothing is tried any more.
	trialCalm = time.Minute
	// trialRoom is how long others may take to make room for a trial.
	trialRoom = 2 * time.Minute
	// trialEvery is the least time between two trials.
	trialEvery = time.Minute
	// trialStands is for how many times in a row an excess must stand before somebody is tried for it.
	trialStands = 2
)

// trial is a group of machines that say that they are down, and are woken and told again, while the meter
// shows more than is explained: a liar's two steps do not show. Others make room for them before, as for any
// return, so that an honest one costs what the group draws for as long, and never the limit.
type trial struct {
	group  []*worker
	downs  []fleet.Setpoint // what each of them was told before
	since  time.Time        // of the present half
	back   bool             // they are told again; before that, they are to wake
	restAt time.Time        // since when they are where they are to be; zero: they are not
}

// mayTry says that the meter shows more than is explained, and that there is time to find out by whom.
func (g *Governor) mayTry(f *feeder, now time.Time) bool {
	d := &f.doubt
	enough := max(float64(f.tolerance()), 4*math.Sqrt(d.noise))
	if d.trial != nil || d.stands < trialStands || now.Sub(d.triedAt) < trialEvery ||
		float64(d.unexplained()) < enough || f.arm != fleet.Act || f.plan.Short > 0 || !g.ready {
		return false
	}
	for _, c := range g.claims {
		if begins := c.cap.Begins().Sub(now); c.cap.Feeder == f.ID && begins > 0 && begins < trialCalm {
			return false
		}
	}
	return true
}

// mayBeTried says that a worker is one of those who could be what the meter shows, and may be woken now.
func (g *Governor) mayBeTried(w *worker, now time.Time) bool {
	o := &w.doubt
	word := w.speaks && w.reported <= w.order.Watts+w.slackWatts()
	switch {
	case !word || !w.acked || !w.reduced() || !w.settled || !w.disposable():
		return false
	case o.odds < doubtPrior && now.Sub(o.tried) < trialAgain:
		return false
	case !w.since.IsZero() && now.Sub(w.since) < w.MinOff:
		return false
	}
	return w.order.Mode != fleet.Paused || !w.terms.worn(now)
}

// disposable says that only the plan has a say in what the worker is told, and that it may be believed.
func (w *worker) disposable() bool {
	free := w.actuator != nil && w.ordered() && !w.Pinned && w.ceiling == nil
	return free && !w.stuck && !w.lies
}

// beginTrial chooses who is tried: the likeliest first, and of those alike one that nothing but its own word
// vouches for, or whose watts come close to what is missing.
func (g *Governor) beginTrial(f *feeder, now time.Time) {
	var all []*worker
	most := g.trialMost(f, now)
	for _, w := range f.workers {
		if w.givenBy(now).watts <= most && g.mayBeTried(w, now) {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return
	}
	missing := f.doubt.unexplained()
	off := func(w *worker) unit.Watts {
		d := w.givenBy(now).watts - missing
		return max(d, -d)
	}
	slices.SortStableFunc(all, func(a, b *worker) int {
		if c := cmp.Compare(b.doubt.odds, a.doubt.odds); c != 0 {
			return c
		}
		if alone := a.minesElsewhere(now); alone != b.minesElsewhere(now) {
			if alone {
				return -1
			}
			return 1
		}
		return cmp.Compare(off(a), off(b))
	})
	t := &trial{since: now}
	liars, watts := 0.0, unit.Watts(0)
	for _, w := range all {
		given := w.givenBy(now).watts
		if len(t.group) > 0 && (liars+w.doubt.likely() > trialLiars || watts+given > most) {
			break
		}
		liars, watts = liars+w.doubt.likely(), watts+given
		t.take(w, now)
	}
	f.doubt.trial, f.doubt.triedAt = t, now
	f.unrest()
	g.event(now, Event{Feeder: f.ID, Message: fmt.Sprintf("%v are drawn that nobody explains: "+
		"%s and %d more wake for a moment, to see whether the meter shows it",
		missing, t.group[0].ID, len(t.group)-1)})
}

// trialMost is what a group may draw. While only whole machines sleep, those that make room for it may be one
// too many: then it must fit beside that.
func (g *Governor) trialMost(f *feeder, now time.Time) unit.Watts {
	var down, largest unit.Watts
	for _, w := range f.workers {
		given := w.givenBy(now).watts
		down += given
		largest = max(largest, given)
	}
	if g.sleepsFirst(f, now) {
		return down/trialPart - largest
	}
	return max(largest, down/trialPart)
}

// take adds a worker to the group. It is to wake.
func (t *trial) take(w *worker, now time.Time) {
	full := w.Curve.Full()
	t.group = append(t.group, w)
	t.downs = append(t.downs, fleet.Setpoint{
		Worker: w.ID, Mode: w.order.Mode, Watts: w.order.Watts, Hashrate: w.order.Hashrate,
	})
	w.doubt.tried = now
	w.doubt.told = &fleet.Setpoint{
		Worker: w.ID, Mode: fleet.Free, Watts: full.Watts, Hashrate: full.Hashrate,
	}
}

// tried is what a plan wishes of the worker, or the trial that it is in.
func (w *worker) tried(sp fleet.Setpoint) fleet.Setpoint {
	if w.doubt.told == nil {
		return sp
	}
	return *w.doubt.told
}

// triedDraw is what others make room for: a worker that is to wake counts in full.
func (w *worker) triedDraw(worst unit.Watts) unit.Watts {
	if w.doubt.told == nil {
		return worst
	}
	return max(worst, w.doubt.told.Watts)
}

// try follows the trial under way.
func (g *Governor) try(f *feeder, now time.Time) {
	d, t := &f.doubt, f.doubt.trial
	if t == nil {
		return
	}
	t.drop()
	late := now.Sub(t.since) > trialRoom+t.longest()
	switch {
	case len(t.group) == 0, f.arm != fleet.Act, f.site.stop != nil, f.commission != nil,
		t.back && (late || t.shown(d, now)):
		g.endTrial(f)
	case !t.back && (late || f.plan.Short > 0 || f.now.total > f.Limit || t.shown(d, now) && t.ran(now)):
		t.back, t.since, t.restAt = true, now, time.Time{}
		for i, w := range t.group {
			w.doubt.told = &t.downs[i]
		}
		g.memo.planned = false
		f.unrest()
	}
}

// drop leaves to the plan who is named by now, or whose word is no longer what is to be tried.
func (t *trial) drop() {
	for i, w := range slices.Backward(t.group) {
		if !w.disposable() {
			w.doubt.told = nil
			t.group, t.downs = slices.Delete(t.group, i, i+1), slices.Delete(t.downs, i, i+1)
		}
	}
	for i, w := range t.group {
		if t.back {
			w.doubt.told = &t.downs[i] // which may have moved up
		}
	}
}

// shown says that all of the group are where they are to be, and that the meter has been looked at since.
func (t *trial) shown(d *doubt, now time.Time) bool {
	for _, w := range t.group {
		if !w.settled || w.order.Mode != w.doubt.told.Mode || w.order.Watts != w.doubt.told.Watts {
			t.restAt = time.Time{}
			return false
		}
	}
	if t.restAt.IsZero() {
		t.restAt = now
	}
	return d.weighed.After(t.restAt)
}

// ran says that all of the group may be told to sleep again.
func (t *trial) ran(now time.Time) bool {
	return !slices.ContainsFunc(t.group, func(w *worker) bool { return now.Sub(w.since) < w.MinRun })
}

// trying says that there is a trial, or was one a moment ago: another may follow, and no better mix of
// machines is gone over to in between.
func (d *doubt) trying(now time.Time, span time.Duration) bool {
	return d.trial != nil || !d.triedAt.IsZero() && now.Sub(d.triedAt) < span
}

// longest is how long the group may take to wake, and must run then.
func (t *trial) longest() (d time.Duration) {
	for _, w := range t.group {
		d = max(d, 3*max(w.capability.ReturnIn, w.ack.Eta)+riseGrace+w.MinRun)
	}
	return d
}

// endTrial leaves the group to the plan.
func (g *Governor) endTrial(f *feeder) {
	for _, w := range f.doubt.trial.group {
		w.doubt.told = nil
	}
	f.doubt.trial = nil
	g.memo.planned = false
	f.unrest()
}
