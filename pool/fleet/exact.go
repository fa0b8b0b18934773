package fleet

import (
	"cmp"
	"math"
	"slices"
)

const (
	// proven is by how much of its cost a plan may be dearer than the least that is possible at all
	// before the exact search looks for a better one.
	proven = 0.004
	// exactClasses and exactCells bound the exact search: workers whose states are open to it, and
	// sums of watts that are told apart. exactSteps bounds it in all.
	exactClasses = 256
	exactCells   = 4096
	exactSteps   = 6_000_000
)

// exact looks for a plan below one top that is cheaper than greedy's, where that is not proven to be good.
// Each node has a price of a watt: its critical slope, beyond what the nodes above it pay. With each worker
// in the state that loses least at the prices above it, the sum is a bound that no plan goes below. What
// any other state loses more than that is its penalty; no worker whose least penalty is above the gap
// between plan and bound can take part in a better plan. Those that remain, usually few, are solved by
// dynamic programming over freed watts (a core in Pisinger's sense), node by node, within the gap.
type exact struct {
	p      *planner
	gap    float64
	free   []int32 // by class: the state that loses least at the prices
	some   []open  // workers with another state within the gap, by class
	layers []layer
	slots  []int32 // by sum of watts: 1 + its cell
	span   int64   // sums from -span to span are looked at
	width  int64   // that one cell stands for
	base   float64 // lost to limits below which nobody is open
	steps  int
}

// open is a worker whose state is to be searched for.
type open struct {
	class int32
	least float64 // penalty
}

// layer is what a group of workers can free, in cells without an order. prev is the layer without its last
// worker, or without the other group.
type layer struct {
	class       int32 // the last worker, -1: other is added
	prev, other int32
	cells       []cell
}

// cell is one sum of watts, beyond those of the free choice, and the least penalty for it.
type cell struct {
	freed   int64
	penalty float64
	from    int32 // in prev
	by      int32 // the option of the last worker, or the cell of the other layer
}

// improve replaces the choice below a top by a better one, where there may be one that is worth it.
func (e *exact) improve(p *planner, top int32) {
	e.p = p
	if binds, short := p.binding(top); !binds || short {
		return
	}
	n := &p.forest.nodes[top]
	e.free = slices.Grow(e.free[:0], len(p.workers))[:len(p.workers)]
	low := e.price(top, 0)
	cost := 0.0
	for i := n.from; i < n.to; i++ {
		cost += p.options[p.workers[i].chosen].lost
	}
	if e.gap = cost - low; e.gap <= proven*math.Abs(low) {
		return
	}
	e.list(n)
	e.layers, e.base, e.steps = e.layers[:0], 0, exactSteps
	e.layer(layer{class: -1}, cell{})
	end := e.node(top, 0)
	if end <= 0 || e.steps <= 0 || len(e.layers[end].cells) == 0 {
		return
	}
	if best := e.layers[end].cells[0]; best.penalty+e.base < e.gap*(1-1e-9) {
		for i := n.from; i < n.to; i++ {
			p.workers[i].chosen = e.free[i]
		}
		e.take(end, 0)
	}
}

// binding says whether from here down a node had others give way for it, and whether one falls short.
func (p *planner) binding(at int32) (binds, short bool) {
	n := &p.forest.nodes[at]
	binds, short = n.slope > 0, n.short
	for k := n.kid; k >= 0 && !short; k = p.forest.nodes[k].sib {
		b, s := p.binding(k)
		binds, short = binds || b, short || s
	}
	return binds, short
}

// price finds the free choice of every worker, at the prices of a watt from above, and with it what
// any plan loses at least below a node.
func (e *exact) price(at int32, above float64) float64 {
	p := e.p
	n := &p.forest.nodes[at]
	n.price = max(above, n.slope)
	low := (n.price - above) * float64(n.need)
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		low += e.price(k, n.price)
	}
	for i := n.mine; i < n.to; i++ {
		c := &p.workers[i]
		best, least := c.from, math.Inf(1)
		for j := c.from; j < c.to; j++ {
			o := &p.options[j]
			if v := o.lost - n.price*float64(o.freed); v < least {
				best, least = j, v
			}
		}
		e.free[i] = best
		low += least
	}
	return low
}

// penalty is what an option of a class loses beyond its free choice, at its price, and what it frees more.
func (e *exact) penalty(k, j int32) (float64, int64) {
	p := e.p
	o, free := &p.options[j], &p.options[e.free[k]]
	more := o.freed - free.freed
	return max(0, o.lost-free.lost-p.forest.nodes[p.workers[k].leaf].price*float64(more)), more
}

