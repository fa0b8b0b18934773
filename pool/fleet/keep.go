package fleet

import (
	"math"
	"slices"
)

// known is a plan that is known already.
type known uint8

const (
	inForce known = iota // what the machines are told now
	wanted               // what the plan before this one wants
)

// of is the option that a worker has in it, -1 if it is not open now.
func (k known) of(c *class) int32 {
	if k == inForce {
		return c.present
	}
	return c.wanted
}

// below is what it comes to below a node.
func (k known) below(n *node) standing {
	if k == inForce {
		return n.present
	}
	return n.wanted
}

// stay keeps what is in force already, or what the plan before this one wanted, where the new choice is not
// worth disturbing machines: for the whole tree, else feeder by feeder.
func (p *planner) stay(top int32) {
	if p.keepAny(top) {
		return
	}
	n := &p.forest.nodes[top]
	fits := p.fits(top, inForce, n.keep == 0)
	if fits && p.exchanges(top) && p.returnsAreBetter(top) && p.keepAny(top) {
		return
	}
	if n.feeder == nil {
		p.keepFeeders(top)
	}
}

func (p *planner) keepAny(top int32) bool {
	for k := inForce; k <= wanted; k++ {
		if p.keep(top, k) {
			p.adopt(&p.forest.nodes[top], k)
			return true
		}
	}
	return false
}

func (p *planner) adopt(n *node, k known) {
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		c.chosen = k.of(c)
	}
}

// keepFeeders keeps what is known below single feeders, as far as what is above them has room.
func (p *planner) keepFeeders(at int32) {
	n := &p.forest.nodes[at]
	if n.feeder == nil {
		for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
			p.keepFeeders(k)
		}
		return
	}
	for k := inForce; k <= wanted; k++ {
		if p.keep(at, k) && p.bears(n.parent, k.below(n).freed-p.freedIn(n)) {
			p.adopt(n, k)
			return
		}
	}
}

// bears says whether all nodes from here up still free enough if what is below them frees so much more, or
// less; it then notes it.
func (p *planner) bears(at int32, more int64) bool {
	for up := at; up >= 0; up = p.forest.nodes[up].parent {
		n := &p.forest.nodes[up]
		if freed := p.freedIn(n) + more; more < 0 && freed < n.need {
			return false
		}
	}
	return true
}

// keep says whether states that are known already should stand below a node, the present ones or those on
// which the plan before this one had settled: they fit, and a change would neither regain enough watts nor
// save enough money to be worth disturbing machines. Half the margin may be used up for that.
// Without it a plan whose returns have to wait would be made anew, and differently,
// with every watt that the need moves by.
func (p *planner) keep(at int32, k known) bool {
	n := &p.forest.nodes[at]
	if !p.fits(at, k, n.keep == 0) {
		return false
	}
	s := sums{same: true}
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		s.add(p, p.state(c), &p.options[k.of(c)], &p.options[c.chosen])
	}
	if s.same {
		return false
	}
	if n.keep == 0 {
		return s.knownLost <= s.chosenLost
	}
	if s.chosenFreed == 0 && n.need <= -n.keep {
		return false // nobody has to give way any more
	}
	slope := 0.0
	if s.chosenFreed > 0 {
		slope = s.chosenLost / float64(s.chosenFreed)
	}
	worth := max(s.knownLost/20, slope*float64(n.keep), 0)
	saved := s.knownLost - s.chosenLost
	return saved <= math.Abs(s.knownLost)*1e-9 ||
		s.knownFreed-s.chosenFreed < n.keep && (saved < worth || saved*p.hours < s.change)
}

// sums compare known states with chosen ones.
type sums struct {
	knownFreed, chosenFreed int64
	knownLost, chosenLost   float64
	change                  float64 // what it costs once to go from one to the other
	same                    bool
}

func (s *sums) add(p *planner, st *WorkerState, known, chosen *option) {
	s.knownFreed += known.freed
	s.chosenFreed += chosen.freed
	s.knownLost += known.lost
	s.chosenLost += chosen.lost
	s.change += p.changeCost(st, known, chosen)
	s.same = s.same && known.mode == chosen.mode && known.freed == chosen.freed
}

// fits says whether known states free enough at every node from here down, but for half the margin unless
// it is to be exactly.
func (p *planner) fits(at int32, k known, exactly bool) bool {
	n := &p.forest.nodes[at]
	b, slack := k.below(n), n.margin/2
	if exactly {
		slack = 0
	}
	if !b.open || b.freed < n.need-slack || n.feeder != nil && b.freed > n.most && b.freed > p.freedIn(n) {
		return false
	}
	for kid := n.kid; kid >= 0; kid = p.forest.nodes[kid].sib {
		if !p.fits(kid, k, exactly) {
			return false
		}
	}
	return true
}

// changeCost is what it costs to go from one option to another: a machine that returns draws power
// before it earns, for as long as it says that its return takes.
func (p *planner) changeCost(st *WorkerState, from, to *option) float64 {
	if to.freed >= from.freed {
		return 0
	}
	return (from.lost - to.lost) * st.Capability.ReturnIn.Hours()
}

// exchanges says whether the choice sends machines down for others to return.
func (p *planner) exchanges(top int32) bool {
	up, down := false, false
	n := &p.forest.nodes[top]
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		if c.present < 0 {
			return false
		}
		d := p.options[c.chosen].freed - p.options[c.present].freed
		up, down = up || d < 0, down || d > 0
	}
	return up && down
}

// returnsAreBetter tries what returns alone would do, and stays with that if the exchange would cost more,
// machines' returns included, than it saves while the claims in force last, or while there is time for
// sleep only.
func (p *planner) returnsAreBetter(top int32) bool {
	exchange := p.weigh()
	p.remember()
	p.pass(top, noFurther)
	only := p.weigh()
	hurried := slices.ContainsFunc(p.workers, func(c class) bool { return c.sleepFirst })
	pays := !hurried && (exchange.knownLost-exchange.chosenLost)*p.hours >= exchange.change
	if !pays || (only.chosenLost-exchange.chosenLost)*p.hours <= exchange.change-only.change {
		return true
	}
	p.pass(top, anyWay)
	p.recall()
	return false
}

// remember notes the choice, and recall makes it again after another pass.
func (p *planner) remember() {
	p.kept = p.kept[:0]
	for i := range p.workers {
		p.kept = append(p.kept, p.options[p.workers[i].chosen])
	}
}

func (p *planner) recall() {
	for i := range p.workers {
		p.options = append(p.options, p.kept[i])
		p.workers[i].chosen = int32(len(p.options) - 1)
	}
}

// weigh compares the present with the choice.
func (p *planner) weigh() sums {
	var s sums
	for i := range p.workers {
		c := &p.workers[i]
		s.add(p, p.state(c), &p.options[c.present], &p.options[c.chosen])
	}
	return s
}
