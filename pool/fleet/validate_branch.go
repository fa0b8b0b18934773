package fleet

import (
	"fmt"

	"github.com/hashlease/hashlease/pool/unit"
)

// MaxBranches bounds the branches of a configuration.
const MaxBranches = 20_000

// domain is the largest thing below a node that may come back by itself.
type domain struct {
	watts unit.Watts
	name  string
}

func (d *domain) grow(watts unit.Watts, name string) {
	if watts > d.watts {
		d.watts, d.name = watts, name
	}
}

// branched is a site with branches while it is checked.
type branched struct {
	site     *Site
	at       map[BranchID]*Branch
	feederOf map[BranchID]FeederID   // of a PDU, by the first worker found below it
	full     map[BranchID]unit.Watts // of the workers below a PDU
	largest  map[BranchID]*domain    // below each branch
}

// branches checks the branches of all sites, and where feeders and workers hang on them.
func (v *validation) branches(sites []Site, workers []Worker) {
	n := 0
	known := map[BranchID]SiteID{}
	trees := map[SiteID]*branched{}
	for i := range sites {
		s := &sites[i]
		n += len(s.Branches)
		t := &branched{
			site: s, at: map[BranchID]*Branch{}, feederOf: map[BranchID]FeederID{},
			full: map[BranchID]unit.Watts{}, largest: map[BranchID]*domain{},
		}
		trees[s.ID] = t
		for j := range s.Branches {
			v.branch(&s.Branches[j], known, t)
		}
	}
	if n > MaxBranches {
		v.faultf("%d branches: at most %d are accepted", n, MaxBranches)
		return
	}
	before := len(v.faults)
	for i := range sites {
		v.tree(trees[sites[i].ID])
	}
	if len(v.faults) > before {
		return // there may be a circle
	}
	v.hang(trees, workers)
	for i := range sites {
		v.domains(trees[sites[i].ID])
	}
}

// branch checks one branch by itself.
func (v *validation) branch(b *Branch, known map[BranchID]SiteID, t *branched) {
	name := fmt.Sprintf("branch %q", b.ID)
	v.id(name, string(b.ID))
	if _, twice := known[b.ID]; twice {
		v.faultf("%s is there twice: identities are unique over all sites", name)
	}
	if v.feeders[FeederID(b.ID)] != nil {
		v.faultf("%s: a feeder has this identity: another one is needed", name)
	}
	known[b.ID] = t.site.ID
	t.at[b.ID] = b
	t.largest[b.ID] = &domain{}
	if b.Kind > Import {
		v.faultf("%s: kind is %d: pdu, transformer or import is accepted", name, b.Kind)
	}
	v.watts(name, "limit", b.Limit, 1, maxWatts)
	v.watts(name, "reserve", b.Reserve, 0, max(0, b.Limit-1))
	v.watts(name, "declared base load", b.Base, 0, max(0, b.Limit))
	v.watts(name, "overload watts", b.Overload.Watts, 0, max(0, b.Limit))
	v.span(name, "overload time", b.Overload.For)
	if b.Overload.Watts > 0 && b.Overload.For <= 0 {
		v.faultf("%s: overload of %v is allowed for 0 s: a time above 0 is needed", name, b.Overload.Watts)
	}
}

// tree checks what feeders and branches hang on: it exists and is of a kind that may be above, and there is
// no circle.
func (v *validation) tree(t *branched) {
	imports := 0
	for i := range t.site.Feeders {
		f := &t.site.Feeders[i]
		if b := t.at[f.Branch]; f.Branch != "" && (b == nil || b.Kind == PDU) {
			v.faultf("feeder %q: branch %q is not a transformer or import of site %q",
				f.ID, f.Branch, t.site.ID)
		}
	}
	for i := range t.site.Branches {
		b := &t.site.Branches[i]
		if b.Kind == Import {
			imports++
		}
		v.parent(t, b)
	}
	if imports > 1 {
		v.faultf("site %q has %d branches of kind import: at most 1 is accepted", t.site.ID, imports)
	}
}

