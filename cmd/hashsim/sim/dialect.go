package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// Dialects says what the machines of a site speak.
type Dialects string

// V1 and V2 are Stratum V1 and V2; Mixed is as sites have them: each machine what its vendor's firmware
// is run with.
const (
	V1    Dialects = "v1"
	V2    Dialects = "v2"
	Mixed Dialects = "mixed"
)

// Validate says what is accepted.
func (d Dialects) Validate() error {
	switch d {
	case "", V1, V2, Mixed:
		return nil
	}
	return fmt.Errorf("dialect %q: v1, v2 or mixed is accepted", string(d))
}

// of is what a firmware speaks.
func (d Dialects) of(f Firmware) Dialects {
	if d == V1 || d == Mixed && f.V1 != "" {
		return V1
	}
	return V2
}

// DialectStats are figures of the machines that speak one dialect.
type DialectStats struct {
	Miners    int    `json:"miners"`
	Mining    int    `json:"mining"`
	Submitted uint64 `json:"shares_submitted"`
	Acked     uint64 `json:"shares_acked"`
}

func (d DialectStats) plus(st *stratumtest.MinerStats) DialectStats {
	d.Miners++
	if st.Mining {
		d.Mining++
	}
	d.Submitted += st.Submitted
	d.Acked += st.Acked
	return d
}

// miner is what hashes for a machine, in either dialect.
type miner interface {
	Run(ctx context.Context) error
	SetHashrate(h unit.Hashrate)
	Stats() stratumtest.MinerStats
}

var (
	_ miner = (*stratumtest.Miner)(nil)
	_ miner = (*stratumtest.V1Miner)(nil)
)

// v1Elsewhere is the profile of firmware that speaks V2 at sites, where V1 is wanted of all.
const v1Elsewhere = "braiins-os"

// newV1Machine is a machine whose miner knows nothing of power: Stratum V1 has no word for it. What the
// device's own interface does at a site is done by an agent beside the machine.
func (s *Sim) newV1Machine(w fleet.Worker, p *powered, own bool) machine {
	name := p.device.firmware.V1
	if name == "" {
		name = v1Elsewhere
	}
	profile, err := stratumtest.V1ProfileNamed(name)
	if err != nil {
		panic(err) // a table of ours names a profile of ours
	}
	pool := func() stratumtest.Endpoint { return *s.endpoint.Load() }
	m := machine{
		worker: w, power: p, speaks: V1,
		miner: stratumtest.NewV1Miner(stratumtest.V1Config{
			Pool: pool, Profile: profile, Identity: string(w.ID), Scale: s.cfg.Scale,
			Nominal: p.device.hashrate(p.device.full()) / unit.Hashrate(s.cfg.Scale),
			Grinder: s.grinder, Log: s.cfg.Log, MaxBackoff: 2 * time.Second,
		}),
	}
	if !own {
		m.agent = stratumtest.NewAgent(stratumtest.AgentConfig{
			Pool: pool, Site: string(w.ID), Identity: string(w.ID), Power: p, MaxBackoff: 2 * time.Second,
		})
	}
	return m
}

// run mines, and obeys, until the context ends.
func (m *machine) run(ctx context.Context) {
	var wg sync.WaitGroup
	if m.agent != nil {
		wg.Go(func() { _ = m.agent.Run(ctx) }) // ends with ctx
	}
	if m.away {
		<-ctx.Done()
		return
	}
	_ = m.miner.Run(ctx)
	wg.Wait()
}

// Spoken says how many machines speak what, and how: "40 Stratum V2 (40 Braiins), 160 Stratum V1 (...)".
func (s *Sim) Spoken() string {
	var b strings.Builder
	for _, d := range []Dialects{V1, V2} {
		vendors := map[string]int{}
		n := 0
		for i := range s.machines {
			if m := &s.machines[i]; m.speaks == d {
				vendors[m.power.device.firmware.Vendor]++
				n++
			}
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d of %d speak Stratum %s", n, len(s.machines), strings.ToUpper(string(d)))
		for i, v := range slices.Sorted(maps.Keys(vendors)) {
			fmt.Fprintf(&b, "%s%d %s", map[bool]string{true: ": ", false: ", "}[i == 0], vendors[v], v)
		}
	}
	if away := s.Stats().Away; away > 0 {
		fmt.Fprintf(&b, "; %d mine at another pool", away)
	}
	return b.String()
}
