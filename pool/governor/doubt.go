package governor

import (
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// A machine may say that it is down and draw as before: its telemetry lies, or it was told here and mines
// elsewhere, so that its shares tell nothing. What it draws shows as excess, for which others give way. Who
// it is, the steps at the meter tell. Whenever nothing is on its way, what the meter shows beyond workers'
// states is compared with the time before: what has changed is drawn by machines whose states have changed,
// and that do not do as they say. Every order of every dispatch is such a step, and costs nothing. Where that
// does not tell, suspects are woken and told again: see trial.

const (
	// doubtReadings is of how many readings an excess is the mean.
	doubtReadings = 3
	// doubtPrior is how likely a machine lies before anything is known, as all below by the logarithm of the
	// odds: one in 55. doubtNamed is one in a thousand that it does not, and doubtLeast as far as trust goes.
	doubtPrior, doubtNamed, doubtLeast, doubtMost = -4, 7, -8, 12
	// doubtOnce is what a single step is worth at most: no glitch of a meter names anybody.
	doubtOnce = 6
	// doubtTells is by how many deviations a step must show what a machine draws to count at all, and
	// doubtDecides for it to be one of the doubtSteps that it takes to be named.
	doubtTells, doubtDecides, doubtSteps = 2, 4, 2
	// doubtCurve is what a curve may be off by: of one machine by chance, and of all of a step alike.
	doubtCurve, doubtAlike = 0.05, 0.03
	// doubtFew is of how many who moved at once every way is weighed in which they may lie.
	doubtFew = 10
)

// doubt is what a feeder's meter says of its workers' word.
type doubt struct {
	readings int     // in sum
	sum      float64 // of what the meter showed beyond the workers' states, while nothing was on its way
	at       time.Time

	weighed time.Time  // when the last readings ended; zero: never
	excess  float64    // by them
	usual   float64    // of that, what there is while nobody is down: curves are off
	noise   float64    // variance from one time to the next while nobody is told anything
	given   []given    // by worker, as it was then
	names   unit.Watts // what those named draw of it
	stands  int        // times in a row that nothing changed

	trial   *trial    // under way; nil if there is none
	triedAt time.Time // when the last one began
}

// given is what the governor takes a worker to have given up.
type given struct {
	watts unit.Watts
	plain bool // its state is known
}

// suspicion is what the meter says of one worker's word.
type suspicion struct {
	odds  float64         // logarithm of those that it draws what it says that it does not
	steps int             // that said so clearly
	named bool            // it was named by them
	tried time.Time       // when a trial of it began last
	told  *fleet.Setpoint // by the trial under way; nil if there is none
}

// likely is the chance that it lies.
func (o *suspicion) likely() float64 { return 1 / (1 + math.Exp(-o.odds)) }

// givenBy is what the feeder's tally takes the worker to have given up.
func (w *worker) givenBy(now time.Time) given {
	if w.stuck || w.unsure(now) || !w.settled {
		return given{}
	}
	return given{watts: w.most - w.believed(w.counted(now)), plain: true}
}

// suspect takes the newest reading as evidence of who does not do as he says. It costs a sum over the workers
// once in a few readings, and nothing while anything is on its way.
func (g *Governor) suspect(f *feeder, now time.Time) {
	d := &f.doubt
	if !f.tally.settled || !f.now.fresh || f.commission != nil || f.site.stop != nil ||
		!f.now.at.After(f.settledAt.Add(settle)) {
		d.readings, d.sum = 0, 0
	} else if f.now.at.After(d.at) {
		d.at = f.now.at
		d.sum += float64(f.now.mining - f.tally.model)
		d.readings++
	}
	if d.readings == doubtReadings {
		excess := d.sum / doubtReadings
		d.readings, d.sum = 0, 0
		g.weigh(f, excess, now)
		if g.mayTry(f, now) {
			g.beginTrial(f, now)
		}
	}
	g.try(f, now)
}

// step is what has changed between two times at which nothing was on its way.
type step struct {
	shows  float64 // by how much the excess has risen
	sum    float64 // of what workers have given up since
	noise  float64 // variance by meters and curves
	expect float64 // what those who moved would show by the odds
	spread float64 // variance of that
	moved  bool
	down   unit.Watts // what all have given up

	n   int // who have given up more or less
	few [doubtFew]mover
}

// mover is a worker that has given up more, or less, since.
type mover struct {
	doubt *suspicion
	delta float64
}

// weigh compares an excess with the one before it.
func (g *Governor) weigh(f *feeder, excess float64, now time.Time) {
	d := &f.doubt
	if len(d.given) < len(f.workers) {
		d.given = make([]given, len(f.workers))
	}
	s, known := d.since(f, excess, now), !d.weighed.IsZero()
	switch {
	case !known || !s.moved:
	case s.n <= len(s.few):
		s.tellFew()
	default:
		d.tellMany(f, &s, now)
	}
	if known && !s.moved {
		d.drift(f, &s)
	}
	d.excess, d.weighed = excess, now
	if d.stands++; s.moved {
		d.stands = 0
	}
	if s.down <= f.tolerance() && d.trial == nil {
		d.usual = excess
	}
	d.names = 0
	for i, w := range f.workers {
		d.given[i] = w.givenBy(now)
		g.conclude(w, now)
		if w.lies {
			d.names += d.given[i].watts
		}
	}
}

// since adds up what has changed since the last time.
func (d *doubt) since(f *feeder, excess float64, now time.Time) (s step) {
	s.shows = excess - d.excess
	floor := float64(f.Limit) / 5000
	s.noise = d.noise + floor*floor
	for i, w := range f.workers {
		is, was := w.givenBy(now), d.given[i]
		s.down += is.watts
		delta := float64(is.watts - was.watts)
		switch {
		case is.plain != was.plain: // it may have drawn anything
			full := float64(w.most)
			s.noise += full * full
			s.moved = true
			continue
		case delta == 0:
			continue
		}
		s.moved = s.moved || math.Abs(delta) > float64(w.slackWatts())
		if s.n < len(s.few) {
			s.few[s.n] = mover{&w.doubt, delta}
		}
		s.n++
		p := w.doubt.likely()
		s.sum += delta
		s.noise += doubtCurve * delta * doubtCurve * delta
		s.expect += p * delta
		s.spread += p * (1 - p) * delta * delta
	}
	s.noise += doubtAlike * s.sum * doubtAlike * s.sum
	return s
}

// tellFew weighs every way in which some of those who moved are liars and the others are not: one whom
// another explains as well is not told.
func (s *step) tellFew() {
	var likely [1 << doubtFew]float64 // logarithms
	best := math.Inf(-1)
	for who := range 1 << s.n {
		off, sum := s.shows, 0.0
		for i := range s.n {
			if who>>i&1 == 1 {
				off -= s.few[i].delta
				sum += s.few[i].doubt.odds
			}
		}
		likely[who] = sum - off*off/(2*s.noise)
		best = max(best, likely[who])
	}
	var lies, honest [doubtFew]float64
	for who := range 1 << s.n {
		p := math.Exp(likely[who] - best)
		for i := range s.n {
			if who>>i&1 == 1 {
				lies[i] += p
			} else {
				honest[i] += p
			}
		}
	}
	for i := range s.n {
		o := s.few[i].doubt
		if math.Abs(s.few[i].delta) < doubtTells*math.Sqrt(s.noise) {
			continue
		}
		const none = math.SmallestNonzeroFloat64
		worth := math.Log(max(lies[i], none)) - math.Log(max(honest[i], none))
		o.take(worth-o.odds, math.Abs(s.few[i].delta) >= doubtDecides*math.Sqrt(s.noise))
	}
}

// take adds what a step is worth. One that is clear counts for itself.
func (o *suspicion) take(worth float64, clear bool) {
	worth = max(-doubtOnce, min(worth, doubtOnce))
	o.odds = max(doubtLeast, min(o.odds+worth, doubtMost))
	switch {
	case !clear:
	case worth >= doubtOnce/2:
		o.steps++
	case worth <= -doubtOnce/2:
		o.steps = 0
	}
}

// tellMany weighs each of many who moved by itself.
func (d *doubt) tellMany(f *feeder, s *step, now time.Time) {
	for i, w := range f.workers {
		is, was := w.givenBy(now), d.given[i]
		if is.plain && was.plain && is.watts != was.watts {
			w.doubt.weigh(float64(is.watts-was.watts), s)
		}
	}
}

// weigh takes a step of many as evidence, of which the worker gave up delta: with a liar the excess rises by
// that more than without. The others count as likely as they are; where they hide what one machine draws
// nothing is learnt. A step of many clears, and leaves suspects, but convicts nobody.
func (o *suspicion) weigh(delta float64, s *step) {
	p := o.likely()
	others := s.expect - p*delta
	variance := s.noise + max(0, s.spread-p*(1-p)*delta*delta)
	if math.Abs(delta) < doubtTells*math.Sqrt(variance) {
		return
	}
	honest, liar := s.shows-others, s.shows-others-delta
	worth := (honest*honest - liar*liar) / (2 * variance)
	if worth > 0 {
		worth = max(0, min(worth, -o.odds)) // as likely as not, at most
	}
	o.take(worth, false)
}

// drift learns from a time in which nobody was told anything: how far the meter wanders by itself. An excess
// that rises so by a machine's watts is one that has begun to draw, and may be any that is down; one that
// falls by as much is a liar that has come down.
func (d *doubt) drift(f *feeder, s *step) {
	enough := max(float64(f.tolerance()), 4*math.Sqrt(s.noise))
	if math.Abs(s.shows) < enough {
		d.noise += (s.shows*s.shows - d.noise) / 8
		return
	}
	d.stands = 0
	for _, w := range f.workers {
		if !w.reduced() || !w.ordered() {
			continue
		}
		o := &w.doubt
		switch {
		case s.shows > 0 && !w.lies:
			o.odds, o.steps, o.tried = max(o.odds, doubtPrior), 0, time.Time{}
		case s.shows < 0 && o.named:
			o.odds, o.steps, o.named, w.lies = 0, 0, false, false
		}
	}
}

// conclude names a worker whose steps do not show time and again, and takes it back when they do.
func (g *Governor) conclude(w *worker, now time.Time) {
	o := &w.doubt
	switch {
	case o.named && !w.lies: // it was released, or long ago; it is the first to be suspected again
		o.named, o.steps, o.odds = false, 0, -doubtPrior/2
	case o.named && o.odds < 0:
		o.named, w.lies = false, false
		g.event(now, Event{Feeder: w.feeder.ID, Worker: w.ID, Message: "its steps show at the meter again"})
	case !w.lies && o.steps >= doubtSteps && o.odds >= doubtNamed:
		o.named = true
		w.provenAt = time.Time{}
		g.nameLiar(w, fmt.Sprintf("%d of its steps have not shown at the meter", o.steps), now)
	}
}

// unexplained is what the meter shows and nobody who is named draws.
func (d *doubt) unexplained() unit.Watts {
	return max(0, unit.Watts(d.excess-max(0, d.usual))-d.names)
}
