package governor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// probeBackoff is how often in a row a machine may not answer before it is asked less and less often.
	probeBackoff = 3
	// probeRarest is the longest time between two questions to a machine that does not answer.
	probeRarest = 2 * time.Minute
	// probeFirst is the part of ProbeEvery that the first round is spread over.
	probeFirst = 3
	// probeSoonest is how long after an order its machine is asked at the earliest: what it said before is
	// no news.
	probeSoonest = time.Second
	// probeBehind is the part of a Tick after which places are looked for again that were missing.
	probeBehind = 10
)

// Seen is what a machine last said of itself on its own interface. It is never changed.
type Seen struct {
	fleet.Sighting // the newest that came; At is zero before the first

	Failures int       // questions in a row since then that were not answered
	Err      error     // of the last of them
	AskedAt  time.Time // when the newest question ended
}

// probed is a machine that is asked over its own interface.
type probed struct {
	probe fleet.Probe // immutable
	place float64     // immutable; 0 to 1: its place in a round
	eager atomic.Bool // its order is on its way, or it is held down: ask often
	busy  atomic.Bool // a question is on its way
	seen  atomic.Pointer[Seen]

	// owned by Governor.ask
	wasEager bool
	dueAt    time.Time
}

func newProbed(p fleet.Probe, place float64) *probed {
	n := &probed{probe: p, place: place}
	n.seen.Store(&Seen{})
	return n
}

// ask questions all machines that have an interface of their own, each in its turn, until ctx ends. Few
// questions are on their way at a time; one that finds no place keeps its turn, and is looked for again soon.
// A quarter of the places is for machines in a dispatch alone.
func (g *Governor) ask(ctx context.Context) {
	if len(g.probes) == 0 {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, g.cfg.ProbesAtOnce) // one a question on its way
	start := time.Now()
	for _, p := range g.probes {
		p.dueAt = start.Add(time.Duration(p.place * float64(g.cfg.ProbeEvery/probeFirst)))
	}
	look := time.NewTimer(0)
	defer look.Stop()
	for from, behind := 0, false; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		from, behind = g.askDue(ctx, from, places, &wg)
		if behind {
			look.Reset(g.cfg.Tick / probeBehind)
		} else {
			look.Reset(g.cfg.Tick)
		}
	}
}

