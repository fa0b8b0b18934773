package fleet

import "github.com/hashlease/hashlease/pool/unit"

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
	p.capAt(c, c.full.Watts-unit.Watts(a.freed+more))
	return true
}

// mayCap says whether the worker may be given a new cap now.
func (p *planner) mayCap(c *class) bool {
	can := &p.state(c).Capability
	return can.CanCap && !(c.sleepFirst && can.CanPause)
}

// capAt chooses a cap that is not among the class's points.
func (p *planner) capAt(c *class, watts unit.Watts) {
	c.chosen = p.addCap(p.state(c), quantise(watts, &p.state(c).Capability))
}

// addCap appends a cap outside of any class and returns its place.
func (p *planner) addCap(st *WorkerState, watts unit.Watts) int32 {
	// A pause between the options keeps addRated from comparing with another worker's.
	p.options = append(p.options, option{mode: Paused})
	p.begin(st)
	p.addCapped(watts)
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
		w := p.state(c).Worker
		up := c.full.Watts - unit.Watts(o.freed-f.spare(i, over))
		if p.to == nobody || p.to == noneReturns && c.sleepFirst {
			up = min(up, c.full.Watts-unit.Watts(c.now))
		}
		if o.mode != Capped || !p.mayCap(c) || up >= w.Curve.Full().Watts {
			continue
		}
		up = quantise(up, &p.state(c).Capability)
		if g := w.Curve.At(up) - o.rate; g > gain {
			best, gain, to = k, g, up
		}
	}
	if best >= 0 {
		p.capAt(&p.workers[best], to)
	}
}
