package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/audit"
)

// branchWitness is what the next record of a branch is about.
type branchWitness struct {
	at   time.Time  // the last one was noted; zero: none was
	busy bool       // it was noted as one that mattered
	told MeterState // of its meter then
	over bool       // its limit then
}

// witnessBranches notes what branches' own meters show, at the end of each look: every second while anything
// is in force below them, at once when a meter turns or a limit is passed, and otherwise every minute.
// Branches without a meter add nothing to what their feeders' records say.
func (g *Governor) witnessBranches(now time.Time) {
	for _, b := range g.branches {
		if b.own() && (b.metering.state != MeterUnread || !b.witness.at.IsZero()) {
			g.witnessBranch(b, now)
		}
	}
}

func (g *Governor) witnessBranch(b *branch, now time.Time) {
	was := b.witness
	is := branchWitness{at: now, busy: b.inForce(), told: b.metering.state, over: b.over}
	every := readingIdle
	if is.busy {
		every = readingBusy
	}
	turned := was.at.IsZero() || is.busy != was.busy || is.told != was.told || is.over != was.over
	if !turned && now.Sub(was.at) < every-g.cfg.Tick/2 {
		return
	}
	b.witness = is
	g.noteBranch(b, now)
}

// inForce says whether anything is in force below the branch that its figures could be evidence for: feeders'
// looks have just said so.
func (b *branch) inForce() bool {
	if b.feeder != nil {
		return b.feeder.audit.busy
	}
	for _, f := range b.feeders {
		if f.audit.busy {
			return true
		}
	}
	return b.ceiling > 0
}

// noteBranch notes a branch's figures.
func (g *Governor) noteBranch(b *branch, now time.Time) {
	r := audit.Record{
		At: now, Kind: audit.OnBranch, Site: b.site.ID, Branch: b.ID, State: b.metering.state.String(),
		Read: b.metering.at, Base: b.ownBase(), Limit: b.Limit, Bound: b.plan.Bound, Ceiling: b.ceiling,
		Watts: b.plan.Claimed, Busy: b.witness.busy, Fresh: b.sees(), Warn: b.over,
	}
	r.Mining, r.Total, _ = b.metered()
	if b.feeder != nil {
		r.Feeder = b.feeder.ID
	}
	for _, f := range b.feeders {
		r.Base += f.base
		r.Tenants += f.now.tenant
	}
	for _, w := range b.workers {
		r.Ordered += w.order.Watts
	}
	if !r.Fresh {
		r.Text = b.metering.detail
	}
	g.note(r)
}
