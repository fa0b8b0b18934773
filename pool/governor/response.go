package governor

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// MaxResponses bounds the kinds of machines that responses are kept of.
	MaxResponses = 1000
	// maxSamples is how many samples are kept of a kind, the newest.
	maxSamples = 200
)

// ResponseKey is a kind of machine: those of one kind are expected to answer an order alike.
type ResponseKey struct {
	Model    string `json:"model"`
	Firmware string `json:"firmware,omitempty"` // as its session says; empty where none does
}

// Response is how a kind of machine was measured to answer orders.
type Response struct {
	ResponseKey

	Samples  []ResponseSample `json:"samples,omitempty"` // oldest first
	Orders   uint64           `json:"orders,omitempty"`  // reductions that were judged
	Failures uint64           `json:"failures,omitempty"`

	changes uint64 // of Samples
	last    quantiles
}

// quantiles are what samples came to, for as long as the same ones count: a look a second need not sort
// them again.
type quantiles struct {
	made    bool
	changes uint64
	stale   int // samples that counted no more
	Measured
}

// ResponseSample is one measured answer: of a group of machines at the feeder's meter, or of one by its
// own word.
type ResponseSample struct {
	At      int64   `json:"at"`              // Unix seconds
	Freed   float64 `json:"freed,omitempty"` // of the ordered watts; 0: not measured
	Shed    float64 `json:"shed,omitempty"`  // seconds to 95 %; 0: not measured
	Return  float64 `json:"return,omitempty"`
	Metered bool    `json:"metered,omitempty"` // at the feeder's meter; else by the device's word
}

// freshSamples are those that still count.
func (r *Response) freshSamples(oldest time.Time) []ResponseSample {
	if r == nil {
		return nil
	}
	old := func(s ResponseSample) bool { return s.At < oldest.Unix() }
	return slices.DeleteFunc(slices.Clone(r.Samples), old)
}

// failing is the share of orders that nothing came of, with what is known beforehand weighing as much as
// a hundred orders.
func (r *Response) failing(prior float64) float64 {
	const weight = 100
	if r == nil {
		return prior
	}
	return (float64(r.Failures) + prior*weight) / (float64(r.Orders) + weight)
}

// Measured is what is counted on for a kind of machine.
type Measured struct {
	ResponseKey

	Workers  int
	Samples  int
	Freed    float64       // of ordered watts: what 95 % of orders exceed, with 90 % confidence
	Shed     time.Duration // what 95 % of reductions take at most, with 90 % confidence; 0: not measured
	Return   time.Duration // likewise of returns
	Timed    int           // reductions that Shed is told by
	Slowest  time.Duration // of them
	Capped   bool          // Shed is Patience: Timed are too few to tell that anybody takes longer
	Metered  bool          // by the feeder's meter; else by the devices' own word
	Failing  float64       // share of orders that nothing comes of
	Orders   uint64
	Failures uint64
	At       time.Time // newest sample
}

// measured is what the fresh samples of a kind come to. Metered ones go before devices' words.
func (r *Response) measured(oldest time.Time, prior float64) (m Measured, ok bool) {
	m.Failing = r.failing(prior)
	if r == nil {
		return m, false
	}
	stale := 0
	for stale < len(r.Samples) && r.Samples[stale].At < oldest.Unix() {
		stale++
	}
	if q := &r.last; !q.made || q.changes != r.changes || q.stale != stale {
		*q = quantiles{made: true, changes: r.changes, stale: stale, Measured: r.bounds(oldest)}
	}
	failing := m.Failing
	m = r.last.Measured
	m.ResponseKey, m.Orders, m.Failures, m.Failing = r.ResponseKey, r.Orders, r.Failures, failing
	return m, m.Samples > 0
}