// parent checks what a branch hangs on.
func (v *validation) parent(t *branched, b *Branch) {
	name := fmt.Sprintf("branch %q", b.ID)
	p := t.at[b.Parent]
	switch {
	case b.Kind == Import && b.Parent != "":
		v.faultf("%s: an import has no parent, this one has %q", name, b.Parent)
	case b.Parent == "":
	case p == nil:
		v.faultf("%s: parent %q is not a branch of site %q", name, b.Parent, t.site.ID)
	case b.Kind == PDU && p.Kind != PDU:
		v.faultf("%s: parent %q is of kind %v: a PDU hangs on a PDU, or on the feeder of its workers "+
			"and then has no parent", name, b.Parent, p.Kind)
	case b.Kind == Transformer && p.Kind == PDU:
		v.faultf("%s: parent %q is a PDU: a transformer or an import is accepted", name, b.Parent)
	}
	for up, steps := p, 0; up != nil; up, steps = t.at[up.Parent], steps+1 {
		if steps > len(t.site.Branches) || up == b {
			v.faultf("%s hangs on itself: parents without a circle are accepted", name)
			break
		}
	}
}

// hang checks what workers hang on, and notes what that comes to.
func (v *validation) hang(trees map[SiteID]*branched, workers []Worker) {
	for i := range workers {
		w := &workers[i]
		f := v.feeders[w.Feeder]
		if f == nil || trees[f.Site] == nil || len(w.Curve) == 0 {
			continue
		}
		t := trees[f.Site]
		if b := t.at[w.Branch]; w.Branch != "" && (b == nil || b.Kind != PDU) {
			v.faultf("worker %q: branch %q is not a PDU of site %q", w.ID, w.Branch, f.Site)
			continue
		}
		full := w.Curve.Full().Watts
		name := fmt.Sprintf("worker %q", w.ID)
		for b := t.at[w.Branch]; b != nil; b = t.at[b.Parent] {
			if of, ok := t.feederOf[b.ID]; ok && of != w.Feeder {
				v.faultf("worker %q is on feeder %q, but its PDU %q has workers of feeder %q: one feeder is "+
					"accepted", w.ID, w.Feeder, b.ID, of)
			}
			t.feederOf[b.ID] = w.Feeder
			t.full[b.ID] += full
			t.largest[b.ID].grow(full, name)
		}
	}
}

// domains lets every PDU, which may come back as a whole, count as a control domain of what is above
// it, and every feeder's largest for the transformers above.
func (v *validation) domains(t *branched) {
	for i := range t.site.Branches {
		b := &t.site.Branches[i]
		of := v.feeders[t.feederOf[b.ID]]
		if b.Kind != PDU || of == nil {
			continue
		}
		watts, name := min(t.full[b.ID], b.Limit+b.Overload.Watts), fmt.Sprintf("PDU %q", b.ID)
		for up := t.at[b.Parent]; up != nil; up = t.at[up.Parent] {
			t.largest[up.ID].grow(watts, name)
		}
		v.largest[of.ID].grow(watts, name)
	}
	for i := range t.site.Feeders {
		f := &t.site.Feeders[i]
		d := v.largest[f.ID]
		for _, b := range t.site.Above(f) {
			if d != nil {
				t.largest[b.ID].grow(d.watts, d.name)
			}
		}
	}
	for i := range t.site.Branches {
		b := &t.site.Branches[i]
		v.covers(fmt.Sprintf("branch %q", b.ID), b.Reserve, b.Overload.Watts, t.largest[b.ID])
	}
}

// covers checks that the largest thing that may come back by itself is covered (design promise 3).
func (v *validation) covers(name string, reserve, overload unit.Watts, d *domain) {
	if d != nil && reserve+overload < d.watts {
		v.faultf("%s: reserve %v and overload %v together are below %v, the full power of %s, "+
			"which may wake by itself", name, reserve, overload, d.watts, d.name)
	}
}
