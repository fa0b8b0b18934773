package fleet

import (
	"slices"

	"github.com/hashlease/hashlease/pool/unit"
)

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

// classes lists the options of every worker on a node that takes orders, and adds up what all draw
// uncurtailed, others as they are.
func (p *planner) classes(at int32, workers []int32, to way) {
	n := &p.forest.nodes[at]
	p.relaxed = n.level
	for _, i := range workers {
		st := &p.snap.Workers[i]
		if st.Worker.Pinned || !st.Reachable {
			n.full += st.Draw
			continue
		}
		from := int32(len(p.options))
		p.listOptions(st)
		p.bar(st, from, to)
		c := class{
			state: st, full: st.Worker.Curve.Full(), index: i, leaf: at, sleepFirst: p.f.SleepFirst,
			listed: from, from: from, to: int32(len(p.options)), end: int32(len(p.options)),
		}
		n.full += c.full.Watts
		c.present = p.optionPresent(&c)
		c.wanted = p.optionWanted(&c)
		c.from = p.cheapest(&c)
		p.workers = append(p.workers, c)
	}
}

// bar drops options that are too slow for the next claim, or that go where nobody may, and notes which
// rules kept options out.
func (p *planner) bar(st *WorkerState, from int32, to way) {
	slow := p.relaxed < relaxSlow && p.notice > 0 && st.Capability.ShedIn > p.notice
	if (to == noFurther || slow) && p.onlyUp(st, from) && slow {
		p.passed[relaxSlow] = true
	}
	if to == noneReturns && p.f.SleepFirst {
		p.onlyDown(st, from)
	}
	if p.relaxed < relaxMinRun && p.minRunBinds(st) {
		p.passed[relaxMinRun] = true
	}
	if p.relaxed < relaxTerms && st.Terms.bind() {
		p.passed[relaxTerms] = true
	}
}

// optionPresent is the option that is in force, -1 if it is not open now.
func (p *planner) optionPresent(c *class) int32 {
	st := c.state
	for j := c.from; j < c.to; j++ {
		if o := &p.options[j]; o.mode == st.Mode && (o.mode != Capped || o.watts == st.Watts) {
			return j
		}
	}
	return -1
}

// onlyUp drops the options, listed from one on, that free more than the present state. It reports
// whether there were any.
func (p *planner) onlyUp(st *WorkerState, from int32) bool {
	w := st.Worker
	now := int64(w.Curve.Full().Watts - w.Draw(st.Mode, st.Watts))
	n := len(p.options)
	for n > int(from)+1 && p.options[n-1].freed > now {
		n--
	}
	dropped := n < len(p.options)
	p.options = p.options[:n]
	return dropped
}

// onlyDown drops the options, listed from one on, that free less than the present state.
func (p *planner) onlyDown(st *WorkerState, from int32) {
	w := st.Worker
	now := int64(w.Curve.Full().Watts - w.Draw(st.Mode, st.Watts))
	n := int(from)
	for n < len(p.options)-1 && p.options[n].freed < now {
		n++
	}
	p.options = slices.Delete(p.options, int(from), n)
}

// optionWanted is the option that the plan before this one wants, -1 if it is not open now.
func (p *planner) optionWanted(c *class) int32 {
	want := c.state.Want
	if want == nil {
		return -1
	}
	for j := c.from; j < c.to; j++ {
		if o := &p.options[j]; o.mode == want.Mode && (o.mode != Capped || o.watts == want.Watts) {
			return j
		}
	}
	curve := c.state.Worker.Curve
	least, most := max(curve[0].Watts, c.state.Capability.Min), curve.Full().Watts
	open := want.Mode == Capped && p.mayCap(c) && c.to-c.from > 1 // else its dwell time binds it
	if !open || want.Watts < least || want.Watts >= most {
		return -1
	}
	return p.addCap(c.state, want.Watts)
}

// minRunBinds says whether the worker woke too recently to pause.
func (p *planner) minRunBinds(st *WorkerState) bool {
	return st.Mode != Paused && !st.Since.IsZero() && p.now.Sub(st.Since) < st.Worker.MinRun
}

