package fleet

import (
	"slices"

	"github.com/hashlease/hashlease/pool/unit"
)

// listing is the worker whose options are being listed.
type listing struct {
	st    *WorkerState
	full  Point
	now   int64 // watts below full power in its present state
	young bool  // it woke too recently to pause
	plain bool  // options cost lost income alone, and wear
}

// begin turns to another worker.
func (p *planner) begin(st *WorkerState) {
	w := st.Worker
	p.w = listing{
		st: st, full: w.Curve.Full(), young: p.minRunBinds(st),
		plain: p.tariff == 0 && p.relaxed < relaxTerms,
	}
	p.w.now = int64(p.w.full.Watts - w.Draw(st.Mode, st.Watts))
}

// classes lists the options of every worker on a node that takes orders, and adds up what all draw
// uncurtailed, others as they are.
func (p *planner) classes(at int32, workers []int32, to way) {
	n := &p.forest.nodes[at]
	p.relaxed = n.level
	p.workers = slices.Grow(p.workers, len(workers))
	for k, i := range workers {
		if k%ahead == 0 {
			p.fetch(workers[k:min(k+ahead, len(workers))])
		}
		st := &p.snap.Workers[i]
		if st.Worker.Pinned || !st.Reachable {
			n.full += st.Draw
			continue
		}
		from := int32(len(p.options))
		p.begin(st)
		p.listOptions()
		p.bar(from, to)
		end := int32(len(p.options))
		p.workers = append(p.workers, class{
			full: p.w.full, now: p.w.now, mode: st.Mode, index: i, leaf: at, sleepFirst: p.f.SleepFirst,
			listed: from, from: from, to: end, end: end,
		})
		c := &p.workers[len(p.workers)-1]
		n.full += c.full.Watts
		c.present = p.optionPresent(c)
		c.wanted = p.optionWanted(c)
		c.from = p.cheapest(c)
		n.present.count(p, c.present)
		n.wanted.count(p, c.wanted)
	}
}

// ahead is how many workers are fetched from memory together.
const ahead = 16

// fetch looks at what will be needed of some workers soon. Each is spread over memory: one after the other, a
// large fleet would wait for it most of the time.
func (p *planner) fetch(workers []int32) {
	sum := unit.Watts(0)
	for _, i := range workers {
		if c := p.snap.Workers[i].Worker.Curve; len(c) > 0 {
			sum += c[0].Watts + c[len(c)/2].Watts + c[len(c)-1].Watts
		}
	}
	p.fetched = sum // so that nobody finds that this does nothing
}

// standing is what all below a node free together in states that are known already.
type standing struct {
	freed int64
	open  bool // all of these states are open now
}

func (s *standing) count(p *planner, option int32) {
	if option < 0 {
		s.open = false
		return
	}
	s.freed += p.options[option].freed
}

func (s *standing) add(b standing) {
	s.freed += b.freed
	s.open = s.open && b.open
}

// bar drops options that are too slow for the next claim, or that go where nobody may, and notes which
// rules kept options out.
func (p *planner) bar(from int32, to way) {
	st := p.w.st
	slow := p.relaxed < relaxSlow && p.notice > 0 && st.Capability.ShedIn > p.notice
	if (to == noFurther || slow) && p.onlyUp(from) && slow {
		p.passed[relaxSlow] = true
	}
	if to == nobody || to == noneReturns && p.f.SleepFirst {
		p.onlyDown(from)
	}
	if p.relaxed < relaxMinRun && p.w.young {
		p.passed[relaxMinRun] = true
	}
	if p.relaxed < relaxTerms && st.Terms.bind() {
		p.passed[relaxTerms] = true
	}
}

// optionPresent is the option that is in force, -1 if it is not open now.
func (p *planner) optionPresent(c *class) int32 {
	for j := c.from; j < c.to; j++ {
		if o := &p.options[j]; o.is(c.mode, c.now) {
			return j
		}
	}
	return -1
}

// onlyUp drops the options, listed from one on, that free more than the present state. It reports
// whether there were any.
func (p *planner) onlyUp(from int32) bool {
	n := len(p.options)
	for n > int(from)+1 && p.options[n-1].freed > p.w.now {
		n--
	}
	dropped := n < len(p.options)
	p.options = p.options[:n]
	return dropped
}

// onlyDown drops the options, listed from one on, that free less than the present state.
func (p *planner) onlyDown(from int32) {
	n := int(from)
	for n < len(p.options)-1 && p.options[n].freed < p.w.now {
		n++
	}
	p.options = slices.Delete(p.options, int(from), n)
}

// optionWanted is the option that the plan before this one wants, -1 if it is not open now.
func (p *planner) optionWanted(c *class) int32 {
	want := p.state(c).Want
	if want == nil {
		return -1
	}
	for j := c.from; j < c.to; j++ {
		if o := &p.options[j]; o.is(want.Mode, int64(c.full.Watts-want.Watts)) {
			return j
		}
	}
	curve := p.state(c).Worker.Curve
	least, most := max(curve[0].Watts, p.state(c).Capability.Min), curve.Full().Watts
	open := want.Mode == Capped && p.mayCap(c) && c.to-c.from > 1 // else its dwell time binds it
	if !open || want.Watts < least || want.Watts >= most {
		return -1
	}
	return p.addCap(p.state(c), want.Watts)
}

