package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// Ensure that every firmware of Stratum V1 mines at the real program over a real btcd: its shares are in the
// ledger, no more than it submitted and no fewer than it was told, and it has no fault to find.
func TestProgram_CreditsEachFirmware(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a server; the full run is make test")
	}
	s := newTestSite(t, 8)
	s.startServer()
	s.runMiners()
	s.eventually("every miner of the site has work", time.Minute, func() bool {
		return s.sim.Stats().Mining == 8
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	grinder := stratumtest.NewGrinder(1)
	wg.Go(func() { _ = grinder.Run(ctx) })
	miners := map[string]*stratumtest.V1Miner{}
	for _, p := range stratumtest.V1Profiles() {
		if p.Name == "nicehash" {
			continue // its least difficulty is beyond a CPU
		}
		m := stratumtest.NewV1Miner(stratumtest.V1Config{
			Pool:    func() stratumtest.Endpoint { return stratumtest.Endpoint{Address: s.listen[0]} },
			Profile: p, Identity: "field." + p.Name, Nominal: 5000, Grinder: grinder, Scale: s.sim.Scale(),
		})
		miners[m.Identity()] = m
		wg.Go(func() { _ = m.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	credited := func() map[string]uint64 {
		var rows []shareRow
		if err := json.Unmarshal([]byte(s.command("shares", "--json")), &rows); err != nil {
			t.Fatalf("reading shares: %v", err)
		}
		all := map[string]uint64{}
		for _, r := range rows {
			all[r.Worker] = r.Shares
		}
		return all
	}
	s.eventually("every firmware has a share in the ledger", 2*time.Minute, func() bool {
		all := credited()
		waiting := func(w string) bool { return all[w] == 0 }
		return !slices.ContainsFunc(slices.Collect(maps.Keys(miners)), waiting)
	})
	acked := map[string]uint64{}
	for w, m := range miners {
		acked[w] = m.Stats().Acked
	}
	durable := credited()
	for w, m := range miners {
		st := m.Stats()
		if acked[w] > durable[w] || durable[w] > st.Submitted {
			t.Errorf("%s: %d acknowledged, %d durable, %d submitted", w, acked[w], durable[w], st.Submitted)
		}
		if len(st.Faults) > 0 {
			t.Errorf("%s: %s", w, strings.Join(st.Faults, "; "))
		}
	}
	s.stop()
}