// askDue starts the questions that are due, from one on. It says where to go on, which is where one found no
// place, so that under lasting load everybody waits equally long, and whether there was one.
func (g *Governor) askDue(
	ctx context.Context, from int, places chan struct{}, wg *sync.WaitGroup,
) (next int, behind bool) {
	now, next := time.Now(), from
	for i := range g.probes {
		at := (from + i) % len(g.probes)
		p := g.probes[at]
		if !p.due(now, &g.cfg) {
			continue
		}
		if !p.wasEager && len(places) >= cap(places)-cap(places)/4 {
			if !behind { // a hall that does not answer leaves room for those in a dispatch
				next, behind = at, true
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			return at, true
		}
		p.turn(now, &g.cfg)
		p.busy.Store(true)
		wg.Go(func() { // ends within ProbeTimeout
			p.question(ctx, g.cfg.ProbeTimeout)
			p.busy.Store(false)
			<-places
		})
	}
	return next, behind
}

// every is how often the machine is asked.
func (p *probed) every(cfg *Config) time.Duration {
	if p.wasEager {
		return min(cfg.ProbeEvery, cfg.ProbeFast)
	}
	return cfg.ProbeEvery
}

// due says whether the machine is to be asked now.
func (p *probed) due(now time.Time, cfg *Config) bool {
	eager := p.eager.Load()
	rose := eager && !p.wasEager
	p.wasEager = eager
	if rose {
		soon := now.Add(max(probeSoonest, time.Duration(p.place*float64(p.every(cfg)))))
		if soon.Before(p.dueAt) {
			p.dueAt = soon
		}
	}
	return !now.Before(p.dueAt) && !p.busy.Load()
}

// turn is over for the machine: it says when the next one comes.
func (p *probed) turn(now time.Time, cfg *Config) {
	every := p.every(cfg)
	if more := p.seen.Load().Failures - probeBackoff; more > 0 {
		every = max(every, min(every<<min(more, 10), probeRarest))
	}
	p.dueAt = p.dueAt.Add(every)
	if p.dueAt.Before(now) {
		p.dueAt = now.Add(every)
	}
}

// question asks once and keeps what comes of it.
func (p *probed) question(ctx context.Context, timeout time.Duration) {
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := p.probe.Probe(asking)
	if err != nil && ctx.Err() != nil {
		return // we are ending; that says nothing of the machine
	}
	now := time.Now()
	old := p.seen.Load()
	if err != nil {
		p.seen.Store(&Seen{Sighting: old.Sighting, Failures: old.Failures + 1, Err: err, AskedAt: now})
		return
	}
	if s.At.IsZero() || s.At.After(now) {
		s.At = now
	}
	p.seen.Store(&Seen{Sighting: s.Bounded(), AskedAt: now})
}

// reached says that the machine can be spoken to, as far as is known.
func (s *Seen) reached(cfg *Config, now time.Time) bool {
	age := now.Sub(s.At)
	if s.At.IsZero() || age >= 5*cfg.ProbeEvery/2 {
		return false
	}
	return s.Failures < probeBackoff || age < reportStale
}

// says is what the machine draws by its own word, and whether there is one. Watts that it only estimates
// must not contradict the hashrate that it says beside them.
func (w *worker) says(s *Seen) (unit.Watts, bool) {
	hashing := w.Curve.WattsAt(s.Hashrate)
	switch {
	case s.Hashrate <= 0 && s.Wattage == fleet.WattsUnknown && s.Activity == fleet.ActivityAsleep:
		return w.Sleep, true
	case s.Wattage == fleet.WattsMeasured:
		return s.Watts, true
	case s.Wattage == fleet.WattsEstimated:
		if s.Hashrate > w.hashrateAt(s.Watts)+w.Curve.Full().Hashrate/4 {
			return max(s.Watts, hashing), true
		}
		return s.Watts, true
	case s.Hashrate > 0:
		return hashing, true
	}
	return 0, false
}

// hashrateAt is what the worker may hash at a draw, on its curve.
func (w *worker) hashrateAt(watts unit.Watts) unit.Hashrate {
	if watts < w.Curve[0].Watts {
		return 0
	}
	return w.Curve.At(watts)
}

// listenToProbe takes the newest word from the machine's own interface, if it is newer than its session's.
func (w *worker) listenToProbe(cfg *Config, now time.Time) {
	s := w.probe.seen.Load()
	w.seen, w.seesUs = s, s.reached(cfg, now)
	told := w.ordered() && (!w.settled || w.reduced())
	if eager := told || w.stuck || w.moving; eager != w.probe.eager.Load() {
		w.probe.eager.Store(eager)
	}
	if !w.seesUs || w.speaks && !s.At.After(w.reportedAt) {
		return
	}
	if watts, ok := w.says(s); ok {
		w.reported, w.reportedAt, w.speaks = watts, s.At, true
		w.moving = s.Activity == fleet.ActivityMoving
	}
}

// look takes what the machine's own interface says.
func (g *Governor) look(w *worker, now time.Time) {
	if w.probe != nil {
		w.listenToProbe(&g.cfg, now)
		g.locate(w, now)
	}
}

// beginAnew has a machine told again that is back in reach: it may have begun anew meanwhile.
func (w *worker) beginAnew(now time.Time) {
	if w.probe != nil {
		w.acked, w.retryAt = false, now
	}
}

// hashesLess says that, by the machine's own word, its hashrate follows its order.
func (w *worker) hashesLess() bool {
	if w.probe == nil || !w.seen.At.After(w.orderedAt) {
		return false
	}
	full := w.Curve.Full().Hashrate
	return w.seen.Hashrate <= w.order.Hashrate+(full-w.order.Hashrate)/2
}

// wordLate is how much later than a session's a machine's own word comes.
func (w *worker) wordLate(cfg *Config) time.Duration {
	if w.probe == nil {
		return 0
	}
	return 2 * cfg.ProbeFast
}

// unheard says that the machine has not been asked once.
func (w *worker) unheard() bool { return w.probe != nil && w.seen.AskedAt.IsZero() }

// firstRound is how long it takes until every machine was asked once.
func (g *Governor) firstRound() time.Duration {
	return g.cfg.ProbeEvery/probeFirst + g.cfg.ProbeTimeout
}

// Stray is a way in which a machine does other than it was told, by its own word.
type Stray uint8

// It does as ordered, or nothing is known of it; it is asleep and should not be; it is awake and should not
// be; it was set to other watts.
const (
	NoStray Stray = iota
	StrayAsleep
	StrayAwake
	StraySet
)

// String is the stray in words; empty if there is none.
func (s Stray) String() string {
	words := [...]string{"", "asleep without an order", "awake against its order", "set to other watts"}
	return words[min(s, StraySet)]
}

// strays compares what the machine says that it was set to with what was ordered: a difference is somebody
// else's doing. Nothing is said of a machine that is on its way, nor by a word from before the order had
// taken effect.
func (w *worker) strays() Stray {
	if w.probe == nil || !w.told() {
		return NoStray
	}
	switch a := w.seen.Activity; {
	case a == fleet.ActivityAsleep && w.order.Mode != fleet.Paused:
		return StrayAsleep
	case a == fleet.ActivityMining && w.order.Mode == fleet.Paused:
		return StrayAwake
	case a == fleet.ActivityMining && w.seen.Target > 0 && w.setElsewhere():
		return StraySet
	}
	return NoStray
}

// told says that the machine's newest word is from after its order had the time to take effect.
func (w *worker) told() bool {
	since := w.ackedAt.Add(max(w.shedIn(), w.capability.ReturnIn))
	return w.seesUs && w.ordered() && w.acked && w.settled && w.seen.Failures == 0 && w.seen.At.After(since)
}

// setElsewhere says that the machine was set to other watts than ordered.
func (w *worker) setElsewhere() bool {
	slack := max(w.slackWatts(), w.capability.Step)
	if w.order.Mode == fleet.Free {
		return w.seen.Target < min(w.most, w.capability.Max)-2*slack
	}
	return max(w.seen.Target-w.order.Watts, w.order.Watts-w.seen.Target) > slack
}

func (c *Config) validateProbes() error {
	known := make(map[string]bool, len(c.Workers))
	for i := range c.Workers {
		known[string(c.Workers[i].ID)] = true
	}
	var errs []error
	for w, p := range c.Probes {
		if !known[string(w)] {
			errs = append(errs, fmt.Errorf("probe of %q: no such worker", w))
		}
		if p == nil {
			errs = append(errs, fmt.Errorf("probe of %q is missing", w))
		}
	}
	return errors.Join(errs...)
}

// addProbe ties a worker to its own interface, if it has one.
func (g *Governor) addProbe(w *worker) {
	if p := g.cfg.Probes[w.ID]; p != nil {
		w.probe, w.seen = newProbed(p, w.lapse), &Seen{}
		g.probes = append(g.probes, w.probe)
	}
}

// byProbe are the workers that have an interface of their own. What is used of them never changes.
func (g *Governor) byProbe() map[pool.WorkerID]*worker {
	all := make(map[pool.WorkerID]*worker, len(g.probes))
	for _, w := range g.workers {
		if w.probe != nil {
			all[w.ID] = w
		}
	}
	return all
}
