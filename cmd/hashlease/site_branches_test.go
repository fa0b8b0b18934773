package main

import (
	"strings"
	"testing"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// Ensure that branches are shown with what tells them, and their meters beside those of feeders, harmless
// to a terminal.
func TestSiteBranches_ShowsWhatTellsThem(t *testing.T) {
	d := newDesk(t)
	d.srv.status = &hashleasev1.GetStatusResponse{}
	d.want(exitOK, "", "No branch is configured", "site", "branches")
	meter := func(name, state string) []*hashleasev1.MeterStatus {
		return []*hashleasev1.MeterStatus{{Name: name, Role: "total", State: state, Watts: 2_800_000}}
	}
	d.srv.status = &hashleasev1.GetStatusResponse{
		Branches: []*hashleasev1.BranchStatus{
			{
				Branch: "sites/north/branches/grid", Kind: "import",
				LimitWatts: 3_000_000, TotalWatts: 2_800_000, MiningWatts: 2_000_000,
				BaseWatts: 90_000, ClaimedWatts: 15_000, BoundWatts: 2_100_000,
				State: "ok", Meters: meter("grid total main", "ok"),
			},
			{
				Branch: "sites/north/branches/p1", Kind: "pdu", Feeder: "sites/north/feeders/n1",
				LimitWatts: 90_000, State: "80 W more\x1b",
			},
		},
		Feeders: []*hashleasev1.FeederStatus{
			{Feeder: "sites/north/feeders/n1", Meters: meter("n1 total", "stale")},
		},
	}
	d.want(exitOK, "import  itself   3 MW", "", "site", "branches")
	d.want(exitOK, "pdu     no       90 kW  -", "", "site", "branches")
	if strings.Contains(d.out, "\x1b") || !strings.Contains(d.out, "80 W more?") {
		t.Errorf("%q", d.out)
	}
	d.want(exitOK, `"total_watts"`, "", "site", "branches", "--json")
	d.want(exitOK, "p1      pdu   no       90 kW  -", "", "status") // the import has room left
	if strings.Contains(d.out, "grid") {
		t.Errorf("%s", d.out)
	}
	d.srv.status.Branches[0].TotalWatts = 2_900_000
	d.want(exitOK, "near its limit: 96.7 %", "", "status")
	d.want(exitOK, "total main  2.8 MW", "", "site", "meters")
	d.want(exitOK, "north/n1", "", "site", "meters")
}
