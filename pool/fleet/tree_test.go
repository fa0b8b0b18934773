package fleet_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// tree is a site whose nodes are looked at by name.
type tree struct {
	s     *fleet.Snapshot
	caps  []fleet.Cap
	site  fleet.Site
	bound map[string]unit.Watts // what mining below each node may draw
}

// drawnTree is a random site: an import, a transformer with one or two of three feeders, PDUs on some.
func drawnTree(t *rapid.T, most int) *tree {
	tr := &tree{bound: map[string]unit.Watts{}, s: &fleet.Snapshot{MsatPerHash: price}}
	tr.site.ID = "s"
	limit := func(name string, scale int) unit.Watts {
		return unit.Watts(rapid.IntRange(500, scale).Draw(t, name))
	}
	n := rapid.IntRange(1, most).Draw(t, "workers")
	each := 2200 * n
	feeders := rapid.IntRange(1, 3).Draw(t, "feeders")
	for i := range feeders {
		f := fleet.Feeder{ID: fleet.FeederID(fmt.Sprintf("f%d", i)), Site: "s", Limit: limit("feeder", each)}
		if rapid.Bool().Draw(t, "on transformer") {
			f.Branch = "t"
		}
		tr.site.Feeders = append(tr.site.Feeders, f)
	}
	tr.site.Branches = []fleet.Branch{
		{ID: "p1", Parent: "p0", Kind: fleet.PDU, Limit: limit("pdu 1", each/2+600)},
		{ID: "import", Kind: fleet.Import, Limit: limit("import", each)},
		{ID: "p0", Kind: fleet.PDU, Limit: limit("pdu 0", each/2+600)},
		{ID: "t", Kind: fleet.Transformer, Limit: limit("transformer", each)},
	}
	for i := range tr.site.Feeders {
		tr.s.Feeders = append(tr.s.Feeders, fleet.FeederState{Feeder: &tr.site.Feeders[i], Base: 50})
	}
	for i := range tr.site.Branches {
		b := &tr.site.Branches[i]
		tr.s.Branches = append(tr.s.Branches, fleet.BranchState{Branch: b, Site: "s"})
	}
	for i := range n {
		st := drawnWorker(t, i)
		at := rapid.IntRange(0, feeders-1).Draw(t, "on feeder")
		st.Worker.Feeder = tr.site.Feeders[at].ID
		if at == 0 {
			st.Worker.Branch = rapid.SampledFrom([]fleet.BranchID{"", "p0", "p1"}).Draw(t, "on pdu")
		}
		tr.s.Workers = append(tr.s.Workers, st)
	}
	tr.caps = []fleet.Cap{{
		Feeder: "f0", Claim: "l1", Tenant: "t", Watts: limit("claim", each/2+600),
		From: noon, Until: noon.Add(time.Hour),
	}}
	tr.bounds()
	return tr
}

// bounds works out every node's bound by the rules, not by the planner.
func (tr *tree) bounds() {
	for i := range tr.site.Feeders {
		f := &tr.site.Feeders[i]
		tr.bound[string(f.ID)] = f.Limit - tr.s.Feeders[i].Base
	}
	tr.bound["f0"] -= tr.caps[0].Watts
	for i := range tr.site.Branches {
		b := &tr.site.Branches[i]
		tr.bound[string(b.ID)] = b.Limit
	}
	for i := range tr.site.Feeders {
		for _, b := range tr.site.Above(&tr.site.Feeders[i]) {
			if i == 0 {
				tr.bound[string(b.ID)] -= tr.caps[0].Watts
			}
		}
	}
}

// nodes names all that is above a worker.
func (tr *tree) nodes(w *fleet.Worker) []string {
	names := []string{string(w.Feeder)}
	for _, b := range tr.site.Below(w) {
		names = append(names, string(b.ID))
	}
	for i := range tr.site.Feeders {
		if tr.site.Feeders[i].ID == w.Feeder {
			for _, b := range tr.site.Above(&tr.site.Feeders[i]) {
				names = append(names, string(b.ID))
			}
		}
	}
	return names
}

