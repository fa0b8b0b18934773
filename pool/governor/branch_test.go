package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// hall is two feeders below one import, and a PDU of three machines on the first.
type hall struct {
	*sim
	second *sim
	site   fleet.Site
	judged bool
	held   unit.Watts               // claimed by somebody who does not draw it
	over   map[string]time.Duration // by what was over its limit, in truth
}

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{sim: newSim(t, 12), second: newSim(t, 12), over: map[string]time.Duration{}}
	h.second.registry, h.second.links = h.registry, map[pool.WorkerID]*fleet.Link{}
	for _, d := range h.second.devices {
		d.worker.ID = "b" + d.worker.ID[1:]
		d.worker.Feeder = "f2"
		h.second.connect(d)
	}
	bears := fleet.Overload{Watts: 12_000, For: time.Minute}
	h.feeder.Overload, h.second.feeder.Overload = bears, bears
	h.second.feeder.ID = "f2"
	total := (h.truth() + h.second.truth()) * 93 / 100
	var pdu unit.Watts
	for _, d := range h.devices[:3] {
		d.worker.Branch = "p1"
		pdu += d.worker.Curve.Full().Watts
	}
	h.site = fleet.Site{
		ID: "s1", Feeders: []fleet.Feeder{h.feeder, h.second.feeder},
		Branches: []fleet.Branch{
			{
				ID: "p1", Kind: fleet.PDU, Limit: pdu * 8 / 10,
				Overload: fleet.Overload{Watts: 4000, For: time.Minute},
			},
			{ID: "grid", Kind: fleet.Import, Limit: total, Reserve: total / 100, Overload: bears},
		},
	}
	return h
}

func (h *hall) config() governor.Config {
	cfg := h.sim.config()
	cfg.Sites = []fleet.Site{h.site}
	for _, d := range h.second.devices {
		cfg.Workers = append(cfg.Workers, d.worker)
	}
	cfg.Meters = append(
		cfg.Meters,
		governor.Meter{Name: "total 2", Feeder: "f2", Role: fleet.Total, Meter: h.second.total},
		governor.Meter{Name: "mining 2", Feeder: "f2", Role: fleet.Mining, Meter: h.second.mining},
	)
	return cfg
}

func (h *hall) run(d time.Duration) {
	for i := range int(d / simStep) {
		time.Sleep(simStep)
		now := time.Now()
		h.look(now, i)
		h.second.look(now, i)
		if !h.judged {
			continue
		}
		if h.truth()+h.second.truth()+h.held > h.site.Branches[1].Limit {
			h.over["grid"] += simStep
		}
		if h.pdu() > h.site.Branches[0].Limit {
			h.over["p1"] += simStep
		}
	}
}

func (h *hall) pdu() (sum unit.Watts) {
	for _, d := range h.devices[:3] {
		d.mu.Lock()
		sum += d.draws
		d.mu.Unlock()
	}
	return sum
}

// Ensure that an import and a PDU are kept below their limits through a lease that one feeder alone would
// bear, that the cheapest machines of both feeders give way, that reductions on the other feeder outlast us
// while a tenant is behind them, and that all return afterwards as far as there is room.
func TestGovernor_KeepsBranchesBelowTheirLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		g, stop := h.start(h.config())
		defer stop()
		setCaps(t, g, 1)
		h.run(30 * time.Second)
		h.judged = true
		h.run(20 * time.Second)
		before := h.truth() + h.second.truth()
		start := time.Now().Add(40 * time.Second)
		setCaps(t, g, 2, lease("l1", 15_000, start, 3*time.Minute))
		h.policy = func(now time.Time) unit.Watts {
			if h.proofs(g); h.proof["l1"].Free && !now.Before(start) && now.Before(start.Add(3*time.Minute)) {
				return 15_000
			}
			return 0
		}
		h.run(90 * time.Second)
		if h.drawn == 0 {
			t.Fatalf("the lease is not proven: %q", h.proof["l1"].Reason)
		}
		holds := 0
		for _, d := range h.second.devices {
			if set := d.orders(); len(set) > 0 && set[len(set)-1].Mode != fleet.Free {
				if holds++; !set[len(set)-1].FailHold {
					t.Errorf("%s lets go without us although a tenant is behind it", d.worker.ID)
				}
			}
		}
		if holds == 0 {
			t.Error("nobody on the other feeder gives way")
		}
		st := g.Status().Sites[0].Branches
		if len(st) != 2 || st[1].State != "ok" || st[1].Claimed != 15_000 || st[1].Total > st[1].Limit {
			t.Errorf("branches %+v", st)
		}
		h.run(6 * time.Minute)
		if len(h.over) > 0 {
			t.Errorf("over their limits: %v", h.over)
		}
		if after := h.truth() + h.second.truth(); after < before*98/100 {
			t.Errorf("%v is taken after the lease, %v before", after, before)
		}
	})
}

