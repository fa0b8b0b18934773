package lease

import "math"

// at is the level at t.
func (p *profile) at(t int64) int64 { return p.peak(t, t+1) }

// peak is the highest level within [start, end).
func (p *profile) peak(start, end int64) int64 {
	if len(p.leaves) == 0 {
		return 0
	}
	s := peakScan{p: p, lo: start, hi: end}
	s.node(p.root, p.depth, math.MaxInt64)
	return s.best
}

// peakScan walks the breakpoints up to hi. acc is the level so far; best is the level
// at lo until lo is passed, then the highest since.
type peakScan struct {
	p         *profile
	lo, hi    int64
	acc, best int64
}

func (s *peakScan) node(idx uint32, depth int, next int64) {
	if depth == 0 {
		s.leaf(&s.p.leaves[idx])
		return
	}
	in := &s.p.inners[idx]
	for i := range in.n {
		first, after := in.at[i], next
		if i+1 < in.n {
			after = in.at[i+1]
		}
		switch {
		case first >= s.hi:
			return
		case after-1 <= s.lo: // wholly at or before lo
			s.acc += in.sum[i].sum
			s.best = s.acc
		case first > s.lo && after <= s.hi: // wholly inside
			s.best = max(s.best, s.acc+in.sum[i].peak)
			s.acc += in.sum[i].sum
		default:
			s.node(in.child[i], depth-1, after)
		}
	}
}

func (s *peakScan) leaf(lf *leaf) {
	for i := range lf.n {
		if lf.at[i] >= s.hi {
			return
		}
		s.acc += lf.delta[i]
		if lf.at[i] <= s.lo {
			s.best = s.acc
		} else {
			s.best = max(s.best, s.acc)
		}
	}
}

// above is the first instant at or after from at which the level is above the limit.
func (p *profile) above(from, limit int64) (int64, bool) { return p.cross(from, limit, true) }

// within is the first instant at or after from at which the level is at most the limit.
func (p *profile) within(from, limit int64) (int64, bool) { return p.cross(from, limit, false) }

func (p *profile) cross(from, limit int64, above bool) (int64, bool) {
	if (p.at(from) > limit) == above {
		return from, true
	}
	if len(p.leaves) == 0 {
		return 0, false
	}
	s := crossScan{p: p, from: from, limit: limit, above: above}
	return s.node(p.root, p.depth, math.MaxInt64)
}

// crossScan looks for the first breakpoint after from that takes the level across the limit.
type crossScan struct {
	p           *profile
	from, limit int64
	above       bool
	acc         int64
}

func (s *crossScan) node(idx uint32, depth int, next int64) (int64, bool) {
	if depth == 0 {
		return s.leaf(&s.p.leaves[idx])
	}
	in := &s.p.inners[idx]
	for i := range in.n {
		after := next
		if i+1 < in.n {
			after = in.at[i+1]
		}
		f := in.sum[i]
		if after-1 <= s.from || (in.at[i] > s.from && !s.reaches(f)) {
			s.acc += f.sum
			continue
		}
		if t, ok := s.node(in.child[i], depth-1, after); ok {
			return t, true
		}
	}
	return 0, false
}

// reaches says whether the level crosses somewhere in a run that begins now.
func (s *crossScan) reaches(f fold) bool {
	if s.above {
		return s.acc+f.peak > s.limit
	}
	return s.acc+f.trough <= s.limit
}

func (s *crossScan) leaf(lf *leaf) (int64, bool) {
	for i := range lf.n {
		s.acc += lf.delta[i]
		if lf.at[i] > s.from && (s.acc > s.limit) == s.above {
			return lf.at[i], true
		}
	}
	return 0, false
}

// earliest is the first start at or after from, and not after last, at which the level stays at
// most limit for dur seconds. Each hop over a crossing costs two searches; when the
// budget is spent it returns how far it looked.
func (p *profile) earliest(from, last, dur, limit int64) (start, searched int64, ok bool) {
	t := from
	for range hopBudget {
		if t > last {
			return 0, last, false
		}
		conflict, found := p.above(t, limit)
		if !found || conflict >= t+dur {
			return t, t, true
		}
		if t, found = p.within(conflict, limit); !found {
			return 0, last, false
		}
	}
	return 0, min(t, last), false
}

// hopBudget bounds an earliest-fit search to well below a millisecond.
const hopBudget = 128

// steps calls fn for the level at start and after every change within (start, end), until fn
// says no.
func (p *profile) steps(start, end int64, fn func(t, level int64) bool) {
	level := p.at(start)
	for t := start; fn(t, level); {
		next, ok := p.nextBreak(t)
		if !ok || next >= end {
			return
		}
		t, level = next, p.at(next)
	}
}

// nextBreak is the first breakpoint after t.
func (p *profile) nextBreak(t int64) (int64, bool) {
	if len(p.leaves) == 0 {
		return 0, false
	}
	return p.breakAfter(p.root, p.depth, t)
}

func (p *profile) breakAfter(idx uint32, depth int, t int64) (int64, bool) {
	if depth == 0 {
		lf := &p.leaves[idx]
		if i := lf.find(t + 1); i < lf.n {
			return lf.at[i], true
		}
		return 0, false
	}
	in := &p.inners[idx]
	i := in.find(t + 1)
	if next, ok := p.breakAfter(in.child[i], depth-1, t); ok {
		return next, true
	}
	if i+1 < in.n {
		return in.at[i+1], true
	}
	return 0, false
}
