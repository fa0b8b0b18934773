package console

import "github.com/hashlease/hashlease/pool/governor"

// branchView is a PDU, a transformer or an import.
type branchView struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	State   string `json:"state"`
	OK      bool   `json:"ok"`
	Meters  int    `json:"meters"` // of its own; 0: its feeders' tell
	Limit   int64  `json:"limit"`
	Total   int64  `json:"total"` // -1: nothing tells it
	Base    int64  `json:"base"`
	Claimed int64  `json:"claimed"`
	Bound   int64  `json:"bound"`
	Mining  int64  `json:"mining"` // -1: likewise
	Ordered int64  `json:"ordered"`
}

func branchesOf(site *governor.SiteStatus) []branchView {
	var out []branchView
	for i := range site.Branches {
		b := &site.Branches[i]
		v := branchView{
			ID: string(b.ID), Kind: b.Kind.String(), State: b.State, OK: b.State == "ok",
			Meters: len(b.Meters), Limit: int64(b.Limit), Total: int64(b.Total), Base: int64(b.Base),
			Claimed: int64(b.Claimed), Bound: int64(b.Bound), Mining: int64(b.Mining),
			Ordered: int64(b.Ordered),
		}
		if untold(b) {
			v.Total, v.Mining = -1, -1
		}
		out = append(out, v)
	}
	return out
}

// untold says that nothing tells what the branch takes: it is a PDU without a meter.
func untold(b *governor.BranchStatus) bool { return b.Feeder != "" && len(b.Meters) == 0 }

// branch sends one branch's figures.
func (s sink) branch(site string, b *governor.BranchStatus) {
	labels := []string{"site", site, "branch", string(b.ID), "kind", b.Kind.String()}
	for _, w := range []struct {
		name, help string
		watts      float64
		metered    bool
	}{
		{"limit", "Limit of a branch.", float64(b.Limit), false},
		{"total", "What a branch takes.", float64(b.Total), true},
		{"mining", "What mining below a branch draws.", float64(b.Mining), true},
		{"base", "Base load below a branch, its own included.", float64(b.Base), false},
		{"claimed", "What is held on the feeders below a branch.", float64(b.Claimed), false},
		{"bound", "What mining below a branch may draw.", float64(b.Bound), false},
		{"ordered", "What the orders below a branch lead to.", float64(b.Ordered), false},
		{"short", "By how much mining below a branch cannot keep its bound.", float64(b.Short), false},
	} {
		if !w.metered || !untold(b) {
			s.gauge("governor_branch_"+w.name+"_watts", w.help, w.watts, labels...)
		}
	}
	s.flag("governor_branch_ok", "Whether nothing is wrong with a branch.", b.State == "ok", labels...)
	s.flag("governor_branch_fresh", "Whether no reading behind a branch's figures is stale.",
		b.Fresh, labels...)
	for _, m := range b.Meters {
		s.flag("governor_branch_meter_ok", "Whether a branch's own meter can be believed.",
			m.State == governor.MeterOK, append(labels[:6:6], "meter", m.Name)...)
	}
}
