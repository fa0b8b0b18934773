package governor

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// FindingKind says what a commissioning found wrong.
type FindingKind string

// Kinds of findings.
const (
	OtherFeeder FindingKind = "other-feeder" // a worker's step shows on another meter
	BadMeter    FindingKind = "meter"        // swapped, inverted, scaled, dead
	Disobeys    FindingKind = "disobeys"     // a worker does not do as ordered
	WrongCurve  FindingKind = "curve"        // a worker draws otherwise than its curve says
	NotShown    FindingKind = "not-shown"    // a worker says that it sleeps, and no meter shows it
)

// Finding is one thing that a commissioning found wrong.
type Finding struct {
	At      time.Time      `json:"at"`
	Kind    FindingKind    `json:"kind"`
	Feeder  fleet.FeederID `json:"feeder"`
	Worker  pool.WorkerID  `json:"worker,omitempty"` // empty: the meter
	Message string         `json:"message"`
}

const (
	// sameScale is how far two groups' ratios may differ and still be one meter's scale.
	sameScale = 0.25
	// curveOff is how far off a curve may be before it is named.
	curveOff = 0.2
)

// judge says what a step showed, keeps what it proved, and splits a group that does not add up.
func (r *commissionRun) judge(ctx context.Context, v *verdict) error {
	words, proven := r.adds(v)
	r.g.mu.Lock()
	kind := v.workers[0].kind() // its firmware may be heard of only now
	r.g.mu.Unlock()
	u := CommissionGroup{
		Number: r.number, Left: len(r.queue), Kind: kind, Workers: names(v.workers),
		Ordered: v.ordered, Metered: unit.Watts(v.metered), Shed: seconds(v.shed), Return: seconds(v.back),
		Proven: proven, Verdict: words, Duration: time.Since(v.began),
	}
	if !proven && len(v.workers) > 1 {
		u.Verdict = "does not add up: tried in halves"
	}
	r.noteGroup(v, &u)
	if err := r.report(CommissionUpdate{Group: &u}); err != nil {
		return err
	}
	if proven {
		if err := r.prove(ctx, v); err != nil {
			return err
		}
		return r.blameHeld(ctx)
	}
	if err := r.suspectMeter(v); err != nil {
		return err
	}
	if n := len(v.workers); n > 1 {
		r.queue = append(r.queue, v.workers[:n/2], v.workers[n/2:])
		return nil
	}
	return r.blame(ctx, r.accuse(v))
}

// adds says whether the meter fell by what was ordered: by the curves to within half of the smallest
// worker, or by the workers' own word where that differs.
func (r *commissionRun) adds(v *verdict) (string, bool) {
	noise := 4 * float64(r.noise)
	off := math.Abs(v.metered - float64(v.ordered))
	switch {
	case v.metered < -math.Max(noise, float64(v.ordered)/2):
		return "the feeder's meter shows the opposite", false
	case v.metered < float64(v.ordered)/2 || v.metered > 1.5*float64(v.ordered):
		return "the feeder's meter does not show it", false
	case off <= max(noise, float64(v.smallest)/2):
		return "proven", true
	case v.spoken && v.obeyed && math.Abs(v.metered-v.word) <= max(noise, 0.08*float64(v.ordered)):
		return "proven; their curves are off", true
	case len(v.workers) == 1:
		return "proven; its curve is off", true
	}
	return "", false
}

// prove makes what a group showed durable.
func (r *commissionRun) prove(ctx context.Context, v *verdict) error {
	r.suspect = nil
	g, now := r.g, time.Now()
	ratio := v.ratio()
	g.mu.Lock()
	for _, w := range v.workers {
		w.provenAt = now
	}
	res := g.responseOf(v.workers[0])
	res.sample(ResponseSample{At: now.Unix(), Metered: true, Freed: ratio, Shed: v.shed, Return: v.back})
	g.mu.Unlock()
	if err := g.noteProven(ctx, v.workers); err != nil {
		return err
	}
	if math.Abs(ratio-1) <= curveOff {
		return nil
	}
	for _, w := range v.workers {
		says := fmt.Sprintf("%s frees %.0f %% of what its curve says: measure it, or correct the curve",
			w.ID, 100*ratio)
		if err := r.find(Finding{Kind: WrongCurve, Worker: w.ID, Message: says}); err != nil {
			return err
		}
	}
	return nil
}

// blamed is a worker whose own step does not show, with what that means if the meter is right.
type blamed struct {
	verdict
	finding Finding
}

// accuse says what is wrong with a worker whose own step does not show.
func (r *commissionRun) accuse(v *verdict) *blamed {
	w := v.workers[0]
	f := Finding{Worker: w.ID}
	m := r.shownElsewhere(v)
	switch {
	case m != nil && m.Feeder != r.f.ID:
		f.Kind, f.Message = OtherFeeder, fmt.Sprintf("%s hangs on feeder %s: its step of %v shows on "+
			"meter %s there and not here. Correct the feeder in its [[worker]]",
			w.ID, m.Feeder, v.ordered, m.Name)
	case m != nil:
		f.Kind, f.Message = OtherFeeder, fmt.Sprintf(
			"%s hangs behind meter %s of role %v: its step shows there", w.ID, m.Name, m.Role)
	case !v.obeyed:
		f.Kind, f.Message = Disobeys, fmt.Sprintf(
			"%s does not do as ordered: it was told to give %v, the meter shows %v",
			w.ID, v.ordered, unit.Watts(v.metered))
	case v.metered < float64(v.ordered)/2:
		f.Kind, f.Message = NotShown, fmt.Sprintf(
			"%s says that it gave %v, and no meter shows it", w.ID, v.ordered)
	default:
		f.Kind, f.Message = WrongCurve, fmt.Sprintf("%s gave %v where its curve says %v",
			w.ID, unit.Watts(v.metered), v.ordered)
	}
	return &blamed{*v, f}
}

