package governor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// steadyReadings are how many readings make a mean before and after a step.
const steadyReadings = 4

// glance is what every meter showed over some readings: its mean.
type glance struct {
	mining float64 // of the feeder, by all its meters together
	noise  unit.Watts
	each   map[*meter]float64
}

// verdict is what a step of one group showed.
type verdict struct {
	workers  []*worker
	ordered  unit.Watts
	smallest unit.Watts // of one worker
	metered  float64    // what the feeder's meters fell by
	word     float64    // what the workers fell by, by their own word
	spoken   bool       // all of them say what they draw
	obeyed   bool       // each shows that it does as ordered
	fell     map[*meter]float64
	shed     float64 // seconds
	back     float64
	began    time.Time
}

func (v *verdict) ratio() float64 { return v.metered / float64(max(1, v.ordered)) }

// try puts a group to sleep, measures, and wakes it.
func (r *commissionRun) try(ctx context.Context, group []*worker) (verdict, error) {
	r.number++
	v := verdict{workers: group, began: time.Now()}
	if err := r.awaitQuiet(ctx, group); err != nil {
		return v, err
	}
	before, err := r.listen(ctx, nil, time.Time{}, 0)
	if err != nil {
		return v, err
	}
	p := r.order(&v, before)
	defer r.release()
	if err := r.awaitShed(ctx, &v, p); err != nil {
		return v, err
	}
	after, err := r.listen(ctx, p, time.Now(), max(amplyOverNoise/2*r.noise, v.ordered/25))
	if err != nil {
		return v, err
	}
	v.metered = before.mining - after.mining
	v.fell = map[*meter]float64{}
	for m, w := range before.each {
		v.fell[m] = w - after.each[m]
	}
	v.shed = p.reached(unit.Watts(after.mining))
	r.evidence(&v)
	r.release()
	if v.metered < float64(v.ordered)/2 {
		return v, nil // nothing shown, no return to wait for
	}
	return v, r.awaitReturn(ctx, &v, before)
}

