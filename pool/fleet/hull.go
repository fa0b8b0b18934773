package fleet

import "slices"

// segment is one step along a worker's hull: so many more watts freed at so
// much an additional watt.
type segment struct {
	slope  float64
	freed  int64
	class  int32
	option int32 // reached by the step
	prev   int32 // left by it
}

// less orders segments by slope. Within a worker slopes ascend, so a prefix of the
// order is always a prefix of every hull; ties go by position, for determinism.
func (a *segment) less(b *segment) bool {
	if a.slope != b.slope {
		return a.slope < b.slope
	}
	if a.class != b.class {
		return a.class < b.class
	}
	return a.option < b.option
}

// hull appends the segments of a class's lower convex hull, from one of its options on.
func (p *planner) hull(k, from int32) {
	segs, base := p.segs, len(p.segs)
	options := p.options[:p.workers[k].to]
	at := from // the last option on the hull so far
	for j := from + 1; int(j) < len(options); j++ {
		o := &options[j]
		freed, lost := o.freed-options[at].freed, o.lost-options[at].lost
		for len(segs) > base && segs[len(segs)-1].slope*float64(freed) >= lost {
			last := len(segs) - 1 // it lies on or above the line from the one before it to this one
			at, segs = segs[last].prev, segs[:last]
			freed, lost = o.freed-options[at].freed, o.lost-options[at].lost
		}
		if freed > 0 {
			segs = append(segs, segment{
				slope: lost / float64(freed), freed: freed, class: k, option: j, prev: at,
			})
			at = j
		}
	}
	p.segs = segs
}

// splitByFreed partitions the segments so that the shortest prefix of the
// ascending order that frees need watts or more comes first; it returns the prefix's length and what
// it frees. The prefix's last element is its greatest. It runs in linear time on average.
func splitByFreed(segs []segment, need int64) (n int, freed int64) {
	lo, hi := 0, len(segs)
	for lo < hi {
		m := partition(segs[lo:hi]) + lo
		var part int64
		for i := lo; i <= m; i++ {
			part += segs[i].freed
		}
		switch {
		case freed+part < need:
			freed += part
			lo = m + 1
		case freed+part-segs[m].freed >= need:
			hi = m
		default:
			return m + 1, freed + part
		}
	}
	return lo, freed
}

// partition moves what is less than a middling element before it and returns its place.
func partition(s []segment) int {
	last := len(s) - 1
	mid := last / 2
	if s[mid].less(&s[0]) {
		s[mid], s[0] = s[0], s[mid]
	}
	if s[last].less(&s[0]) {
		s[last], s[0] = s[0], s[last]
	}
	if s[mid].less(&s[last]) {
		s[mid], s[last] = s[last], s[mid]
	}
	pivot := s[last] // the median of three
	at := 0
	for i := range last {
		if s[i].less(&pivot) {
			s[i], s[at] = s[at], s[i]
			at++
		}
	}
	s[at], s[last] = s[last], s[at]
	return at
}

// nearest sorts the k greatest segments of s to its end, or the k least to its front.
func nearest(s []segment, k int, greatest bool) []segment {
	if len(s) > k {
		lo, hi, at := 0, len(s), k
		if greatest {
			at = len(s) - k
		}
		for hi-lo > 1 {
			m := partition(s[lo:hi]) + lo
			if m == at {
				break
			}
			if m < at {
				lo = m + 1
			} else {
				hi = m
			}
		}
		if greatest {
			s = s[at:]
		} else {
			s = s[:at]
		}
	}
	slices.SortFunc(s, func(a, b segment) int {
		if a.less(&b) {
			return -1
		}
		return 1
	})
	return s
}