// bounds are the quantiles of the fresh samples.
func (r *Response) bounds(oldest time.Time) (m Measured) {
	var byMeter, byWord, shed, back []float64
	for _, s := range r.freshSamples(oldest) {
		switch {
		case s.Freed > 0 && s.Metered:
			byMeter = append(byMeter, s.Freed)
		case s.Freed > 0:
			byWord = append(byWord, s.Freed)
		}
		if s.Shed > 0 {
			shed = append(shed, s.Shed)
		}
		if s.Return > 0 {
			back = append(back, s.Return)
		}
		m.At = time.Unix(s.At, 0)
	}
	freed := byWord
	if m.Metered = len(byMeter) > 0; m.Metered {
		freed = byMeter
	}
	m.Samples, m.Freed = len(freed), freedBound(freed)
	m.Shed, m.Return = seconds(timeBound(shed)), seconds(timeBound(back))
	if m.Timed = len(shed); m.Timed > 0 {
		m.Slowest = seconds(slices.Max(shed))
	}
	return m
}

// patience is how long after its order a reduction that does not show is waited for. After it the worker is
// stuck, and others give way instead.
func (g *Governor) patience(w *worker) time.Duration {
	return 2*w.shedIn() + g.cfg.ShedGrace + w.wordLate(&g.cfg)
}

// within bounds the time that few samples come to. A tolerance factor of two or three of them that differ is
// half an hour; nobody is waited for so long. Who is late is replaced, and taken off as a failure.
func (m *Measured) within(patience time.Duration) {
	if most := max(patience, m.Slowest); m.Timed < freeOf && m.Shed > most {
		m.Shed, m.Capped = most, true
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(min(s, 24*3600) * float64(time.Second)).Round(100 * time.Millisecond)
}

// responseOf is what is kept of the worker's kind; nil for a kind too many.
func (g *Governor) responseOf(w *worker) *Response {
	k := w.kind()
	r := g.responses[k]
	if r == nil && len(g.responses) < MaxResponses {
		r = &Response{ResponseKey: k}
		g.responses[k] = r
	}
	return r
}

func (w *worker) kind() ResponseKey { return ResponseKey{w.Model, w.firmware} }

// sample keeps a measured answer.
func (r *Response) sample(s ResponseSample) {
	if r == nil {
		return
	}
	if len(r.Samples) >= maxSamples {
		r.Samples = slices.Delete(r.Samples, 0, len(r.Samples)-maxSamples+1)
	}
	r.Samples = append(r.Samples, s)
	r.changes++
}

// Responses are all measured answers, by model and firmware.
func (g *Governor) Responses() []Measured {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Measured
	for _, r := range g.responses {
		if m, ok := r.measured(now.Add(-g.cfg.ProofAge), g.failing()); ok {
			patience := time.Duration(0)
			for _, w := range g.workers {
				if w.kind() == r.ResponseKey {
					m.Workers++
					patience = max(patience, g.patience(w))
				}
			}
			m.within(patience)
			out = append(out, m)
		}
	}
	sortMeasured(out)
	return out
}

func sortMeasured(ms []Measured) {
	slices.SortFunc(ms, func(a, b Measured) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Firmware, b.Firmware))
	})
}

// failing is the share of orders that nothing comes of, before any was judged.
func (g *Governor) failing() float64 { return float64(g.cfg.DeratePermille) / 1000 }

// noteAnswer counts a reduction whose outcome is known. An answer by the device's own word is a sample of
// its own; one at the meter keeps the proof of a worker fresh.
func (g *Governor) noteAnswer(w *worker, now time.Time, done, byWord, byMeter bool) {
	r := g.responseOf(w)
	if r == nil {
		return
	}
	g.learnt = true
	r.Orders++
	if !done {
		r.Failures++
		return
	}
	if byMeter && g.proven(w, now) {
		w.provenAt = now
	}
	ordered := w.from - w.order.Watts
	if !byWord || ordered <= 0 || w.sentAt.IsZero() || w.feeder.commission.has(w) {
		return
	}
	r.sample(ResponseSample{
		At: now.Unix(), Freed: float64(w.from-w.reported) / float64(ordered),
		Shed: max(0.1, w.reportedAt.Sub(w.sentAt).Seconds()),
	})
}

