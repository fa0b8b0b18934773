package lease

import "math"

// fanout is the width of a node: wide enough that 100,000 slots are three levels, narrow
// enough that summing a node is faster than a cache miss.
const fanout = 64

// profile is a step function of time, the sum of deltas at breakpoints, as a B+tree in
// two arenas without pointers. For every subtree it knows the sum, the highest and the lowest
// prefix sum, so that the peak of a window and the next crossing of a level take O(log n).
//
// A feeder's profile is booked watts less deliverable watts: at most 0 while nothing is overbooked.
// The zero value is empty and ready.
type profile struct {
	leaves     []leaf
	inners     []inner
	freeLeaves []uint32
	freeInners []uint32
	root       uint32
	depth      int // levels of inner nodes above the leaves
	size       int // breakpoints
}

type leaf struct {
	n     int
	at    [fanout]int64
	delta [fanout]int64
}

type inner struct {
	n     int
	at    [fanout]int64 // first breakpoint of the child
	sum   [fanout]fold
	child [fanout]uint32
}

// fold is what a run of breakpoints does: their sum, and the extremes of its prefixes.
type fold struct{ sum, peak, trough int64 }

// then is the fold of a run followed by another.
func (f fold) then(g fold) fold {
	return fold{f.sum + g.sum, max(f.peak, f.sum+g.peak), min(f.trough, f.sum+g.trough)}
}

var noFold = fold{0, math.MinInt64 / 2, math.MaxInt64 / 2}

// addSlot adds w over [start, end).
func (p *profile) addSlot(start, end, w int64) {
	if start < end {
		p.add(start, w)
		p.add(end, -w)
	}
}

// add changes the step at t by d. A step that becomes 0 is gone.
func (p *profile) add(t, d int64) {
	if d == 0 {
		return
	}
	if len(p.leaves) == 0 {
		p.root = p.newLeaf()
	}
	if right, split := p.addBelow(p.root, p.depth, t, d); split {
		r := p.newInner()
		in := &p.inners[r]
		in.n, in.child[0], in.child[1] = 2, p.root, right
		p.refresh(in, 0, p.depth)
		p.refresh(in, 1, p.depth)
		p.root, p.depth = r, p.depth+1
	}
	for p.depth > 0 && p.inners[p.root].n <= 1 {
		old := p.root
		if p.inners[old].n == 1 {
			p.root, p.depth = p.inners[old].child[0], p.depth-1
		} else {
			p.root, p.depth = p.newLeaf(), 0
		}
		p.freeInners = append(p.freeInners, old)
	}
}

// addBelow adds to the subtree; if the node had to be split it returns the new right half.
func (p *profile) addBelow(idx uint32, depth int, t, d int64) (uint32, bool) {
	if depth == 0 {
		return p.addLeaf(idx, t, d)
	}
	in := &p.inners[idx]
	i := in.find(t)
	child := in.child[i]
	right, split := p.addBelow(child, depth-1, t, d)
	in = &p.inners[idx] // the arena may have moved
	if p.count(child, depth-1) == 0 {
		in.remove(i)
		p.release(child, depth-1)
		return 0, false
	}
	p.refresh(in, i, depth-1)
	if !split {
		return 0, false
	}
	if in.n < fanout {
		in.insert(i+1, right)
		p.refresh(in, i+1, depth-1)
		return 0, false
	}
	r := p.newInner()
	in, out := &p.inners[idx], &p.inners[r]
	const half = fanout / 2
	out.n = copy(out.at[:], in.at[half:])
	copy(out.sum[:], in.sum[half:])
	copy(out.child[:], in.child[half:])
	in.n = half
	into, at := in, i+1
	if at > half {
		into, at = out, at-half
	}
	into.insert(at, right)
	p.refresh(into, at, depth-1)
	return r, true
}

func (p *profile) addLeaf(idx uint32, t, d int64) (uint32, bool) {
	lf := &p.leaves[idx]
	i := lf.find(t)
	if i < lf.n && lf.at[i] == t {
		if lf.delta[i] += d; lf.delta[i] == 0 {
			copy(lf.at[i:], lf.at[i+1:lf.n])
			copy(lf.delta[i:], lf.delta[i+1:lf.n])
			lf.n--
			p.size--
		}
		return 0, false
	}
	p.size++
	if lf.n < fanout {
		lf.insert(i, t, d)
		return 0, false
	}
	r := p.newLeaf()
	lf, out := &p.leaves[idx], &p.leaves[r]
	const half = fanout / 2
	out.n = copy(out.at[:], lf.at[half:])
	copy(out.delta[:], lf.delta[half:])
	lf.n = half
	if i > half {
		out.insert(i-half, t, d)
	} else {
		lf.insert(i, t, d)
	}
	return r, true
}

// find is the first breakpoint at or after t.
func (lf *leaf) find(t int64) int {
	lo, hi := 0, lf.n
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); lf.at[m] < t {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

func (lf *leaf) insert(i int, t, d int64) {
	copy(lf.at[i+1:lf.n+1], lf.at[i:lf.n])
	copy(lf.delta[i+1:lf.n+1], lf.delta[i:lf.n])
	lf.at[i], lf.delta[i] = t, d
	lf.n++
}

// find is the child that t belongs to: the last that begins at or before it, or the first.
func (in *inner) find(t int64) int {
	lo, hi := 1, in.n
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); in.at[m] <= t {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo - 1
}

func (in *inner) insert(i int, child uint32) {
	copy(in.at[i+1:in.n+1], in.at[i:in.n])
	copy(in.sum[i+1:in.n+1], in.sum[i:in.n])
	copy(in.child[i+1:in.n+1], in.child[i:in.n])
	in.child[i] = child
	in.n++
}

func (in *inner) remove(i int) {
	copy(in.at[i:], in.at[i+1:in.n])
	copy(in.sum[i:], in.sum[i+1:in.n])
	copy(in.child[i:], in.child[i+1:in.n])
	in.n--
}

// refresh recomputes what the node knows of its i-th child, a subtree of the given depth.
func (p *profile) refresh(in *inner, i, depth int) {
	f := noFold
	if depth == 0 {
		lf := &p.leaves[in.child[i]]
		for _, d := range lf.delta[:lf.n] {
			f.sum += d
			f.peak, f.trough = max(f.peak, f.sum), min(f.trough, f.sum)
		}
		in.at[i] = lf.at[0]
	} else {
		c := &p.inners[in.child[i]]
		for j := range c.n {
			f = f.then(c.sum[j])
		}
		in.at[i] = c.at[0]
	}
	in.sum[i] = f
}

func (p *profile) count(idx uint32, depth int) int {
	if depth == 0 {
		return p.leaves[idx].n
	}
	return p.inners[idx].n
}

func (p *profile) newLeaf() uint32 {
	if k := len(p.freeLeaves); k > 0 {
		i := p.freeLeaves[k-1]
		p.freeLeaves = p.freeLeaves[:k-1]
		return i
	}
	p.leaves = append(p.leaves, leaf{})
	return uint32(len(p.leaves) - 1)
}

func (p *profile) newInner() uint32 {
	if k := len(p.freeInners); k > 0 {
		i := p.freeInners[k-1]
		p.freeInners = p.freeInners[:k-1]
		return i
	}
	p.inners = append(p.inners, inner{})
	return uint32(len(p.inners) - 1)
}

// release gives back an empty node. Empty inner nodes have no children left to give back.
func (p *profile) release(idx uint32, depth int) {
	if depth == 0 {
		p.freeLeaves = append(p.freeLeaves, idx)
		return
	}
	p.freeInners = append(p.freeInners, idx)
}
