package console

import (
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/stratum"
)

// realRooms are all rooms over journals in memory; none of them runs.
func realRooms(t *testing.T) Config {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	book, log := mem.New(), slog.New(slog.DiscardHandler)
	model, _ := fleet.ModelNamed("Antminer S19 XP")
	sites := []fleet.Site{{ID: "north", Name: "North", Feeders: []fleet.Feeder{
		{ID: "f1", Site: "north", Limit: 100_000, Overload: fleet.Overload{Watts: 5000, For: 60e9}},
	}}}
	cfg := Config{AdminKey: func(string) bool { return false }}
	var err error
	cfg.Shares, err = ledger.NewShares(t.Context(), mem.New(), book, ledger.DefaultConfig())
	must(err)
	cfg.Blocks, err = ledger.NewBlocks(t.Context(), book)
	must(err)
	source, err := node.NewBtcd(node.Config{
		Name: "btcd", Network: &chaincfg.RegressionNetParams, Address: "127.0.0.1:1",
		User: "u", Password: "p",
	})
	must(err)
	cfg.Relay, err = node.NewRelay(t.TempDir(), cfg.Blocks, log, source)
	must(err)
	feed := pool.NewFeed()
	cfg.Watch = node.NewWatch(cfg.Relay, nil, feed, log)
	jobs, err := pool.NewAssembler(pool.CoinbaseConfig{Script: []byte{0x51}, Tag: "test"}, 1)
	must(err)
	cfg.Stratum, err = stratum.New(stratum.DefaultConfig(), stratum.Rooms{Feed: feed, Assembler: jobs}, log)
	must(err)
	power := governor.DefaultConfig()
	power.Registry, power.Sites = fleet.NewRegistry(), sites
	power.Workers = []fleet.Worker{{
		ID: "north.one", Feeder: "f1", Model: model.Name, Curve: model.Curve(6), Sleep: model.Sleep,
	}}
	cfg.Governor, err = governor.New(t.Context(), power)
	must(err)
	leases := service.DefaultConfig()
	leases.Sites = sites
	cfg.Leases, err = service.New(leases, book, cfg.Governor, nil)
	must(err)
	return cfg
}

// Ensure a console over the real rooms shows them as they are before anything runs.
func TestConsole_ReadsRealRooms(t *testing.T) {
	c, err := New(realRooms(t))
	if err != nil {
		t.Fatal(err)
	}
	f := c.frame()
	for _, p := range f.parts {
		if strings.Contains(string(p.data), `"fault"`) {
			t.Errorf("%s cannot be shown", p.name)
		}
	}
	v := c.snapshot(f)
	if len(v.Sites) != 1 || v.Sites[0].Feeders[0].Grid != "o9" || v.Node.State != "connecting" ||
		v.Scale != 1 {
		t.Errorf("snapshot %+v", v)
	}
	rows := c.workerRows(f)
	if len(rows) != 1 || rows[0].ID != "north.one" || rows[0].Code != string(away) {
		t.Errorf("workers %+v", rows)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	for _, want := range []string{"node: connecting", "leases: ", "power: "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("health %q lacks %q", w.Body, want)
		}
	}
	if _, err := c.metrics.Gather(); err != nil {
		t.Errorf("metrics: %v", err)
	}
}

// Ensure a wrong configuration is refused with all its faults named.
func TestNew_NamesEveryFault(t *testing.T) {
	_, err := New(Config{Scale: 2.5e-11})
	for _, want := range []string{
		"Stratum is not set", "Governor", "Leases", "Shares", "Blocks", "Relay", "Watch", "AdminKey",
		"scale is 2.5e-11: 1 or more is accepted",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	for _, scale := range []float64{math.NaN(), math.Inf(1), -1} {
		_, err := newConsole(Config{Scale: scale, AdminKey: func(string) bool { return false }}, reader{})
		if err == nil {
			t.Errorf("scale %v is accepted", scale)
		}
	}
}