// list finds the workers that are open, and how far sums of watts may go.
func (e *exact) list(n *node) {
	p := e.p
	e.some = e.some[:0]
	far := int64(1)
	for k := n.from; k < n.to; k++ {
		c := &p.workers[k]
		least := math.Inf(1)
		for j := c.from; j < c.to; j++ {
			if j == e.free[k] {
				continue
			}
			if lost, more := e.penalty(k, j); lost <= e.gap {
				least = min(least, lost)
				far = max(far, more, -more)
			}
		}
		if least <= e.gap {
			e.some = append(e.some, open{k, least})
		}
	}
	if len(e.some) > exactClasses {
		slices.SortFunc(e.some, func(a, b open) int {
			return cmp.Or(cmp.Compare(a.least, b.least), cmp.Compare(a.class, b.class))
		})
		e.some = e.some[:exactClasses]
		slices.SortFunc(e.some, func(a, b open) int { return cmp.Compare(a.class, b.class) })
	}
	e.span = 4 * far
	e.width = max(1, (2*e.span+exactCells-1)/exactCells)
	e.slots = slices.Grow(e.slots[:0], exactCells+1)[:exactCells+1]
}

// below are the open workers of some classes.
func (e *exact) below(from, to int32) []open {
	find := func(k int32) int {
		at, _ := slices.BinarySearchFunc(e.some, k, func(o open, k int32) int {
			return cmp.Compare(o.class, k)
		})
		return at
	}
	return e.some[find(from):find(to)]
}

// layer starts a layer and returns its place.
func (e *exact) layer(l layer, cells ...cell) int32 {
	if n := len(e.layers); n < cap(e.layers) {
		l.cells = e.layers[:n+1][n].cells[:0] // its space is used again
	}
	l.cells = append(l.cells, cells...)
	e.layers = append(e.layers, l)
	return int32(len(e.layers) - 1)
}

// node adds all open workers below a node to a layer, and leaves out what would leave the node short. It
// returns -1 if nothing is left.
func (e *exact) node(at, on int32) int32 {
	p := e.p
	n := &p.forest.nodes[at]
	price := n.price
	if n.parent >= 0 {
		price -= p.forest.nodes[n.parent].price
	}
	slack := -n.need
	for i := n.from; i < n.to; i++ {
		slack += p.options[e.free[i]].freed
	}
	if len(e.below(n.from, n.to)) == 0 {
		if e.base += price * float64(slack); slack < 0 {
			return -1
		}
		return on
	}
	bound := slack < e.span || price > 0
	start := on
	if bound {
		start = 0
	}
	for k := n.kid; k >= 0 && start >= 0; k = p.forest.nodes[k].sib {
		start = e.node(k, start)
	}
	if start < 0 {
		return -1
	}
	for _, o := range e.below(n.mine, n.to) {
		start = e.add(start, o.class)
	}
	if !bound {
		return start
	}
	e.keep(start, slack, price)
	if on == 0 {
		return start
	}
	return e.merge(on, start)
}

// keep drops what leaves a node short, charges the rest for what it frees too much, and sorts it.
func (e *exact) keep(at int32, slack int64, price float64) {
	l := &e.layers[at]
	kept := l.cells[:0]
	for _, c := range l.cells {
		c.penalty += price * float64(slack+c.freed)
		if slack+c.freed >= 0 && c.penalty <= e.gap {
			kept = append(kept, c)
		}
	}
	slices.SortFunc(kept, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.penalty, b.penalty), cmp.Compare(a.freed, b.freed))
	})
	l.cells = kept
}

// add puts one worker to a layer.
func (e *exact) add(on, k int32) int32 {
	at := e.layer(layer{class: k, prev: on})
	clear(e.slots)
	c := &e.p.workers[k]
	l := &e.layers[at]
	for j := c.from; j < c.to; j++ {
		lost, more := e.penalty(k, j)
		if lost > e.gap {
			continue
		}
		e.steps -= len(e.layers[on].cells)
		if e.steps <= 0 {
			return at
		}
		for i, b := range e.layers[on].cells {
			e.put(l, cell{freed: b.freed + more, penalty: b.penalty + lost, from: int32(i), by: j})
		}
	}
	return at
}

// merge puts two layers together, the second of which is sorted.
func (e *exact) merge(on, other int32) int32 {
	at := e.layer(layer{class: -1, prev: on, other: other})
	clear(e.slots)
	l := &e.layers[at]
	for i, a := range e.layers[on].cells {
		for j, b := range e.layers[other].cells {
			e.steps--
			if a.penalty+b.penalty > e.gap || e.steps <= 0 {
				break
			}
			e.put(l, cell{a.freed + b.freed, a.penalty + b.penalty, int32(i), int32(j)})
		}
	}
	return at
}

// put notes a sum of watts, if it is within the gap and none cheaper is known.
func (e *exact) put(l *layer, c cell) {
	if c.penalty > e.gap || c.freed < -e.span || c.freed >= e.span {
		return
	}
	slot := &e.slots[(c.freed+e.span)/e.width]
	if *slot == 0 {
		l.cells = append(l.cells, c)
		*slot = int32(len(l.cells))
		return
	}
	known := &l.cells[*slot-1]
	if c.penalty < known.penalty || c.penalty == known.penalty && c.freed > known.freed {
		*known = c
	}
}

// take chooses what led to a cell.
func (e *exact) take(at, i int32) {
	for at > 0 {
		l := &e.layers[at]
		c := l.cells[i]
		if l.class >= 0 {
			e.p.workers[l.class].chosen = c.by
		} else {
			e.take(l.other, c.by)
		}
		at, i = l.prev, c.from
	}
}