// best tries everything: the least cost under all bounds, infinite if there is none.
func (tr *tree) best(relaxed bool) float64 {
	cost := math.Inf(1)
	drawn := map[string]unit.Watts{}
	above := make([][]string, len(tr.s.Workers))
	for i := range above {
		above[i] = tr.nodes(tr.s.Workers[i].Worker)
	}
	var try func(i int, lost float64)
	try = func(i int, lost float64) {
		if lost >= cost {
			return
		}
		if i == len(tr.s.Workers) {
			for name, bound := range tr.bound {
				if drawn[name] > bound {
					return
				}
			}
			cost = lost
			return
		}
		for _, o := range states(&tr.s.Workers[i], relaxed) {
			for _, name := range above[i] {
				drawn[name] += o.watts
			}
			try(i+1, lost+o.lost)
			for _, name := range above[i] {
				drawn[name] -= o.watts
			}
		}
	}
	try(0, 0)
	return cost
}

// check fails if a plan's figures are not those of its states, or if it breaks a bound without saying so.
func (tr *tree) check(t *rapid.T, p fleet.Plan) (short bool) {
	drawn := map[string]unit.Watts{}
	mode := map[string]fleet.Setpoint{}
	for _, sp := range p.Setpoints {
		mode[string(sp.Worker)] = sp
	}
	for i := range tr.s.Workers {
		st := &tr.s.Workers[i]
		w := st.Worker.Draw(st.Mode, st.Watts)
		if sp, ok := mode[string(st.Worker.ID)]; ok {
			w = st.Worker.Draw(sp.Mode, sp.Watts)
		}
		if st.Worker.Pinned || !st.Reachable {
			w = st.Draw
		}
		for _, name := range tr.nodes(st.Worker) {
			drawn[name] += w
		}
	}
	one := func(name string, bound, planned, less unit.Watts) {
		if bound != tr.bound[name] || planned != drawn[name] || less != max(0, planned-bound) {
			t.Fatalf("%s: bound %d, planned %d, short %d; want bound %d, planned %d",
				name, bound, planned, less, tr.bound[name], drawn[name])
		}
		short = short || less > 0
	}
	for _, f := range p.Feeders {
		one(string(f.Feeder), f.Bound, f.Planned, f.Short)
	}
	for _, b := range p.Branches {
		one(string(b.Branch), b.Bound, b.Planned, b.Short)
	}
	return short
}

// Ensure that a plan over a tree of branches fits under every bound whenever that is possible at all, and
// costs as little as brute force finds.
func TestMakePlan_KeepsEveryBoundOfATree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawnTree(t, 6)
		p := fleet.MakePlan(tr.s, tr.caps, noon)
		short := tr.check(t, p)
		best := tr.best(false)
		if math.IsInf(best, 1) {
			best = tr.best(true)
		}
		if math.IsInf(best, 1) {
			if !short {
				t.Fatal("nothing fits, and nobody says so")
			}
			return
		}
		if short {
			t.Fatalf("short, although something fits: %+v %+v", p.Feeders, p.Branches)
		}
		if _, cost := costOf(tr.s, p); cost > best*(1+1e-9)+1e-6 {
			t.Fatalf("plan costs %.3f msat/h, brute force finds %.3f", cost, best)
		}
	})
}

// Ensure that plans over trees are the same for the same snapshot, and come to rest.
func TestMakePlan_ComesToRestOnATree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawnTree(t, 30)
		for i := range tr.s.Feeders {
			tr.s.Feeders[i].Keep = 50
		}
		for round := 0; ; round++ {
			p := fleet.MakePlan(tr.s, tr.caps, noon)
			tr.check(t, p)
			if d := cmp.Diff(p, fleet.MakePlan(tr.s, tr.caps, noon)); d != "" {
				t.Fatalf("the second plan differs:\n%s", d)
			}
			if len(p.Setpoints) == 0 {
				return
			}
			if round == 4 {
				t.Fatalf("after %d rounds the plan still changes: %+v", round, p.Setpoints)
			}
			carryOut(t, tr.s, p)
		}
	})
}
