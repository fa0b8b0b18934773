package fleet

import "github.com/hashlease/hashlease/pool/unit"

// choose sets every class's chosen option so that together they free need watts
// at the least loss, or as much as they can. It returns what they free.
func (p *planner) choose(need int64) int64 {
	freed := int64(0)
	for i := range p.workers {
		c := &p.workers[i]
		c.chosen = c.from
		freed += p.options[c.from].freed
	}
	if freed >= need {
		return freed
	}
	p.hulls()
	n, part := splitByFreed(p.segs, need-freed)
	if freed+part < need {
		for _, s := range p.segs {
			p.take(s)
		}
		return freed + part
	}
	critical := p.segs[n-1]
	for _, s := range p.segs[:n-1] {
		p.take(s)
	}
	freed += part - critical.freed
	if p.divide(critical, need-freed) {
		return need
	}
	p.finish.solve(p, n-1, need-freed)
	return p.total()
}

// take moves a segment's worker along its hull.
func (p *planner) take(s segment) {
	c := &p.workers[s.class]
	c.chosen = max(c.chosen, s.option)
}

// total is what the choice frees.
func (p *planner) total() int64 {
	sum := int64(0)
	for i := range p.workers {
		sum += p.options[p.workers[i].chosen].freed
	}
	return sum
}

// divide takes only as much of a segment as is needed, where the worker can
// be capped anywhere along it. Greedy by slope is then the optimum.
func (p *planner) divide(s segment, more int64) bool {
	c := &p.workers[s.class]
	a, b := &p.options[s.prev], &p.options[s.option]
	if s.option != s.prev+1 || b.mode != Capped || !p.mayCap(c.state) {
		return false
	}
	p.capAt(c, c.state.Worker.Curve.Full().Watts-unit.Watts(a.freed+more))
	return true
}

// mayCap says whether the worker may be given a new cap now.
func (p *planner) mayCap(st *WorkerState) bool {
	return st.Capability.CanCap && !(p.f.SleepFirst && st.Capability.CanPause)
}

// capAt chooses a cap that is not among the class's points.
func (p *planner) capAt(c *class, watts unit.Watts) {
	c.chosen = p.addCap(c.state, quantise(watts, c.state.Capability))
}

// addCap appends a cap outside of any class and returns its place.
func (p *planner) addCap(st *WorkerState, watts unit.Watts) int32 {
	// A pause between the options keeps addOption from comparing with another worker's.
	p.options = append(p.options, option{mode: Paused})
	p.addOption(st, Capped, watts)
	return int32(len(p.options) - 1)
}

// trim gives back what the choice frees beyond need to the one capped worker that gains
// most by it.
func (p *planner) trim(core []int32, over int64) {
	best, gain := int32(-1), unit.Hashrate(0)
	for _, k := range core {
		c := &p.workers[k]
		o := &p.options[c.chosen]
		w := c.state.Worker
		up := o.watts + unit.Watts(over)
		if o.mode != Capped || !p.mayCap(c.state) || up >= w.Curve.Full().Watts {
			continue
		}
		up = quantise(up, c.state.Capability)
		if g := w.Curve.At(up) - w.Curve.At(o.watts); g > gain {
			best, gain = k, g
		}
	}
	if best >= 0 {
		c := &p.workers[best]
		p.capAt(c, p.options[c.chosen].watts+unit.Watts(over))
	}
}
