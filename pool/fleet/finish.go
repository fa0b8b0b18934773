package fleet

import "slices"

const (
	// coreSize is how many workers around the critical slope are solved exactly.
	coreSize = 32
	// searchSteps bounds the exact search: about a tenth of a millisecond.
	searchSteps = 100_000
)

// finish solves the last few workers exactly by branch and bound: a multiple-choice
// knapsack whose bound is its own linear relaxation. It starts from the greedy
// choice, so that it can only improve on it, and stops at searchSteps.
type finish struct {
	p     *planner
	core  []int32   // classes
	segs  []segment // their hulls by slope; class is the place in core
	start []int32   // option tried first
	path  []int32
	best  []int32
	lost  float64 // of best, above the first options
	steps int
}

// solve chooses options for the classes nearest to the critical segment, which is
// planner.segs[at]; what comes before it is already taken and more watts are still needed.
func (f *finish) solve(p *planner, at int, more int64) {
	f.p = p
	f.gather(at)
	f.start, f.best = f.start[:0], f.best[:0]
	f.lost = 0
	for _, k := range f.core {
		c := &p.workers[k]
		o, first := &p.options[c.chosen], &p.options[c.from]
		more += o.freed - first.freed
		f.start = append(f.start, c.chosen)
		if k == p.segs[at].class {
			o = &p.options[p.segs[at].option]
			f.best = append(f.best, p.segs[at].option)
		} else {
			f.best = append(f.best, c.chosen)
		}
		f.lost += o.lost - first.lost
	}
	f.relaxation()
	f.path = append(f.path[:0], f.best...)
	f.steps = searchSteps
	f.search(0, more, 0)
	var freed int64
	for i, k := range f.core {
		c := &p.workers[k]
		c.chosen = f.best[i]
		freed += p.options[c.chosen].freed - p.options[c.from].freed
	}
	if freed > more {
		p.trim(f.core, freed-more)
	}
}

// gather lists the classes of the segments nearest to the critical one on both sides.
func (f *finish) gather(at int) {
	p := f.p
	f.core = append(f.core[:0], p.segs[at].class)
	critical := p.segs[at]
	before := nearest(p.segs[:at], 2*coreSize, true)
	after := nearest(p.segs[at+1:], 2*coreSize, false)
	add := func(k int32) {
		if len(f.core) < coreSize && !slices.Contains(f.core, k) {
			f.core = append(f.core, k)
		}
	}
	for i := range max(len(before), len(after)) {
		if i < len(before) {
			add(before[len(before)-1-i].class)
		}
		if i < len(after) {
			add(after[i].class)
		}
	}
	p.segs[at] = critical
}

// relaxation lists the core's hull segments by slope.
func (f *finish) relaxation() {
	for i, k := range f.core {
		f.p.workers[k].core = int32(i + 1)
	}
	f.segs = f.segs[:0]
	for _, s := range f.p.segs {
		if at := f.p.workers[s.class].core; at > 0 {
			s.class = at - 1
			f.segs = append(f.segs, s)
		}
	}
	slices.SortFunc(f.segs, func(a, b segment) int {
		if a.less(&b) {
			return -1
		}
		return 1
	})
}

// bound is the least loss at which the classes from d on could free more watts, if
// their hulls could be taken in fractions. It reports false if they cannot free them.
func (f *finish) bound(d int, more int64) (float64, bool) {
	lost := 0.0
	for i := range f.segs {
		s := &f.segs[i]
		if int(s.class) < d {
			continue
		}
		if s.freed >= more {
			return lost + s.slope*float64(more), true
		}
		lost += s.slope * float64(s.freed)
		more -= s.freed
	}
	f.steps -= len(f.segs)
	return lost, more <= 0
}

// search tries the options of class d and below it of the rest.
func (f *finish) search(d int, more int64, lost float64) {
	if more <= 0 {
		if lost < f.lost*(1-1e-12) {
			f.lost = lost
			copy(f.best, f.path[:d])
			for i := d; i < len(f.core); i++ {
				f.best[i] = f.p.workers[f.core[i]].from
			}
		}
		return
	}
	if d == len(f.core) || f.steps <= 0 {
		return
	}
	f.steps -= len(f.segs)
	if low, ok := f.bound(d, more); !ok || lost+low >= f.lost*(1-1e-12) {
		return
	}
	c := &f.p.workers[f.core[d]]
	first := &f.p.options[c.from]
	n := c.to - c.from
	for i := range 2*n + 1 { // outwards from where greedy stood
		step := (i + 1) / 2
		if i%2 == 0 {
			step = -step
		}
		j := f.start[d] + step
		if j < c.from || j >= c.to {
			continue
		}
		o := &f.p.options[j]
		f.path[d] = j
		f.search(d+1, more-(o.freed-first.freed), lost+o.lost-first.lost)
	}
}
