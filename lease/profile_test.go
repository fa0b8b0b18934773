package lease

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// oracle is a profile by brute force: every breakpoint in a map.
type oracle map[int64]int64

func (o oracle) add(t, d int64) {
	if o[t] += d; o[t] == 0 {
		delete(o, t)
	}
}

func (o oracle) at(t int64) (level int64) {
	for at, d := range o {
		if at <= t {
			level += d
		}
	}
	return level
}

func (o oracle) breaks() []int64 {
	var ts []int64
	for t := range o {
		ts = append(ts, t)
	}
	slices.Sort(ts)
	return ts
}

func (o oracle) peak(start, end int64) int64 {
	best := o.at(start)
	for _, t := range o.breaks() {
		if t > start && t < end {
			best = max(best, o.at(t))
		}
	}
	return best
}

func (o oracle) cross(from, limit int64, above bool) (int64, bool) {
	if (o.at(from) > limit) == above {
		return from, true
	}
	for _, t := range o.breaks() {
		if t > from && (o.at(t) > limit) == above {
			return t, true
		}
	}
	return 0, false
}

// Ensure the tree answers as brute force does, through splits, merges and shrinking.
func TestProfile_AnswersLikeBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p profile
		o := oracle{}
		span := rapid.SampledFrom([]int64{40, 400, 4000}).Draw(t, "span")
		at := rapid.Int64Range(-span, span)
		level := rapid.Int64Range(-20, 60)
		var slots [][3]int64
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			for range rapid.IntRange(0, 120).Draw(t, "adds") {
				s := [3]int64{at.Draw(t, "start"), at.Draw(t, "end"), rapid.Int64Range(-3, 9).Draw(t, "w")}
				slots = append(slots, s)
				p.addSlot(s[0], s[1], s[2])
				if s[0] < s[1] {
					o.add(s[0], s[2])
					o.add(s[1], -s[2])
				}
			}
			for range rapid.IntRange(0, len(slots)).Draw(t, "removes") {
				i := rapid.IntRange(0, len(slots)-1).Draw(t, "which")
				s := slots[i]
				slots = slices.Delete(slots, i, i+1)
				p.addSlot(s[0], s[1], -s[2])
				if s[0] < s[1] {
					o.add(s[0], -s[2])
					o.add(s[1], s[2])
				}
			}
			compare(t, &p, o, at, level)
		}
	})
}

func compare(t *rapid.T, p *profile, o oracle, at, level *rapid.Generator[int64]) {
	if p.size != len(o) {
		t.Fatalf("%d breakpoints, want %d", p.size, len(o))
	}
	for range 8 {
		from, limit := at.Draw(t, "from"), level.Draw(t, "limit")
		end := from + rapid.Int64Range(1, 100).Draw(t, "len")
		if got, want := p.at(from), o.at(from); got != want {
			t.Fatalf("at(%d) = %d, want %d", from, got, want)
		}
		if got, want := p.peak(from, end), o.peak(from, end); got != want {
			t.Fatalf("peak(%d, %d) = %d, want %d", from, end, got, want)
		}
		for _, above := range []bool{true, false} {
			got, ok := p.cross(from, limit, above)
			want, wantOK := o.cross(from, limit, above)
			if got != want || ok != wantOK {
				t.Fatalf("cross(%d, %d, %v) = %d %v, want %d %v", from, limit, above, got, ok, want, wantOK)
			}
		}
		next, ok := p.nextBreak(from)
		i, _ := slices.BinarySearch(o.breaks(), from+1)
		if bs := o.breaks(); ok != (i < len(bs)) || (ok && next != bs[i]) {
			t.Fatalf("nextBreak(%d) = %d %v, breaks %v", from, next, ok, bs)
		}
	}
	checkNode(t, p, p.root, p.depth)
}

// checkNode compares what inner nodes know with what is below them.
func checkNode(t *rapid.T, p *profile, idx uint32, depth int) (fold, int64) {
	if len(p.leaves) == 0 {
		return noFold, 0
	}
	f := noFold
	if depth == 0 {
		lf := &p.leaves[idx]
		for i := range lf.n {
			d := lf.delta[i]
			f = f.then(fold{d, d, d})
		}
		return f, lf.at[0]
	}
	in := &p.inners[idx]
	for i := range in.n {
		got, first := checkNode(t, p, in.child[i], depth-1)
		if got != in.sum[i] || first != in.at[i] {
			t.Fatalf("child %d at depth %d: knows %v from %d, is %v from %d",
				i, depth, in.sum[i], in.at[i], got, first)
		}
		f = f.then(got)
	}
	return f, in.at[0]
}

// Ensure an earliest fit is the first one, or says how far it looked.
func TestProfile_FindsTheEarliestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p profile
		for range rapid.IntRange(0, 60).Draw(t, "slots") {
			s := rapid.Int64Range(0, 300).Draw(t, "start")
			p.addSlot(s, s+rapid.Int64Range(1, 50).Draw(t, "len"), rapid.Int64Range(1, 5).Draw(t, "w"))
		}
		from, dur := rapid.Int64Range(0, 200).Draw(t, "from"), rapid.Int64Range(1, 60).Draw(t, "dur")
		limit, last := rapid.Int64Range(0, 10).Draw(t, "limit"), rapid.Int64Range(200, 500).Draw(t, "last")
		want := int64(-1)
		for s := from; s <= last && want < 0; s++ {
			if p.peak(s, s+dur) <= limit {
				want = s
			}
		}
		got, searched, ok := p.earliest(from, last, dur, limit)
		if ok != (want >= 0) || (ok && got != want) || searched < from {
			t.Fatalf("earliest = %d %v (searched %d), want %d", got, ok, searched, want)
		}
	})
}

// Ensure a search over a sawtooth ends with its budget.
func TestProfile_StopsSearchingAtTheHopBudget(t *testing.T) {
	var p profile
	for i := range int64(10_000) {
		p.addSlot(20*i, 20*i+10, 1)
	}
	start, searched, ok := p.earliest(0, math.MaxInt32, 15, 0)
	if ok || start != 0 || searched < 20*(hopBudget-1) || searched > 20*(hopBudget+1) {
		t.Fatalf("earliest = %d %v, searched until %d", start, ok, searched)
	}
}

// Ensure a profile that was emptied has given its nodes back.
func TestProfile_ReusesNodes(t *testing.T) {
	var p profile
	for range 5 {
		for i := range int64(20_000) {
			p.addSlot(3*i, 3*i+2, 7)
		}
		for i := range int64(20_000) {
			p.addSlot(3*i, 3*i+2, -7)
		}
	}
	if p.size != 0 || p.depth != 0 || len(p.leaves) > 2*40_000/(fanout/2) {
		t.Fatalf("size %d, depth %d, %d leaves", p.size, p.depth, len(p.leaves))
	}
	if got := p.peak(math.MinInt32, math.MaxInt32); got != 0 {
		t.Fatalf("peak %d of an empty profile", got)
	}
}
