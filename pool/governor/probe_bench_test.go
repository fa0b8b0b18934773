package governor_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// awake says at once that it mines.
type awake struct{}

func (awake) Probe(context.Context) (fleet.Sighting, error) {
	return fleet.Sighting{
		At: time.Now(), Activity: fleet.ActivityMining, Watts: 3500, Wattage: fleet.WattsEstimated,
		Hashrate: 200e12, Pool: elsewherePool,
	}, nil
}

// BenchmarkAsk is one look, as every 250 ms, for the machines of a fleet that are to be asked, with the
// questions that are due by then; the machines answer at once.
func BenchmarkAsk(b *testing.B) {
	for _, n := range []int{1000, 20_000} {
		b.Run(fmt.Sprintf("machines=%d", n), func(b *testing.B) {
			cfg := governor.DefaultConfig()
			cfg.Registry, cfg.Probes = fleet.NewRegistry(), map[pool.WorkerID]fleet.Probe{}
			m, _ := fleet.ModelNamed("Antminer S21")
			curve := m.Curve(4)
			for i := range n {
				w := fleet.Worker{ID: pool.WorkerID(fmt.Sprintf("a.w%d", i)), Feeder: "f1", Curve: curve}
				cfg.Workers = append(cfg.Workers, w)
				cfg.Probes[w.ID] = awake{}
			}
			cfg.Sites = []fleet.Site{{ID: "s1", Feeders: []fleet.Feeder{{
				ID: "f1", Site: "s1", Limit: 100_000_000,
				Overload: fleet.Overload{Watts: 4000, For: time.Minute},
			}}}}
			g, err := governor.New(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			look, end := governor.Asker(b.Context(), g)
			b.ReportAllocs()
			for b.Loop() {
				look()
			}
			b.StopTimer()
			end()
		})
	}
}
