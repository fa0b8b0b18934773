package fleet

import "slices"

const (
	// coreSize is how many workers around the critical slope are solved exactly.
	coreSize = 32
	// searchSteps bounds this search: about a tenth of a millisecond for all nodes that bind together,
	// each up to a quarter of what is left, but no fewer than leastSteps.
	searchSteps = 400_000
	leastSteps  = 2000
)

// finish solves the last few workers of a node exactly by branch and bound: a multiple-choice
// knapsack whose bound is its own linear relaxation. It starts from the greedy
// choice, so that it can only improve on it, and stops after its share of searchSteps.
// Nodes below keep what they need.
type finish struct {
	p      *planner
	core   []int32   // classes
	segs   []segment // their hulls by slope; class is the place in core
	start  []int32   // option tried first
	path   []int32
	best   []int32
	lost   float64 // of best, above the first options
	steps  int
	groups []group // nodes below that core workers hang on
	chain  []int32 // groups of each core worker, one after the other
	chains []int32 // where those of each core worker end in chain
}

// group is a node below the one that is solved.
type group struct {
	node  int32
	slack int64 // freed there beyond its own need
	last  int   // the last core worker below it
}

// solve chooses options for the classes nearest to the critical segment, which is
// segs[at]; what comes before it is already taken and more watts are still needed. If that is not above 0, of
// the critical one as much is already taken as is needed.
func (f *finish) solve(p *planner, node int32, segs []segment, at int, more int64) {
	f.p = p
	divided := more <= 0
	critical := segs[at]
	f.gather(node, segs, at)
	for _, k := range f.core {
		p.anchor(&p.workers[k])
	}
	f.collect(node)
	f.start, f.best = f.start[:0], f.best[:0]
	f.lost = 0
	for _, k := range f.core {
		c := &p.workers[k]
		o, first := &p.options[c.chosen], &p.options[c.from]
		more += o.freed - first.freed
		f.start = append(f.start, c.chosen)
		if k == critical.class && !divided {
			o = &p.options[critical.option]
			f.best = append(f.best, critical.option)
		} else {
			f.best = append(f.best, c.chosen)
		}
		f.lost += o.lost - first.lost
	}
	f.relaxation()
	f.path = append(f.path[:0], f.best...)
	most := max(p.searches/4, leastSteps)
	f.steps = most
	f.search(0, more, 0)
	p.searches -= most - f.steps
	var freed int64
	for i, k := range f.core {
		c := &p.workers[k]
		c.chosen = f.best[i]
		o := &p.options[c.chosen]
		freed += o.freed - p.options[c.from].freed
		f.shift(i, o.freed-p.options[f.start[i]].freed)
	}
	if over := freed - more; over > 0 {
		f.trim(over)
	}
}

// gather lists the classes of the segments nearest to the critical one on both sides, and if there is
// place left those that the nodes below have already moved.
func (f *finish) gather(node int32, segs []segment, at int) {
	f.core = append(f.core[:0], segs[at].class)
	before := nearest(segs[:at], 2*coreSize, true)
	after := nearest(segs[at+1:], 2*coreSize, false)
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
	n := &f.p.forest.nodes[node]
	for k := n.from; n.kid >= 0 && k < n.to && len(f.core) < coreSize; k++ {
		add(k)
	}
}

// collect finds the nodes between the core's workers and the one that is solved.
func (f *finish) collect(node int32) {
	p := f.p
	f.groups, f.chain, f.chains = f.groups[:0], f.chain[:0], f.chains[:0]
	for i, k := range f.core {
		for at := p.workers[k].leaf; at != node; at = p.forest.nodes[at].parent {
			g := slices.IndexFunc(f.groups, func(g group) bool { return g.node == at })
			if g < 0 {
				g = len(f.groups)
				n := &p.forest.nodes[at]
				slack := p.freedIn(n) - n.need
				if n.short {
					slack = max(0, slack)
				}
				f.groups = append(f.groups, group{node: at, slack: slack})
			}
			f.groups[g].last = i
			f.chain = append(f.chain, int32(g))
		}
		f.chains = append(f.chains, int32(len(f.chain)))
	}
}

// above are the groups of one core worker.
func (f *finish) above(i int) []int32 {
	from := int32(0)
	if i > 0 {
		from = f.chains[i-1]
	}
	return f.chain[from:f.chains[i]]
}

// shift notes that a core worker frees so much more. It reports false if a node below, all of whose
// core workers are decided, is then left short.
func (f *finish) shift(i int, more int64) bool {
	ok := true
	for _, g := range f.above(i) {
		f.groups[g].slack += more
		ok = ok && (f.groups[g].last != i || f.groups[g].slack >= 0)
	}
	return ok
}

// spare is how much of over one core worker may take back.
func (f *finish) spare(i int, over int64) int64 {
	for _, g := range f.above(i) {
		over = min(over, max(0, f.groups[g].slack))
	}
	return over
}

// relaxation lists the core's hull segments by slope.
func (f *finish) relaxation() {
	p := f.p
	mark := len(p.segs)
	f.segs = f.segs[:0]
	for i, k := range f.core {
		at := len(p.segs)
		p.hull(k, p.workers[k].from)
		for _, s := range p.segs[at:] {
			s.class = int32(i)
			f.segs = append(f.segs, s)
		}
	}
	p.segs = p.segs[:mark]
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
	if more <= 0 {
		return 0, true
	}
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
	if more <= 0 && (len(f.groups) == 0 || d == len(f.core)) {
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
	began := f.p.options[f.start[d]].freed
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
		if f.shift(d, o.freed-began) {
			f.search(d+1, more-(o.freed-first.freed), lost+o.lost-first.lost)
		}
		f.shift(d, began-o.freed)
	}
}
