package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// correctionOf bounds how far a curtailment's claims may be corrected: by a fifth of what was wished.
	correctionOf = 5
	// readingsBehind is of how many readings a correction takes the mean: one alone is noise.
	readingsBehind = 3
)

// regulated is a curtailment in force with what the meters say of it. Limits and leases are a matter of
// where mining stands, and the feeder's excess corrects them; a curtailment is a matter of how far it has
// come down, and machines free less, or more, than their curves say.
type regulated struct {
	curtailment
	beside  unit.Watts // what others claim of the same feeders, as it was when the first reading counted
	steady  bool       // beside is known
	readAt  time.Time  // of the newest reading that counted
	n       int        // readings in sum
	sum     unit.Watts // of what they missed
	missing unit.Watts // by the newest correction; below 0: too much is freed

	relented bool // owners' terms do not let it have what it was made with
}

// regulate holds curtailments against the meters, whoever listens, and corrects their claims.
func (g *Governor) regulate() {
	for _, r := range g.curtailed {
		at, ok := g.calm(r)
		if !ok {
			r.n, r.sum = 0, 0
			continue
		}
		if !at.After(r.readAt) || !r.alone(g) {
			continue
		}
		r.readAt = at
		r.n, r.sum = r.n+1, r.sum+r.missed(g)
		if r.n == readingsBehind {
			g.correct(r, r.sum/readingsBehind)
			r.n, r.sum = 0, 0
		}
	}
}

// calm says whether the meters of all feeders of a curtailment show what is in force, and as of when:
// nothing is on its way, nothing more is wanted, and no excess is about to be made up for. What was
// ordered and is not seen yet is not ordered a second time.
func (g *Governor) calm(r *regulated) (at time.Time, ok bool) {
	for id := range r.Claims {
		f := g.byFeeder[id]
		if f == nil { // it has left the configuration, and its baseline with it
			return at, false
		}
		n := &f.now
		seen := n.fresh && n.at.After(f.reducedAt) && n.at.After(f.settledAt) && n.at.After(r.From)
		unmade := n.mining - f.tally.model - max(0, f.excess)
		still := f.still && f.doubt.trial == nil
		if !still || !seen || unmade > f.tolerance() || f.plan.Planned != f.plan.Present {
			return at, false
		}
		if at.IsZero() || n.at.Before(at) {
			at = n.at
		}
	}
	return at, !at.IsZero()
}

// alone says that others claim of its feeders what they did when it began: where mining stands says
// otherwise nothing of what it has freed.
func (r *regulated) alone(g *Governor) bool {
	var beside unit.Watts
	for _, f := range g.feeders {
		if cl := g.claims[r.claimName(f.ID)]; cl != nil {
			beside += f.plan.Claimed - cl.cap.Watts - f.ceiling
		}
	}
	if !r.steady {
		r.beside, r.steady = beside, true
	}
	off := beside - r.beside
	return max(off, -off) <= r.Watts/100
}

// missed is what the newest readings leave to be freed; below 0: more is freed than was wished.
func (r *regulated) missed(g *Governor) unit.Watts {
	missing := r.Watts - r.Baseline
	for id := range r.Claims {
		missing += g.byFeeder[id].now.mining
	}
	return missing
}

// correct has more given way if too little is freed, and less if it is too much by more than one machine:
// whole machines sleep, and the last of them may be more than was needed.
func (g *Governor) correct(r *regulated, missing unit.Watts) {
	r.missing = missing
	switch {
	case r.relented:
	case missing > r.Watts/200:
		g.spread(r, missing)
	case -missing > max(r.Watts/100, r.largest(g)):
		g.spread(r, missing/2)
	}
}

// largest is the full power of the largest machine that has given way on its feeders.
func (r *regulated) largest(g *Governor) (most unit.Watts) {
	for id := range r.Claims {
		for _, w := range g.byFeeder[id].workers {
			if w.ordered() && w.reduced() {
				most = max(most, w.full())
			}
		}
	}
	return most
}

// spread adds watts to the claims of a curtailment, each by its share, within their bounds. What is more
// goes where there is somebody left to give way.
func (g *Governor) spread(r *regulated, watts unit.Watts) {
	var whole unit.Watts
	open := func(f *feeder) bool { return r.Claims[f.ID] > 0 && (watts < 0 || f.plan.Short == 0) }
	for _, f := range g.feeders {
		if open(f) {
			whole += r.Claims[f.ID]
		}
	}
	for _, f := range g.feeders {
		cl := g.claims[r.claimName(f.ID)]
		if !open(f) || cl == nil {
			continue
		}
		began := r.Claims[f.ID]
		share := unit.Watts(float64(watts) * float64(began) / float64(whole))
		to := max(began-began/correctionOf, min(cl.cap.Watts+share, began+began/correctionOf))
		if to != cl.cap.Watts {
			cl.cap.Watts = to
			g.noteClaim(cl, "set", time.Now())
		}
	}
}

// corrects says that the meters have called for more than a curtailment's claims were made with.
func (g *Governor) corrects(id uint64) bool {
	for _, r := range g.curtailed {
		if r.ID == id {
			return r.missing > 0
		}
	}
	return false
}
