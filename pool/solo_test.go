package pool_test

import (
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that identities of solo miners mean what the reference implementation's pool takes them for, and
// that what is malformed or of another network is refused and never paid to the pool.
func TestParseSolo(t *testing.T) {
	const (
		main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
		test = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
		rig  = pool.SoloAccount + main + ".rig"
	)
	for _, c := range []struct {
		identity string
		worker   pool.WorkerID
		solo     bool
		percent  uint8
		bad      bool
	}{
		{identity: "alice.one"},
		{identity: "alice"},
		{identity: main, worker: "solo:" + main + ".default", solo: true},
		{identity: main + ".rig", worker: "solo:" + main + ".rig", solo: true},
		{identity: "sri/solo/" + main, worker: "solo:" + main + ".default", solo: true},
		{identity: "sri/solo/" + main + "/rig", worker: "solo:" + main + ".rig", solo: true},
		{identity: "sri/donate", worker: "donated.default"},
		{identity: "sri/donate/rig", worker: "donated.rig"},
		{identity: "sri/donate/30/" + main + "/rig", worker: rig, solo: true, percent: 30},
		{identity: "sri/donate/0/" + main, worker: "solo:" + main + ".default", solo: true},
		{identity: "sri/donate/100/" + main, worker: "donated.default"},
		{identity: test, bad: true},
		{identity: "sri/solo/" + test, bad: true},
		{identity: "sri/solo/nobody/rig", bad: true},
		{identity: "sri/solo", bad: true},
		{identity: "sri/", bad: true},
		{identity: "sri/else/" + main, bad: true},
		{identity: "sri/solo/" + main + "/a/b", bad: true},
		{identity: "sri/solo/" + main + "/", bad: true},
		{identity: "sri/donate/101/" + main + "/rig", bad: true},
		{identity: "sri/donate/-1/" + main + "/rig", bad: true},
		{identity: "sri/donate//" + main + "/rig", bad: true},
		{identity: "solo:" + main + ".rig", bad: true},
	} {
		p, worker, err := pool.ParseSolo(c.identity, &chaincfg.MainNetParams)
		if (err != nil) != c.bad || worker != c.worker || p.Solo() != c.solo || p.Percent != c.percent {
			t.Errorf("%q: %+v %q %v", c.identity, p, worker, err)
		}
		if err != nil && (worker != "" || p != pool.Payout{}) {
			t.Errorf("%q: an error and a result", c.identity)
		}
	}
}

// Ensure that no identity panics, and that what is taken is an identity.
func FuzzParseSolo(f *testing.F) {
	f.Add("sri/donate/30/bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4/rig")
	f.Add("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.x")
	f.Fuzz(func(t *testing.T, identity string) {
		p, worker, err := pool.ParseSolo(identity, &chaincfg.MainNetParams)
		if err != nil || worker == "" {
			if p.Solo() {
				t.Fatalf("%q is refused and paid", identity)
			}
			return
		}
		if _, again, err := pool.ParseIdentity(string(worker)); err != nil || again != worker {
			t.Fatalf("%q gives worker %q, which is no identity", identity, worker)
		}
	})
}