// proven says whether the worker was seen to answer at its feeder's meter, lately enough.
func (g *Governor) proven(w *worker, now time.Time) bool {
	return !w.provenAt.IsZero() && now.Sub(w.provenAt) <= g.cfg.ProofAge
}

// passage is a feeder's metered mining from before an order until it shows.
type passage struct {
	workers  []*worker
	at       time.Time  // when it was ordered
	before   unit.Watts // mining
	readings []metered  // since, bounded
}

type metered struct {
	at    time.Time
	watts unit.Watts
}

// maxPassage bounds the readings of one passage.
const maxPassage = 4096

func (p *passage) add(at time.Time, watts unit.Watts) {
	if n := len(p.readings); at.After(p.at) && n < maxPassage && (n == 0 || at.After(p.readings[n-1].at)) {
		p.readings = append(p.readings, metered{at, watts})
	}
}

// reached is how many seconds after the order the meter first showed 95 % of the way to after; 0: never.
func (p *passage) reached(after unit.Watts) float64 {
	most := 0.95 * float64(after-p.before)
	for _, r := range p.readings {
		moved := float64(r.watts - p.before)
		if most > 0 && moved >= most || most < 0 && moved <= most {
			return max(0.1, r.at.Sub(p.at).Seconds())
		}
	}
	return 0
}

// learn follows a bulk of reductions of a real dispatch at the meter: what it freed of what was ordered
// is a sample of every kind of machine in it. A bulk that others join or that turns around teaches nothing.
func (f *feeder) learn(g *Governor, now time.Time) {
	if gap := f.now.at.Sub(f.readAt); gap > 0 {
		if !f.readAt.IsZero() {
			f.readEvery += (min(gap, g.cfg.Stale) - f.readEvery) / 4
		}
		f.readAt = f.now.at
	}
	if !f.now.fresh || f.commission != nil || f.doubt.trial != nil {
		f.bulk, f.judged = nil, now
		return
	}
	switch {
	case f.bulk == nil && f.reducedAt.After(f.judged) && f.judged.After(f.settledAt):
		f.judged = f.reducedAt
		f.bulk = f.startBulk()
	case f.bulk == nil:
		if f.still {
			f.judged, f.calmMining = now, f.now.mining
		}
	case !f.bulk.holds(f):
		f.bulk = nil
	default:
		f.bulk.add(f.now.at, f.now.mining)
		if f.still && f.now.at.After(f.settledAt.Add(2*g.cfg.Tick)) {
			g.takeBulk(f, now)
			f.bulk = nil
		}
	}
}

// startBulk is who has just been ordered down from a quiet feeder; nil if somebody returns at the same
// time.
func (f *feeder) startBulk() *passage {
	p := &passage{at: f.reducedAt, before: f.calmMining}
	for _, w := range f.workers {
		switch {
		case w.settled:
		case w.order.Watts >= w.from:
			return nil
		default:
			p.workers = append(p.workers, w)
		}
	}
	if len(p.workers) == 0 {
		return nil
	}
	return p
}

// holds says that nobody else is on his way.
func (p *passage) holds(f *feeder) bool {
	for _, w := range f.workers {
		if !w.settled && (w.order.Watts >= w.from || !slices.Contains(p.workers, w)) {
			return false
		}
	}
	return true
}

// takeBulk makes samples of a bulk that has shown itself.
func (g *Governor) takeBulk(f *feeder, now time.Time) {
	p := f.bulk
	var ordered unit.Watts
	kinds := map[ResponseKey]*worker{}
	for _, w := range p.workers {
		if !w.stuck {
			ordered += w.from - w.order.Watts
			kinds[w.kind()] = w
		}
	}
	freed := p.before - f.now.mining
	if ordered < 4*f.tolerance() || freed <= 0 {
		return // the meter cannot tell so little from its noise
	}
	for _, w := range kinds {
		g.responseOf(w).sample(ResponseSample{
			At: now.Unix(), Metered: true,
			Freed: float64(freed) / float64(ordered), Shed: p.reached(f.now.mining),
		})
	}
}
