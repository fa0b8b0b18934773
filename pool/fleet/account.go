package fleet

import (
	"cmp"
	"slices"

	"github.com/hashlease/hashlease/pool/unit"
)

// bill is what a choice comes to on one feeder, and of it what its nodes below add up.
type bill struct {
	FeederPlan

	at   int32
	cost float64
}

// account sums up the choice below a node and lists what differs from the present. It returns what the
// present and the choice free.
func (p *planner) account(at int32, plan *Plan, b *bill) (present, freed int64) {
	n := &p.forest.nodes[at]
	if n.feeder != nil {
		p.setTariff(n.feeder, p.left)
		b = &p.bill
		*b = bill{at: at}
	}
	for k := n.kid; k >= 0; k = p.forest.nodes[k].sib {
		now, then := p.account(k, plan, b)
		present, freed = present+now, freed+then
	}
	p.relaxed = n.level
	for i := n.mine; i < n.to; i++ {
		c := &p.workers[i]
		present += c.now
		freed += p.options[c.chosen].freed
		p.accountWorker(c, b)
	}
	planned := n.full - unit.Watts(freed)
	sums := BranchPlan{
		Claimed: n.claimed, Bound: n.bound, Full: n.full, Present: n.full - unit.Watts(present),
		Planned: planned, Short: max(0, planned+n.excess-n.bound),
	}
	if n.feeder != nil {
		plan.Feeders[at] = b.sum(n.feeder.Feeder.ID, &sums, p.price > 0)
		return present, freed
	}
	branch := int(at) - p.forest.feeders
	sums.Branch = p.snap.Branches[branch].Branch.ID
	plan.Branches[branch] = sums
	return present, freed
}

// accountWorker adds one worker, and notes its change.
func (p *planner) accountWorker(c *class, b *bill) {
	o := &p.options[c.chosen]
	b.cost += o.lost
	if p.tariff != 0 || p.relaxed >= relaxTerms {
		b.cost -= p.bias(p.state(c), o)
		p.accountTerms(&b.FeederPlan, c)
	}
	b.Lost += c.full.Hashrate - o.rate
	if c.chosen == c.present || o.is(c.mode, c.now) {
		return
	}
	p.changes = append(p.changes, change{
		key: uint64(b.at)<<32 | uint64(c.index), watts: c.full.Watts - unit.Watts(o.freed),
		rate: o.rate, mode: o.mode,
	})
}

// sum is the feeder's part of the plan.
func (b *bill) sum(id FeederID, s *BranchPlan, priced bool) FeederPlan {
	b.Feeder, b.Claimed, b.Bound, b.Full = id, s.Claimed, s.Bound, s.Full
	b.Present, b.Planned, b.Short = s.Present, s.Planned, s.Short
	if priced {
		b.Cost = unit.Msat(min(b.cost, 1e18))
	}
	return b.FeederPlan
}

// setpoints are the changes as orders. Trees are not in the order of the snapshot.
func (p *planner) setpoints() []Setpoint {
	if len(p.changes) == 0 {
		return nil
	}
	byKey := func(a, b change) int { return cmp.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(p.changes, byKey) {
		slices.SortFunc(p.changes, byKey)
	}
	out := make([]Setpoint, len(p.changes))
	for i := range p.changes {
		c := &p.changes[i]
		out[i] = Setpoint{
			Worker: p.snap.Workers[uint32(c.key)].Worker.ID, Mode: c.mode, Watts: c.watts, Hashrate: c.rate,
		}
	}
	return out
}
