package fleet

import (
	"math"
	"slices"
)

const (
	// fewSegments are looked at without finding out first which of them matter.
	fewSegments = 4096
	// negligible is by how much of its cost a plan may be dearer for a quick end.
	negligible = 1e-5
	// mostRounds bounds how often a node is solved anew because nodes below bind by themselves.
	mostRounds = 16
)

// solve chooses below a node. Where the cheapest states free enough, only what is below it may have to give
// way for limits of its own.
func (p *planner) solve(at int32) {
	n := &p.forest.nodes[at]
	if n.freed < n.need {
		start := len(p.segs)
		p.emit(at)
		p.bind(at, true)
		p.segs = p.segs[:start]
		return
	}
	if n.kid < 0 {
		return
	}
	n.freed = 0
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.solve(k)
		n.freed += p.forest.nodes[k].freed
	}
	for i := n.mine; i < n.to; i++ {
		n.freed += p.options[p.workers[i].chosen].freed
	}
}

// emit lists the hulls of all workers below a node, in their order.
func (p *planner) emit(at int32) {
	n := &p.forest.nodes[at]
	n.fixed = false
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.emit(k)
	}
	n.segs = int32(len(p.segs))
	for i := n.mine; i < n.to; i++ {
		p.hull(i, p.workers[i].from)
	}
	n.segsEnd = int32(len(p.segs))
}

// bind has a node's workers free what it needs, at the least loss, or all that they can. It first looks at
// the node as if nothing below had a limit. Nodes below that are left with too little then bind by
// themselves, at a higher price of a watt than the others, which need less for it: their price falls, so
// that each round finds fewer such nodes. For limits that lie within each other this ends at the optimum
// of the relaxed problem. After mostRounds nodes below are made good once more, and that is it.
//
// fresh: nobody below has been moved yet.
func (p *planner) bind(at int32, fresh bool) {
	n := &p.forest.nodes[at]
	for round := 0; ; round++ {
		if !fresh || round > 0 {
			p.reopen(at)
		}
		n.slope = 0
		critical, k, ok := segment{}, -1, true
		if n.freed < n.need {
			critical, k, ok = p.level(at, n.need-n.freed)
		}
		switch {
		case ok:
		case round < mostRounds && p.release(at): // together they are enough
			round = mostRounds
			continue
		default:
			p.all(at)
			n.short = true
			return
		}
		p.sum(at)
		if p.credit(at, critical, k, 1); round < mostRounds && p.mend(at, critical.slope) {
			continue
		}
		p.credit(at, critical, k, -1)
		if k >= 0 {
			n.slope = critical.slope
			p.last(at, critical, k)
			p.sum(at)
		}
		if !p.mend(at, n.slope) || round >= mostRounds {
			p.sum(at)
			return
		}
	}
}

// credit counts a segment that will be taken at a node, if there is one, to those between it and its worker.
func (p *planner) credit(at int32, s segment, k int, times int64) {
	if k < 0 {
		return
	}
	for up := p.workers[s.class].leaf; up != at; up = p.forest.nodes[up].parent {
		p.forest.nodes[up].freed += times * s.freed
	}
}

// release reports whether there are nodes below one that bind by themselves, and lets them bind with it.
func (p *planner) release(at int32) bool {
	any := false
	for k := p.forest.nodes[at].kid; k >= 0; k = p.forest.nodes[k].sib {
		any = p.release(k) || p.forest.nodes[k].fixed || any
		p.forest.nodes[k].fixed = false
	}
	return any
}

// all takes everything below a node.
func (p *planner) all(at int32) {
	n := &p.forest.nodes[at]
	n.freed, n.fixed = 0, false
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.all(k)
		n.freed += p.forest.nodes[k].freed
	}
	for _, s := range p.segs[n.segs:n.segsEnd] {
		p.workers[s.class].chosen = s.option
	}
	for i := n.mine; i < n.to; i++ {
		n.freed += p.options[p.workers[i].chosen].freed
	}
}