// awaitQuiet waits until nothing is on its way on the feeder and the group may sleep.
func (r *commissionRun) awaitQuiet(ctx context.Context, group []*worker) error {
	const still = 2 * time.Second
	var since time.Time
	noted := time.Now()
	for began := time.Now(); ; {
		r.g.mu.Lock()
		now := time.Now()
		why, wait := r.g.forbids(r.f, now), r.busy(group, now)
		r.g.mu.Unlock()
		switch {
		case why != "":
			return stopped("%s", why)
		case wait != "":
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) >= still:
			return nil
		}
		if wait != "" && now.Sub(began) > patience+r.longest(group) {
			return stopped("waited %v in vain: %s", now.Sub(began).Round(time.Second), wait)
		}
		if wait != "" && now.Sub(noted) >= 10*time.Second {
			noted = now
			if err := r.note("waiting: %s", wait); err != nil {
				return err
			}
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// busy says who is not at rest yet; empty if all are.
func (r *commissionRun) busy(group []*worker, now time.Time) string {
	for _, w := range r.f.workers {
		if !w.settled || w.reduced() && !w.stuck && w.actuator != nil && r.tried[w] {
			return fmt.Sprintf("%s is %s", w.ID, w.words(now))
		}
	}
	for _, w := range group {
		if !w.since.IsZero() && now.Sub(w.since) < w.MinRun {
			return fmt.Sprintf("%s must run %v after its last wake", w.ID, w.MinRun)
		}
	}
	return ""
}

// longest is how long a group may have to wait by its own terms.
func (r *commissionRun) longest(group []*worker) (d time.Duration) {
	for _, w := range group {
		d = max(d, w.MinRun)
	}
	for _, w := range r.f.workers {
		d = max(d, w.MinOff+3*w.capability.ReturnIn)
	}
	return d
}

// pause lets a tick pass.
func (r *commissionRun) pause(ctx context.Context) error {
	t := time.NewTimer(r.g.cfg.Tick)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// listen takes the mean of readings of the feeder's meters after from, and of all others meanwhile: the
// next few, or, with a band, the first few that stay within it, if there are such in time. What forbids
// the commissioning ends it here too.
func (r *commissionRun) listen(
	ctx context.Context, p *passage, from time.Time, band unit.Watts,
) (glance, error) {
	const settling = 30 * time.Second
	e := ear{seen: map[*meter]time.Time{}, each: map[*meter][]float64{}, last: from}
	for began := time.Now(); ; {
		r.g.mu.Lock()
		now := time.Now()
		why := r.g.forbids(r.f, now)
		e.hear(r.g, r.f, p)
		r.g.mu.Unlock()
		flat := band == 0 || e.range4() <= float64(band) || now.Sub(began) > settling
		switch {
		case why != "" && !r.c.wish.DryRun:
			return glance{}, stopped("%s", why)
		case len(e.took) >= steadyReadings && flat:
			return e.glance(), nil
		case now.Sub(began) > steadyReadings*(r.g.cfg.Stale+r.g.cfg.MeterEvery)+patience:
			return glance{}, stopped("the meter gives no new readings")
		}
		if err := r.pause(ctx); err != nil {
			return glance{}, err
		}
	}
}

// ear gathers readings as they come.
type ear struct {
	last time.Time // reading of the feeder
	took []float64 // mining on it
	seen map[*meter]time.Time
	each map[*meter][]float64
}

// hear takes what is new. The caller holds mu.
func (e *ear) hear(g *Governor, f *feeder, p *passage) {
	for _, m := range g.meters {
		d, _ := m.last()
		if first := e.seen[m].IsZero(); d.At.After(e.seen[m]) {
			e.seen[m] = d.At
			if !first { // the first may be from before
				e.each[m] = append(e.each[m], float64(d.Watts))
			}
		}
	}
	if !f.now.at.After(e.last) {
		return
	}
	if !e.last.IsZero() {
		e.took = append(e.took, float64(f.now.mining))
	}
	e.last = f.now.at
	if p != nil {
		p.add(f.now.at, f.now.mining)
	}
}

// range4 is how far the last few readings of mining are apart.
func (e *ear) range4() float64 {
	last := e.took[max(0, len(e.took)-steadyReadings):]
	if len(last) == 0 {
		return 0
	}
	return slices.Max(last) - slices.Min(last)
}

// glance is the mean of the last few readings.
func (e *ear) glance() glance {
	g := glance{each: map[*meter]float64{}}
	took := e.took[max(0, len(e.took)-steadyReadings):]
	var squares float64
	g.mining = mean(took)
	for _, w := range took {
		squares += (w - g.mining) * (w - g.mining)
	}
	if len(took) > 1 {
		g.noise = unit.Watts(math.Ceil(math.Sqrt(squares / float64(len(took)-1))))
	}
	for m, ws := range e.each {
		g.each[m] = mean(ws[max(0, len(ws)-steadyReadings):])
	}
	return g
}

func mean(ws []float64) (sum float64) {
	for _, w := range ws {
		sum += w / float64(len(ws))
	}
	return sum
}

// order puts the group to sleep.
func (r *commissionRun) order(v *verdict, before glance) *passage {
	r.g.mu.Lock()
	r.c.asleep, r.c.group = map[*worker]bool{}, map[*worker]bool{}
	for _, w := range v.workers {
		sheds := w.full() - w.minimum().Watts
		v.ordered += sheds
		if v.smallest == 0 || sheds < v.smallest {
			v.smallest = sheds
		}
		r.c.asleep[w], r.c.group[w], r.tried[w] = true, true, true
	}
	p := &passage{workers: v.workers, at: time.Now(), before: unit.Watts(before.mining)}
	r.g.mu.Unlock()
	r.g.wake()
	return p
}

// release lets the plan wake the group.
func (r *commissionRun) release() {
	r.g.mu.Lock()
	r.c.asleep = nil
	r.g.mu.Unlock()
	r.g.wake()
}

// awaitShed waits until every worker has shown what it does with its order, or was given up.
func (r *commissionRun) awaitShed(ctx context.Context, v *verdict, p *passage) error {
	r.g.mu.Lock()
	var most time.Duration
	for _, w := range v.workers {
		most = max(most, 2*w.shedIn()+r.g.cfg.ShedGrace)
	}
	r.g.mu.Unlock()
	for {
		r.g.mu.Lock()
		now := time.Now()
		why := r.g.forbids(r.f, now)
		if r.f.now.fresh {
			p.add(r.f.now.at, r.f.now.mining)
		}
		settled := true
		for _, w := range v.workers {
			settled = settled && w.settled && w.reduced()
		}
		r.g.mu.Unlock()
		switch {
		case why != "":
			return stopped("%s", why)
		case settled && now.Sub(p.at) > r.g.cfg.Spread+2*r.g.cfg.Tick,
			now.Sub(p.at) > most+r.g.cfg.SendTimeout:
			return nil
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// evidence takes what the workers themselves show of the step.
func (r *commissionRun) evidence(v *verdict) {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	v.spoken, v.obeyed = true, true
	for _, w := range v.workers {
		v.spoken = v.spoken && w.speaks
		v.word += float64(w.full() - w.reported)
		v.obeyed = v.obeyed && w.settled && !w.stuck && w.evidence >= fleet.HashDown
	}
}

// awaitReturn waits until the meter shows the group back, as far as the plan lets it return.
func (r *commissionRun) awaitReturn(ctx context.Context, v *verdict, before glance) error {
	var p *passage
	r.g.mu.Lock()
	most := r.longest(v.workers) + time.Minute
	r.g.mu.Unlock()
	for began := time.Now(); ; {
		r.g.mu.Lock()
		now := time.Now()
		why := r.g.forbids(r.f, now)
		if p == nil {
			p = r.returning(v.workers)
		}
		if p != nil && r.f.now.fresh {
			p.add(r.f.now.at, r.f.now.mining)
			v.back = p.reached(unit.Watts(before.mining))
		}
		r.g.mu.Unlock()
		switch {
		case why != "":
			return stopped("%s", why)
		case v.back > 0, now.Sub(began) > most:
			return nil
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// returning begins the passage back once all of the group have been told to return.
func (r *commissionRun) returning(group []*worker) *passage {
	var first time.Time
	for _, w := range group {
		if w.reduced() {
			return nil
		}
		if first.IsZero() || w.orderedAt.Before(first) {
			first = w.orderedAt
		}
	}
	return &passage{at: first, before: r.f.now.mining}
}
