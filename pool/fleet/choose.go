package fleet

import "github.com/hashlease/hashlease/pool/unit"

// choose takes what a node still has to have freed from the segments that are left below it, which
// begin at start, at the least loss; or as much as there is. What is left of them for the nodes above
// stays there.
func (p *planner) choose(at int32, start int) {
	n := &p.forest.nodes[at]
	segs := p.segs[start:]
	above := n.parent >= 0 && p.forest.nodes[n.parent].hulled
	k, part := splitByFreed(segs, n.need-n.freed)
	if n.freed+part < n.need {
		for _, s := range segs {
			p.take(s)
		}
		n.freed += part
		n.short = true
		p.segs = p.segs[:start]
		return
	}
	critical := segs[k-1]
	n.slope = critical.slope
	for _, s := range segs[:k-1] {
		p.take(s)
	}
	n.freed += part - critical.freed
	divided := p.divide(critical, n.need-n.freed)
	if divided && n.kid < 0 {
		p.split(n, critical, k, start, above)
		return
	}
	if divided {
		n.freed += p.options[p.workers[critical.class].chosen].freed - p.options[critical.prev].freed
	}
	p.finish.solve(p, at, segs, k-1, n.need-n.freed)
	n.freed = p.freedIn(n)
	p.leave(start, k, above)
	p.finish.release(start, above)
}

// split leaves the rest of a segment that was taken in part.
func (p *planner) split(n *node, s segment, k, start int, above bool) {
	at := p.workers[s.class].chosen
	n.freed += p.options[at].freed - p.options[s.prev].freed
	s.freed = p.options[s.option].freed - p.options[at].freed
	s.prev = at
	if p.segs[start+k-1] = s; s.freed > 0 {
		k--
	}
	p.leave(start, k, above)
}

// leave drops the first k segments from start on, or all of them if nobody above wants more.
func (p *planner) leave(start, k int, above bool) {
	if !above {
		p.segs = p.segs[:start]
		return
	}
	p.segs = append(p.segs[:start], p.segs[start+k:]...)
}

// take moves a segment's worker along its hull.
func (p *planner) take(s segment) {
	c := &p.workers[s.class]
	if p.options[s.option].freed > p.options[c.chosen].freed {
		c.chosen = s.option
	}
}

// divide takes only as much of a segment as is needed, where the worker can
// be capped anywhere along it. Greedy by slope is then the optimum.
func (p *planner) divide(s segment, more int64) bool {
	c := &p.workers[s.class]
	a, b := &p.options[s.prev], &p.options[s.option]
	if b.mode != Capped || !p.mayCap(c) {
		return false
	}
	for _, o := range p.options[c.from:c.to] {
		if o.freed > a.freed && o.freed < b.freed {
			return false // the hull is not the curve here
		}
	}
	p.capAt(c, c.state.Worker.Curve.Full().Watts-unit.Watts(a.freed+more))
	return true
}

// mayCap says whether the worker may be given a new cap now.
func (p *planner) mayCap(c *class) bool {
	can := &c.state.Capability
	return can.CanCap && !(c.sleepFirst && can.CanPause)
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

// anchor makes a class's chosen option one of its listed ones: a cap between them is put in.
func (p *planner) anchor(c *class) {
	if c.from <= c.chosen && c.chosen < c.to {
		return
	}
	o := p.options[c.chosen]
	from, at := int32(len(p.options)), int32(-1)
	for j := c.from; j < c.to; j++ {
		if at < 0 && p.options[j].freed >= o.freed {
			at = int32(len(p.options))
			if p.options[j].freed > o.freed {
				p.options = append(p.options, o)
			}
		}
		p.options = append(p.options, p.options[j])
	}
	if at < 0 {
		at = int32(len(p.options))
		p.options = append(p.options, o)
	}
	c.from, c.to, c.chosen = from, int32(len(p.options)), at
}

// trim gives back what the choice frees beyond need to the one capped worker that gains
// most by it.
func (f *finish) trim(over int64) {
	p := f.p
	best, gain, to := int32(-1), unit.Hashrate(0), unit.Watts(0)
	for i, k := range f.core {
		c := &p.workers[k]
		o := &p.options[c.chosen]
		w := c.state.Worker
		up := o.watts + unit.Watts(f.spare(i, over))
		if o.mode != Capped || !p.mayCap(c) || up >= w.Curve.Full().Watts {
			continue
		}
		up = quantise(up, c.state.Capability)
		if g := w.Curve.At(up) - w.Curve.At(o.watts); g > gain {
			best, gain, to = k, g, up
		}
	}
	if best >= 0 {
		p.capAt(&p.workers[best], to)
	}
}