// Ensure that a claim is not proven while a branch above its feeder has no room for it, and that people hear
// what cannot be kept.
func TestGovernor_NamesBranchesThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		for _, d := range h.second.devices {
			d.worker.Pinned = true
		}
		h.site.Branches[1].Limit = h.second.truth() + h.base + 14_000
		h.site.Branches[1].Reserve = 0
		g, stop := h.start(h.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 15_000, time.Now().Add(30*time.Second), 10*time.Minute))
		h.run(90 * time.Second)
		h.proofs(g)
		if p := h.proof["l1"]; p.Free || !strings.Contains(p.Reason, "below import grid") {
			t.Errorf("proof %+v", p)
		}
		b := g.Status().Sites[0].Branches[1]
		if b.Short < 900 || !strings.Contains(b.State, "more than mining may draw") {
			t.Errorf("branch %+v", b)
		}
		found := false
		for _, e := range g.Events(0) {
			found = found || e.Level == governor.Warn &&
				strings.Contains(e.Message, "import grid: mining below")
		}
		if !found {
			t.Error("nobody hears of it")
		}
	})
}

// Ensure that feeders do not sell together what they hang on cannot give.
func TestGovernor_SharesTheCapacityOfABranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		g, stop := h.start(h.config())
		defer stop()
		setCaps(t, g, 1)
		h.run(time.Minute)
		cs, err := g.Capacity(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		grid := h.site.Branches[1]
		var sum, base unit.Watts
		for _, c := range cs {
			sum += c.Firm
			if !strings.Contains(c.Basis, "import grid") {
				t.Errorf("basis %q does not name the import", c.Basis)
			}
		}
		base = h.base + h.second.base
		if most := grid.Limit - grid.Reserve - base; len(cs) != 2 || sum > most || sum < most*6/10 {
			t.Errorf("%v is for sale, the import bears %v", sum, most)
		}
	})
}

// Ensure that machines of one feeder do not return on the strength of reductions on another that may fail.
func TestGovernor_RestoresWithinBranchesAsIfReductionsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		g, stop := h.start(h.config())
		defer stop()
		claim := func(f fleet.FeederID) fleet.Cap {
			now := time.Now()
			return fleet.Cap{
				Feeder: f, Claim: "c-" + string(f), Watts: 14_000, From: now, Until: now.Add(time.Hour),
			}
		}
		setCaps(t, g, 1, claim("f2"))
		h.run(time.Minute)
		h.judged, h.held = true, 14_000
		for _, d := range h.devices {
			d.mu.Lock()
			d.deaf = true
			d.mu.Unlock()
		}
		before := h.second.miningTruth()
		setCaps(t, g, 2, claim("f1"))
		h.run(15 * time.Second)
		for _, d := range h.devices {
			d.mu.Lock()
			d.deaf = false
			d.mu.Unlock()
		}
		h.run(5 * time.Minute)
		if len(h.over) > 0 {
			t.Errorf("over their limits: %v", h.over)
		}
		if after := h.second.miningTruth(); after < before+8000 {
			t.Errorf("the second feeder mines with %v after the claim on it, %v before", after, before)
		}
	})
}