// listOptions appends what a worker may be told, ascending by freed watts: full power, points of
// its curve that it can be capped to, sleep.
func (p *planner) listOptions(st *WorkerState) {
	w := st.Worker
	kept := p.relaxed < relaxTerms
	if st.Mode == Paused && !st.Since.IsZero() && p.now.Sub(st.Since) < w.MinOff {
		p.addOption(st, Paused, 0)
		return
	}
	p.addOption(st, Free, 0)
	if st.Terms.KeepFull && kept {
		return
	}
	if st.Capability.CanCap {
		p.listCaps(st)
	} else if st.Mode == Capped {
		p.addOption(st, Capped, st.Watts)
	}
	open := p.relaxed >= relaxMinRun || !p.minRunBinds(st)
	open = open && !(st.Terms.KeepAwake && kept)
	if st.Mode == Paused || st.Capability.CanPause && open {
		p.addOption(st, Paused, 0)
	}
}

// listCaps appends the running points below full power, highest first, with the
// present cap among them. A machine that can sleep is capped only if there is time.
func (p *planner) listCaps(st *WorkerState) {
	c := st.Worker.Curve
	present := unit.Watts(-1)
	if st.Mode == Capped {
		present = st.Watts
	}
	points := c
	if p.f.SleepFirst && st.Capability.CanPause {
		points = c[len(c)-1:]
	}
	for i := len(points) - 2; i >= -1; i-- {
		below := unit.Watts(0)
		if i >= 0 {
			below = quantise(points[i].Watts, st.Capability)
		}
		above := i+1 == len(points)-1 || present < points[i+1].Watts
		if above && present > below && present < c.Full().Watts {
			p.addOption(st, Capped, present)
		}
		if i < 0 || below < max(c[0].Watts, st.Capability.Min) {
			continue
		}
		if below == points[i].Watts {
			p.addRated(st, Capped, below, points[i].Hashrate)
			continue
		}
		p.addOption(st, Capped, below)
	}
}

// quantise rounds a cap down to what the device can be set to.
func quantise(w unit.Watts, c Capability) unit.Watts {
	if c.Step <= 1 || w <= c.Min {
		return w
	}
	return c.Min + (w-c.Min)/c.Step*c.Step
}

// addOption appends one state. Pausing a running worker costs a share of its wear.
func (p *planner) addOption(st *WorkerState, m Mode, watts unit.Watts) {
	p.addRated(st, m, watts, st.Worker.Rate(m, watts))
}

// addRated is addOption with the hashrate known.
func (p *planner) addRated(st *WorkerState, m Mode, watts unit.Watts, rate unit.Hashrate) {
	w := st.Worker
	full := w.Curve.Full()
	price := p.price
	if price == 0 {
		price = 1
	}
	o := option{freed: int64(full.Watts - w.Draw(m, watts)), mode: m, watts: watts}
	o.lost = float64(full.Hashrate-rate)*3600*price - p.tariff*float64(o.freed)
	if m == Paused && st.Mode != Paused && p.price > 0 {
		perHour := p.perHour
		if o.lost < 0 {
			perHour = p.dearFor
		}
		o.lost += float64(w.Wear) * perHour
	}
	if st.Terms.KeepFromPrice {
		o.lost = max(0, o.lost)
	}
	o.lost += p.bias(st, &o)
	if n := len(p.options); m == Capped && p.options[n-1].mode == Capped && p.options[n-1].freed >= o.freed {
		return // rounding made it the same as the one before
	}
	p.options = append(p.options, o)
}

// hull appends the segments of a class's lower convex hull, from one of its options on.
func (p *planner) hull(k, from int32) {
	c := &p.workers[k]
	stack := p.stack[:0]
	for j := from; j < c.to; j++ {
		o := &p.options[j]
		for len(stack) > 0 && p.bends(stack, j) {
			stack = stack[:len(stack)-1]
		}
		if n := len(stack); n == 0 || o.freed > p.options[stack[n-1]].freed {
			stack = append(stack, j)
		}
	}
	for i := 1; i < len(stack); i++ {
		a, b := &p.options[stack[i-1]], &p.options[stack[i]]
		p.segs = append(p.segs, segment{
			slope: (b.lost - a.lost) / float64(b.freed-a.freed), freed: b.freed - a.freed,
			class: k, option: stack[i], prev: stack[i-1],
		})
	}
	p.stack = stack
}

// bends says that the last option of the stack lies on or above the line from the one before
// it to j, or costs no less than j while freeing less; it then has no place on the hull.
func (p *planner) bends(stack []int32, j int32) bool {
	n := len(stack)
	if n < 2 {
		return false
	}
	a, b, c := &p.options[stack[n-2]], &p.options[stack[n-1]], &p.options[j]
	return (b.lost-a.lost)*float64(c.freed-a.freed) >= (c.lost-a.lost)*float64(b.freed-a.freed)
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