// blameHeld names whom it held back until it was known that the meter is right, or that nobody can tell.
func (r *commissionRun) blameHeld(ctx context.Context) error {
	held := r.held
	r.held = nil
	for i := range held {
		if err := r.publish(ctx, &held[i]); err != nil {
			return err
		}
	}
	return nil
}

// blame names the worker, at once if the meter cannot be what is wrong.
func (r *commissionRun) blame(ctx context.Context, b *blamed) error {
	if b.obeyed && !r.proven() {
		r.held = append(r.held, *b)
		return nil
	}
	return r.publish(ctx, b)
}

// publish makes durable and known what is wrong with a worker.
func (r *commissionRun) publish(ctx context.Context, b *blamed) error {
	w, f := b.workers[0], b.finding
	r.g.mu.Lock()
	w.provenAt = time.Time{}
	if f.Kind == Disobeys {
		if res := r.g.responseOf(w); res != nil && !w.stuck { // a stuck one was counted already
			res.Orders, res.Failures = res.Orders+1, res.Failures+1
		}
	}
	r.g.mu.Unlock()
	if err := r.g.noteProven(ctx, b.workers); err != nil {
		return err
	}
	return r.find(f)
}

// shownElsewhere is the meter of another branch that fell by what was ordered; nil if none did, or if
// something else went on there.
func (r *commissionRun) shownElsewhere(v *verdict) *meter {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	for _, m := range r.g.meters {
		own := m.Feeder == r.f.ID
		fell := v.fell[m]
		if own && (m.Role == fleet.Total || m.Role == fleet.Mining) || !own && !r.g.byFeeder[m.Feeder].still {
			continue
		}
		if fell > 0.5*float64(v.ordered) && fell < 1.5*float64(v.ordered) {
			return m
		}
	}
	return nil
}

// suspectMeter looks whether the first groups all fail alike although their workers do as ordered: then
// it is the meter, and nothing can be proven with it.
func (r *commissionRun) suspectMeter(v *verdict) error {
	if r.result.Proven > 0 || !v.obeyed || r.proven() {
		return nil
	}
	r.suspect = append(r.suspect, *v)
	if len(r.suspect) < 2 && len(r.queue) > 0 {
		return nil
	}
	says := r.suspicion(&r.suspect[0], v)
	if says == "" {
		return nil
	}
	r.held = nil // they did as they were told
	f := Finding{Kind: BadMeter, Message: fmt.Sprintf("feeder %s's meter: %s", r.f.ID, says)}
	if err := r.find(f); err != nil {
		return err
	}
	return stopped("the meter is wrong: %s", says)
}

// suspicion says what is wrong with the meter that two groups failed at; empty if it may be the workers.
func (r *commissionRun) suspicion(first, v *verdict) string {
	a, b := first.ratio(), v.ratio()
	here, there := r.shownElsewhere(first), r.shownElsewhere(v)
	alike := math.Abs(a-b) <= sameScale*max(math.Abs(a), math.Abs(b))
	unmoved := max(math.Abs(v.metered), math.Abs(first.metered)) <= 4*float64(r.noise)
	small := max(math.Abs(a), math.Abs(b)) < 0.05 && math.Abs(a) > 2e-3
	switch {
	case len(r.suspect) < 2 && len(v.workers) == 1: // one worker alone says nothing of the meter
		return ""
	case here != nil && there != nil && here.Feeder == there.Feeder && here.Feeder != r.f.ID:
		return fmt.Sprintf("what its workers give shows on feeder %s's meter %s: the meters of the two are "+
			"swapped, or all workers are", here.Feeder, here.Name)
	case small:
		return "the meter hardly moves when workers sleep that say so: it measures something else"
	case alike && math.Abs(a) > 2e-4:
		return scaleWords((a + b) / 2)
	case unmoved:
		return "the meter does not move when workers sleep that say so: it measures something else, " +
			"or nothing"
	}
	return ""
}

// proven says whether anybody was proven in this run.
func (r *commissionRun) proven() bool {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	for _, w := range r.f.workers {
		if w.provenAt.After(r.began) {
			return true
		}
	}
	return false
}

// scaleWords says what a meter does that shows ratio of what there is.
func scaleWords(ratio float64) string {
	at := func(r float64) bool { return ratio > r*0.75 && ratio < r/0.75 }
	switch {
	case ratio < -0.05:
		return fmt.Sprintf("it is inverted: it shows %.2f of what moves; a current transformer is mounted "+
			"backwards, or its sign is", ratio)
	case at(1e-3):
		return "it shows a thousandth: kW are read as W"
	case at(1e3):
		return "it shows a thousand times as much: W are read as kW"
	case at(1. / 3):
		return "it shows a third: one phase of three is measured, or counted"
	case at(2. / 3):
		return "it shows two thirds: two phases of three are measured, or counted"
	case at(3):
		return "it shows three times as much: one phase is counted for three"
	}
	return fmt.Sprintf("its scale is wrong: it shows %.4g of what there is", ratio)
}
