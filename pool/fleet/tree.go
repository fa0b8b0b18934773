package fleet

import (
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// tree plans everything below one top node: each node that has to give way as if nothing below had a limit,
// and those below by themselves that are left with too little. For limits that lie within each other this is
// the optimum of the relaxed problem; the last few workers of each node that binds are solved exactly.
func (p *planner) tree(top int32) {
	p.horizon(top)
	p.pass(top, anyWay)
	for p.raise(top, false) {
		p.pass(top, anyWay)
	}
	p.hurry(top)
	p.stay(top)
}

// way is where a pass may move machines.
type way uint8

const (
	anyWay      way = iota
	noFurther       // nobody is told to go further down than now
	noneReturns     // nobody returns who is down where there is time for sleep only
	nobody          // ... or anywhere
)

// hurry has more machines yield, and nobody return for it, where more is to be freed than is, and there is
// time for sleep only: who yields for another's return frees watts that nobody has asked for until that
// one is back. Once there is time the exchange is made, see returnsAreBetter; unless the return would cost
// more than it saves while the claims in force last.
func (p *planner) hurry(top int32) {
	n := &p.forest.nodes[top]
	hurried := slices.ContainsFunc(p.workers, func(c class) bool { return c.sleepFirst })
	if hurried && p.swaps(top, n.keep == 0) {
		p.remember()
		p.pass(top, noneReturns)
		if _, short := p.binding(top); short {
			p.pass(top, anyWay)
			p.recall()
		}
	}
	if !p.swaps(top, n.keep == 0) {
		return
	}
	exchange := p.weigh()
	p.remember()
	p.pass(top, nobody)
	only := p.weigh()
	_, short := p.binding(top)
	if short || (only.chosenLost-exchange.chosenLost)*p.hours > exchange.change-only.change {
		p.pass(top, anyWay)
		p.recall()
	}
}

// swaps says whether the choice, which is enough, exchanges machines although what is in force is not enough.
func (p *planner) swaps(top int32, exactly bool) bool {
	_, short := p.binding(top)
	return !short && p.exchanges(top) && !p.fits(top, inForce, exactly)
}

// horizon finds how long what is decided now will last, from the claims below the top.
func (p *planner) horizon(top int32) {
	var left, notice time.Duration
	claimed := false
	p.eachFeeder(top, func(n *node) {
		left = max(left, longestClaim(n.caps, p.now))
		for i := range n.caps {
			c := &n.caps[i]
			if p.now.Before(c.Begins()) {
				continue
			}
			claimed = true
			if until := c.From.Sub(p.now); until > 0 && (notice == 0 || until < notice) {
				notice = until
			}
		}
	})
	p.perHour, p.left, p.notice = cyclesPerHour(left), left, notice
	priced := false
	p.eachFeeder(top, func(n *node) {
		left = max(left, p.setTariff(n.feeder, p.left))
		priced = priced || p.tariff != 0
	})
	if !claimed && !priced {
		left = 24 * time.Hour // a limit alone binds for as long as nobody changes it
	}
	p.hours = left.Hours()
}

func (p *planner) eachFeeder(at int32, do func(*node)) {
	n := &p.forest.nodes[at]
	if n.feeder != nil {
		do(n)
		return
	}
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.eachFeeder(k, do)
	}
}

// pass lists options and chooses among them.
func (p *planner) pass(top int32, to way) {
	p.workers, p.options, p.segs = p.workers[:0], p.options[:0], p.segs[:0]
	p.passed, p.to = [relaxTerms + 1]bool{}, to
	p.list(top, nil, to)
	p.tally(top)
	p.searches = searchSteps
	p.solve(top)
	p.exact.improve(p, top)
}

// list makes the classes below a node, and adds up what they would draw and have to free.
func (p *planner) list(at int32, f *FeederState, to way) {
	n := &p.forest.nodes[at]
	if n.feeder != nil {
		f = n.feeder
	}
	n.from, n.full, n.short, n.slope = int32(len(p.workers)), 0, false, 0
	n.present, n.wanted = standing{open: true}, standing{open: true}
	for k := n.kid; k >= 0; {
		p.list(k, f, to)
		kid := &p.forest.nodes[k]
		n.full += kid.full
		n.present.add(kid.present)
		n.wanted.add(kid.wanted)
		k = kid.sib
	}
	n.mine = int32(len(p.workers))
	p.f = f
	p.setTariff(f, p.left)
	if f != nil {
		p.classes(at, p.forest.workers(at), to)
	}
	n.to = int32(len(p.workers))
	if n.feeder != nil {
		p.keepWarm(n)
	}
	n.need = int64(n.full - (n.bound - unit.Watts(n.margin) - n.excess))
}

// tally begins with the cheapest state of everybody, and adds up what that frees below each node.
func (p *planner) tally(at int32) {
	n := &p.forest.nodes[at]
	n.freed = 0
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.tally(k)
		n.freed += p.forest.nodes[k].freed
	}
	for i := n.mine; i < n.to; i++ {
		c := &p.workers[i]
		c.base, c.chosen = c.from, c.from
		n.freed += p.options[c.from].freed
	}
}

// raise lets rules give way below nodes that fall short, one after the other and only where they kept
// options out. It reports whether there is anything new to try.
func (p *planner) raise(at int32, above bool) bool {
	n := &p.forest.nodes[at]
	above = above || n.short
	raised := false
	for l := n.level + 1; above && l <= relaxTerms && !raised; l++ {
		if p.passed[l] {
			n.level, raised = l, true
		}
	}
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		raised = p.raise(k, above) || raised
	}
	return raised
}

// freedIn is what the choice frees below a node.
func (p *planner) freedIn(n *node) int64 {
	sum := int64(0)
	for i := n.from; i < n.to; i++ {
		sum += p.options[p.workers[i].chosen].freed
	}
	return sum
}