// last frees what is left to be freed once all but the critical segment is settled, which is near[k].
func (p *planner) last(at int32, critical segment, k int) {
	n := &p.forest.nodes[at]
	if p.divide(critical, n.need-n.freed) {
		switch {
		case !p.enough(at, critical):
			p.workers[critical.class].chosen = critical.prev
		case p.anyFixed(at):
			n.freed += p.options[p.workers[critical.class].chosen].freed - p.options[critical.prev].freed
		default:
			return
		}
	}
	if !p.anyFixed(at) && p.divideNext(at, critical, k) {
		return
	}
	p.finish.solve(p, at, p.near, k, n.need-n.freed)
}

// divideNext takes what is left in part from the next best segment that can be divided, where that costs
// next to nothing: in a large fleet there are many of nearly the same slope.
func (p *planner) divideNext(at int32, critical segment, k int) bool {
	n := &p.forest.nodes[at]
	more := n.need - n.freed
	next, found := segment{}, false
	for _, s := range p.near[k+1:] {
		c := &p.workers[s.class]
		if s.freed > more && c.chosen == s.prev && s.class != critical.class && p.mayCap(c) &&
			(!found || s.less(&next)) {
			next, found = s, true
		}
	}
	dearer := (next.slope - critical.slope) * float64(more)
	if !found || dearer > negligible*critical.slope*float64(n.need) || !p.divide(next, more) {
		return false
	}
	if !p.enough(at, next) {
		p.workers[next.class].chosen = next.prev
		return false
	}
	return true
}

// enough says whether all nodes below one that a worker hangs on have enough, as it is chosen now.
func (p *planner) enough(at int32, s segment) bool {
	c := &p.workers[s.class]
	more := p.options[c.chosen].freed - p.options[s.prev].freed
	for up := c.leaf; up != at; up = p.forest.nodes[up].parent {
		if n := &p.forest.nodes[up]; n.freed+more < n.need {
			return false
		}
	}
	return true
}

// reopen puts all workers below a node into their cheapest states, but for those of nodes that are settled,
// and adds up what that frees.
func (p *planner) reopen(at int32) {
	n := &p.forest.nodes[at]
	n.freed = 0
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		if !p.forest.nodes[k].fixed {
			p.reopen(k)
		}
		n.freed += p.forest.nodes[k].freed
	}
	for i := n.mine; i < n.to; i++ {
		c := &p.workers[i]
		c.chosen = c.from
		n.freed += p.options[c.from].freed
	}
}

// sum adds up what the choice frees below a node.
func (p *planner) sum(at int32) int64 {
	n := &p.forest.nodes[at]
	if n.fixed {
		return n.freed
	}
	n.freed = 0
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		n.freed += p.sum(k)
	}
	for i := n.mine; i < n.to; i++ {
		n.freed += p.options[p.workers[i].chosen].freed
	}
	return n.freed
}

// mend lets the nodes below one bind that are left with too little at its price of a watt, and reports
// whether there are any. One that needs less than that price once those below it bind by themselves goes on
// with it.
func (p *planner) mend(at int32, price float64) bool {
	mended := false
	for k := p.forest.nodes[at].kid; k >= 0; k = p.forest.nodes[k].sib {
		switch n := &p.forest.nodes[k]; {
		case n.fixed:
		case n.freed < n.need:
			p.bind(k, false)
			n.fixed, mended = n.short || n.slope >= price, true
		case n.kid >= 0:
			mended = p.mend(k, price) || mended
		}
	}
	return mended
}

func (p *planner) anyFixed(at int32) bool {
	for k := p.forest.nodes[at].kid; k >= 0; k = p.forest.nodes[k].sib {
		if p.forest.nodes[k].fixed || p.anyFixed(k) {
			return true
		}
	}
	return false
}