// minRunBinds says whether the worker woke too recently to pause.
func (p *planner) minRunBinds(st *WorkerState) bool {
	return st.Mode != Paused && !st.Since.IsZero() && p.now.Sub(st.Since) < st.Worker.MinRun
}

// listOptions appends what a worker may be told, ascending by freed watts: full power, points of
// its curve that it can be capped to, sleep.
func (p *planner) listOptions() {
	st := p.w.st
	kept := p.relaxed < relaxTerms
	if st.Mode == Paused && !st.Since.IsZero() && p.now.Sub(st.Since) < st.Worker.MinOff {
		p.addRated(Paused, 0, 0)
		return
	}
	p.addRated(Free, 0, p.w.full.Hashrate)
	if st.Terms.KeepFull && kept {
		return
	}
	p.listCapped()
	open := p.relaxed >= relaxMinRun || !p.w.young
	open = open && !(st.Terms.KeepAwake && kept)
	if st.Mode == Paused || st.Capability.CanPause && open {
		p.addRated(Paused, 0, 0)
	}
}

// listCapped appends the caps that the worker may be told.
func (p *planner) listCapped() {
	switch st := p.w.st; {
	case st.Capability.CanCap && p.w.plain && st.Capability.Step <= 1 && st.Mode != Capped:
		p.listPoints()
	case st.Capability.CanCap:
		p.listCaps()
	case st.Mode == Capped:
		p.addCapped(st.Watts)
	}
}

// listPoints is listCaps for most: any cap can be set, none is, and there is nothing to pay but the income.
func (p *planner) listPoints() {
	st := p.w.st
	if p.f.SleepFirst && st.Capability.CanPause {
		return
	}
	c, full := st.Worker.Curve, p.w.full
	least := st.Capability.Min
	for i := len(c) - 2; i >= 0 && c[i].Watts >= least; i-- {
		p.options = append(p.options, option{
			freed: int64(full.Watts - c[i].Watts), lost: float64(full.Hashrate-c[i].Hashrate) * p.perHash,
			rate: c[i].Hashrate, mode: Capped,
		})
	}
}

// listCaps appends the running points below full power, highest first, with the
// present cap among them. A machine that can sleep is capped only if there is time.
func (p *planner) listCaps() {
	st := p.w.st
	c := st.Worker.Curve
	present := unit.Watts(-1)
	if st.Mode == Capped {
		present = st.Watts
	}
	points := c
	if p.f.SleepFirst && st.Capability.CanPause {
		points = c[len(c)-1:]
	}
	for i := len(points) - 2; i >= -1; i-- {
		below := unit.Watts(0)
		if i >= 0 {
			below = quantise(points[i].Watts, &st.Capability)
		}
		above := i+1 == len(points)-1 || present < points[i+1].Watts
		if above && present > below && present < p.w.full.Watts {
			p.addCapped(present)
		}
		if i < 0 || below < max(c[0].Watts, st.Capability.Min) {
			continue
		}
		if below == points[i].Watts {
			p.addRated(Capped, below, points[i].Hashrate)
			continue
		}
		p.addCapped(below)
	}
}

// quantise rounds a cap down to what the device can be set to.
func quantise(w unit.Watts, c *Capability) unit.Watts {
	if c.Step <= 1 || w <= c.Min {
		return w
	}
	return c.Min + (w-c.Min)/c.Step*c.Step
}

// addCapped appends one cap.
func (p *planner) addCapped(watts unit.Watts) {
	p.addRated(Capped, watts, p.w.st.Worker.Curve.At(watts))
}

// addRated appends one state whose hashrate is known. Pausing a running worker costs a share of its wear.
func (p *planner) addRated(m Mode, watts unit.Watts, rate unit.Hashrate) {
	st := p.w.st
	o := option{freed: int64(p.w.full.Watts - st.Worker.Draw(m, watts)), rate: rate, mode: m}
	o.lost = float64(p.w.full.Hashrate-rate)*p.perHash - p.tariff*float64(o.freed)
	if m == Paused && st.Mode != Paused && p.price > 0 {
		perHour := p.perHour
		if o.lost < 0 {
			perHour = p.dearFor
		}
		o.lost += float64(st.Worker.Wear) * perHour
	}
	if st.Terms.KeepFromPrice {
		o.lost = max(0, o.lost)
	}
	if !p.w.plain {
		o.lost += p.bias(st, &o)
	}
	if n := len(p.options); m == Capped && p.options[n-1].mode == Capped && p.options[n-1].freed >= o.freed {
		return // rounding made it the same as the one before
	}
	p.options = append(p.options, o)
}
