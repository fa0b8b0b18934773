package fleet

import (
	"math"
	"slices"

	"github.com/hashlease/hashlease/pool/unit"
)

// stay keeps what is in force already, or what the plan before this one wanted, where the new choice is not
// worth disturbing machines: for the whole tree, else feeder by feeder.
func (p *planner) stay(top int32) {
	known := []func(*class) int32{
		func(c *class) int32 { return c.present }, func(c *class) int32 { return c.wanted },
	}
	if p.keepAny(top, known) {
		return
	}
	n := &p.forest.nodes[top]
	fits := p.fits(top, known[0], n.keep == 0)
	if fits && p.exchanges(top) && p.returnsAreBetter(top) && p.keepAny(top, known) {
		return
	}
	if n.feeder == nil {
		p.keepFeeders(top, known)
	}
}

func (p *planner) keepAny(top int32, known []func(*class) int32) bool {
	for _, k := range known {
		if p.keep(top, k) {
			p.adopt(&p.forest.nodes[top], k)
			return true
		}
	}
	return false
}

func (p *planner) adopt(n *node, known func(*class) int32) {
	for i := n.from; i < n.to; i++ {
		p.workers[i].chosen = known(&p.workers[i])
	}
}

// keepFeeders keeps what is known below single feeders, as far as what is above them has room.
func (p *planner) keepFeeders(at int32, known []func(*class) int32) {
	n := &p.forest.nodes[at]
	if n.feeder == nil {
		for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
			p.keepFeeders(k, known)
		}
		return
	}
	before := p.freedIn(n)
	for _, k := range known {
		if !p.keep(at, k) {
			continue
		}
		after := int64(0)
		for i := n.from; i < n.to; i++ {
			after += p.options[k(&p.workers[i])].freed
		}
		if p.bears(n.parent, after-before) {
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
func (p *planner) keep(at int32, known func(*class) int32) bool {
	n := &p.forest.nodes[at]
	if !p.fits(at, known, n.keep == 0) {
		return false
	}
	s := sums{same: true}
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		s.add(p, c.state, &p.options[known(c)], &p.options[c.chosen])
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
func (p *planner) fits(at int32, known func(*class) int32, exactly bool) bool {
	n := &p.forest.nodes[at]
	freed := int64(0)
	for i := n.from; i < n.to; i++ {
		k := known(&p.workers[i])
		if k < 0 {
			return false
		}
		freed += p.options[k].freed
	}
	slack := n.margin / 2
	if exactly {
		slack = 0
	}
	if freed < n.need-slack || n.feeder != nil && freed > n.most && freed > p.freedIn(n) {
		return false
	}
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		if !p.fits(k, known, exactly) {
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
		s.add(p, c.state, &p.options[c.present], &p.options[c.chosen])
	}
	return s
}

// account sums up the choice below a top and lists what differs from the present.
func (p *planner) account(at int32, plan *Plan) {
	n := &p.forest.nodes[at]
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		p.account(k, plan)
	}
	fp := FeederPlan{Claimed: n.claimed, Bound: n.bound, Full: n.full, Planned: n.full, Present: n.full}
	cost := 0.0
	p.setTariff(n.feeder, p.left)
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		o, w := &p.options[c.chosen], c.state.Worker
		fp.Planned -= unit.Watts(o.freed)
		fp.Present -= c.full.Watts - w.Draw(c.state.Mode, c.state.Watts)
		if n.feeder == nil {
			continue
		}
		p.relaxed = p.forest.nodes[c.leaf].level
		cost += o.lost - p.bias(c.state, o)
		p.accountTerms(&fp, c)
		rate := w.Rate(o.mode, o.watts)
		fp.Lost += c.full.Hashrate - rate
		if o.mode != c.state.Mode || o.mode == Capped && o.watts != c.state.Watts {
			p.changes = append(p.changes, change{feeder: at, index: c.index, Setpoint: Setpoint{
				Worker: w.ID, Mode: o.mode, Watts: w.Draw(o.mode, o.watts), Hashrate: rate,
			}})
		}
	}
	if p.price > 0 {
		fp.Cost = unit.Msat(min(cost, 1e18))
	}
	fp.Short = max(0, fp.Planned+n.excess-fp.Bound)
	if n.feeder != nil {
		fp.Feeder = n.feeder.Feeder.ID
		plan.Feeders[at] = fp
		return
	}
	b := int(at) - p.forest.feeders
	plan.Branches[b] = BranchPlan{
		Branch: p.snap.Branches[b].Branch.ID, Claimed: fp.Claimed, Bound: fp.Bound,
		Full: fp.Full, Present: fp.Present, Planned: fp.Planned, Short: fp.Short,
	}
}