// level takes the cheapest segments below a node that together free so many watts, but for the last of them:
// that is the critical one, near[k], and what is just before and after it is around it. It reports false if
// all are not enough.
func (p *planner) level(at int32, more int64) (critical segment, k int, ok bool) {
	lo, hi := p.guess(at, more)
	left := more - p.collect(at, lo, hi)
	k, part := splitByFreed(p.near, left)
	if (left <= 0 || part < left) && (!math.IsInf(lo, -1) || !math.IsInf(hi, 1)) { // a bad guess
		p.reopen(at)
		left = more - p.collect(at, math.Inf(-1), math.Inf(1))
		k, part = splitByFreed(p.near, left)
	}
	if part < left {
		return segment{}, 0, false
	}
	critical = p.near[k-1]
	for _, s := range p.near[:k-1] {
		p.take(s)
	}
	return critical, k - 1, true
}

// guess brackets the critical slope by looking at some of the segments, about four times the square root of
// how many there are. It may be off by four times what chance moves it by.
func (p *planner) guess(at int32, more int64) (lo, hi float64) {
	lo, hi = math.Inf(-1), math.Inf(1)
	count := p.countSegs(at)
	if count <= fewSegments {
		return lo, hi
	}
	p.sample = p.sample[:0]
	all, _ := p.pick(at, int(math.Sqrt(float64(count))/4), 0)
	bracket := int(2 * math.Sqrt(float64(len(p.sample))))
	slices.SortFunc(p.sample, func(a, b slope) int {
		if a.slope < b.slope {
			return -1
		}
		if a.slope > b.slope {
			return 1
		}
		return 0
	})
	var part int64
	for _, s := range p.sample {
		part += s.freed
	}
	want, i := float64(more)/float64(max(1, all))*float64(part), 0
	for sum := 0.0; i < len(p.sample); i++ {
		if sum += float64(p.sample[i].freed); sum >= want {
			break
		}
	}
	if i >= bracket {
		lo = p.sample[i-bracket].slope
	}
	if i+bracket < len(p.sample) {
		hi = p.sample[i+bracket].slope
	}
	return lo, hi
}

// slope is what a guess needs of a segment.
type slope struct {
	slope float64
	freed int64
}

func (p *planner) countSegs(at int32) int {
	n := &p.forest.nodes[at]
	count := int(n.segsEnd - n.segs)
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		if !p.forest.nodes[k].fixed {
			count += p.countSegs(k)
		}
	}
	return count
}

// pick takes every so manyth segment below a node into the sample, the first after skip of them. It returns
// what all free together, and how many the next node has to skip.
func (p *planner) pick(at int32, every, skip int) (all int64, left int) {
	n := &p.forest.nodes[at]
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		if !p.forest.nodes[k].fixed {
			var below int64
			below, skip = p.pick(k, every, skip)
			all += below
		}
	}
	segs := p.segs[n.segs:n.segsEnd]
	for i := n.mine; i < n.to; i++ {
		c := &p.workers[i]
		all += p.options[c.to-1].freed - p.options[c.from].freed
	}
	for ; skip < len(segs); skip += every {
		p.sample = append(p.sample, slope{segs[skip].slope, segs[skip].freed})
	}
	return all, skip - len(segs)
}

// collect takes the segments below lo, lists those up to hi in near, and returns what the first free.
func (p *planner) collect(at int32, lo, hi float64) int64 {
	p.near = p.near[:0]
	return p.collectBelow(at, lo, hi)
}

func (p *planner) collectBelow(at int32, lo, hi float64) (freed int64) {
	n := &p.forest.nodes[at]
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		if !p.forest.nodes[k].fixed {
			freed += p.collectBelow(k, lo, hi)
		}
	}
	segs := p.segs[n.segs:n.segsEnd]
	for i := range segs {
		s := &segs[i]
		if s.slope < lo {
			freed += s.freed
			p.workers[s.class].chosen = s.option
		} else if s.slope <= hi {
			p.near = append(p.near, *s)
		}
	}
	return freed
}
