package console

import (
	"testing"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// Ensure that branches are shown with what tells them, and that nothing is claimed of a PDU without a meter.
func TestBranches_AreShownWithWhatTellsThem(t *testing.T) {
	site := governor.SiteStatus{Branches: []governor.BranchStatus{
		{
			ID: "grid", Kind: fleet.Import, Total: 5000, Mining: 4000, State: "ok",
			Meters: []governor.MeterStatus{{Name: "grid total"}},
		},
		{ID: "t1", Kind: fleet.Transformer, Total: 3000, State: "over its limit"},
		{ID: "p1", Kind: fleet.PDU, Feeder: "f1", State: "ok"},
	}}
	v := branchesOf(&site)
	if len(v) != 3 || v[0].Meters != 1 || v[0].Total != 5000 || !v[0].OK || v[0].Kind != "import" {
		t.Errorf("%+v", v)
	}
	if v[1].OK || v[1].Total != 3000 || v[1].Meters != 0 || v[2].Total != -1 || v[2].Mining != -1 {
		t.Errorf("%+v", v[1:])
	}
}
