package governor

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// relentMost is how often a plan is made anew at most for wishes to break no terms: whole machines may make
// up for what one look takes off.
const relentMost = 8

// planWithinTerms makes a plan in which no operator's wish breaks owners' terms, and gives back what it was
// made from.
func (g *Governor) planWithinTerms(
	snap *fleet.Snapshot, caps []fleet.Cap, now time.Time,
) (*fleet.Snapshot, []fleet.Cap) {
	g.plan(snap, caps, now)
	for n := 0; n < relentMost && g.relent(now); n++ {
		branches := snap.Branches
		caps, snap = g.capsNow(now), g.snapshot(now)
		snap.Branches = branches
		g.states(snap, now)
		g.plan(snap, caps, now)
	}
	return snap, caps
}

// relent lowers operators' claims by what the newest plan frees only against owners' terms, and says whether
// any fell. A wish does not break terms, as a limit or a lease may: hours that run out while it lasts, or a
// price that falls, leave the rest of it undone.
func (g *Governor) relent(now time.Time) (fell bool) {
	for _, f := range g.feeders {
		var forced unit.Watts
		for _, id := range f.plan.Broken {
			w := g.byWorker[id]
			forced += max(0, w.full()-w.want.Watts)
		}
		for _, r := range slices.Backward(g.curtailed) {
			cl := g.claims[r.claimName(f.ID)]
			if forced == 0 || cl == nil || cl.cap.Watts == 0 || !cl.counts(now) {
				continue
			}
			cut := min(cl.cap.Watts, forced)
			cl.cap.Watts -= cut
			forced -= cut
			fell = true
			g.noteClaim(cl, "set", now)
			if !r.relented {
				r.relented = true
				g.event(now, Event{Feeder: f.ID, Claim: cl.cap.Claim, Message: fmt.Sprintf(
					"the operator's curtailment frees %v less: owners' terms leave nobody else", cut)})
			}
		}
	}
	return fell
}
