package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// meteredHall is a hall whose import and PDU have meters of their own, and offices on the import that nobody
// declared.
type meteredHall struct {
	*hall
	offices   unit.Watts
	grid, pdu *simMeter
	most      unit.Watts // that was ever taken in all
}

func newMeteredHall(t *testing.T) *meteredHall {
	t.Helper()
	m := &meteredHall{hall: newHall(t)}
	m.grid = &simMeter{truth: m.taken}
	m.pdu = &simMeter{truth: m.hall.pdu}
	return m
}

func (m *meteredHall) taken() unit.Watts { return m.truth() + m.second.truth() + m.offices }

func (m *meteredHall) config() governor.Config {
	cfg := m.hall.config()
	cfg.Meters = append(cfg.Meters,
		governor.Meter{Name: "grid total", Branch: "grid", Meter: m.grid},
		governor.Meter{Name: "p1 total", Branch: "p1", Meter: m.pdu})
	return cfg
}

func (m *meteredHall) run(d time.Duration) {
	for range int(d / simStep) {
		m.hall.run(simStep)
		m.grid.refresh(time.Now(), 250*time.Millisecond)
		m.pdu.refresh(time.Now(), 250*time.Millisecond)
		if m.judged {
			m.most = max(m.most, m.taken())
		}
	}
}

// branches are the PDU and the import, as people see them.
func branches(g *governor.Governor) (pdu, grid governor.BranchStatus) {
	b := g.Status().Sites[0].Branches
	return b[0], b[1]
}

// Ensure that what an import takes besides its feeders is told by its own meter, that mining makes room for
// it, also when it grows, and that a lease is proven only with it.
func TestGovernor_MetersWhatABranchTakesBesidesItsFeeders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		m.offices = 3000
		g, stop := m.start(m.config())
		defer stop()
		setCaps(t, g, 1)
		m.run(40 * time.Second)
		_, grid := branches(g)
		feeders := m.base + m.second.base
		if grid.Base < feeders+2900 || grid.Base > feeders+3300 || grid.Total != m.taken() || !grid.Fresh ||
			len(grid.Meters) != 1 {
			t.Errorf("the import's base load is %v, %v below and 3 kW besides; %+v", grid.Base, feeders, grid)
		}
		m.judged = true
		m.run(20 * time.Second)
		m.offices = 4000 // within the reserve and what the branch bears for a while
		m.run(20 * time.Second)
		if _, grid = branches(g); grid.Base < feeders+3900 {
			t.Errorf("after its rise the base load is %v", grid.Base)
		}
		m.most = 0
		setCaps(t, g, 2, lease("l1", 12_000, time.Now().Add(30*time.Second), 5*time.Minute))
		m.run(60 * time.Second)
		if m.proofs(g); !m.proof["l1"].Free || m.taken()+12_000 > grid.Limit {
			t.Errorf("proven: %v (%q) with %v of %v taken", m.proof["l1"].Free, m.proof["l1"].Reason,
				m.taken(), grid.Limit)
		}
		m.offices = 9000
		m.run(3 * time.Second)
		if m.proofs(g); m.proof["l1"].Free {
			t.Error("still proven without room for it on the import")
		}
		m.run(40 * time.Second)
		if m.proofs(g); !m.proof["l1"].Free {
			t.Errorf("not proven again: %q", m.proof["l1"].Reason)
		}
	})
}

// Ensure that while an import's meter is stale nobody below it returns and no new lease is proven, that a
// lost one leaves its last base load and the worst of its feeders to count, and that people hear of it.
func TestGovernor_WaitsForABranchsMeterUntilItIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		m.offices = 3000
		g, stop := m.start(m.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 14_000, time.Now(), 10*time.Minute))
		m.run(40 * time.Second)
		if m.proofs(g); !m.proof["l1"].Free {
			t.Fatalf("not proven: %q", m.proof["l1"].Reason)
		}
		m.judged = true
		m.grid.change(func() { m.grid.broken = true })
		m.run(5 * time.Second)
		before := m.taken()
		setCaps(t, g, 2, lease("l2", 3000, time.Now(), 10*time.Minute))
		m.run(40 * time.Second)
		m.proofs(g)
		_, grid := branches(g)
		if m.taken() > before || m.proof["l2"].Free || !strings.Contains(grid.State, "last reading is") ||
			!strings.Contains(m.proof["l2"].Reason, "waiting for a fresh reading of import grid") {
			t.Errorf("stale: %v taken, %v before; %q; %q",
				m.taken(), before, grid.State, m.proof["l2"].Reason)
		}
		m.run(3 * time.Minute)
		m.proofs(g)
		_, grid = branches(g)
		if m.taken() <= before || !m.proof["l2"].Free || !warned(g, "meter grid total is lost") ||
			!strings.Contains(grid.State, "counts at its worst") || grid.Base < m.base+m.second.base+2900 {
			t.Errorf("lost: %v taken, %v before; %+v; %q", m.taken(), before, grid, m.proof["l2"].Reason)
		}
		m.grid.change(func() { m.grid.broken = false })
		m.run(time.Minute)
		if _, grid = branches(g); grid.State != "ok" || m.most > grid.Limit {
			t.Errorf("at the end: %q; at most %v of %v were taken", grid.State, m.most, grid.Limit)
		}
	})
}

// Ensure that a PDU's own meter finds what draws on it besides what its machines' orders explain, and that
// they make room for it.
func TestGovernor_MetersAPDU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		extra := unit.Watts(0)
		m.pdu.truth = func() unit.Watts { return m.hall.pdu() + extra }
		g, stop := m.start(m.config())
		defer stop()
		setCaps(t, g, 1)
		m.run(40 * time.Second)
		pdu, _ := branches(g)
		if pdu.Total != m.hall.pdu() || pdu.State != "ok" || !pdu.Fresh || pdu.Feeder != "f1" {
			t.Errorf("%+v, in truth %v", pdu, m.hall.pdu())
		}
		extra = 2500
		m.run(2 * time.Minute)
		if pdu, _ = branches(g); pdu.Total > pdu.Limit || m.hall.pdu()+extra > pdu.Limit {
			t.Errorf("with 2.5 kW besides: %v of %v", m.hall.pdu()+extra, pdu.Limit)
		}
	})
}

// Ensure that an import's meter that shows less than those of its feeders is named after a minute, and that
// the higher counts.
func TestGovernor_NamesABranchsMeterThatShowsTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		m.grid.plain = true
		g, stop := m.start(m.config())
		defer stop()
		setCaps(t, g, 1)
		m.run(30 * time.Second)
		m.grid.change(func() { m.grid.bias = -0.3 })
		m.run(50 * time.Second)
		if warned(g, "its meter shows") {
			t.Error("accused before a minute was over")
		}
		m.run(20 * time.Second)
		if _, grid := branches(g); !warned(g, "import grid: its meter shows") ||
			!strings.Contains(grid.State, "those of its feeders") || grid.Base < m.base+m.second.base {
			t.Errorf("%+v", grid)
		}
	})
}

// Ensure that faulty meters of branches are refused by name.
func TestConfig_NamesFaultsOfBranchMeters(t *testing.T) {
	m := newMeteredHall(t)
	cfg := m.config()
	n := len(cfg.Meters)
	cfg.Meters[n-1].Branch, cfg.Meters[n-2].Role = "nowhere", fleet.Mining
	cfg.Meters[n-2].Feeder = "f1"
	err := cfg.Validate()
	for _, want := range []string{
		`branch "nowhere" is not one`, "role total is accepted", "a feeder and a branch",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// Ensure that what branches' own meters show is noted every second while a claim is in force below them,
// every minute otherwise, and at once when a meter is lost; and that branches without one add nothing.
func TestGovernor_NotesWhatBranchMetersShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		m.offices = 3000
		for i := range m.site.Branches { // room for all to mine in full
			m.site.Branches[i].Limit *= 2
		}
		var n notes
		cfg := m.config()
		cfg.Audit = n.take
		cfg.Meters = cfg.Meters[:len(cfg.Meters)-1] // the PDU has none
		g, stop := m.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		m.run(10 * time.Minute)
		quiet := n.of(audit.OnBranch)
		if len(quiet) < 10 || len(quiet) > 20 {
			t.Errorf("%d records in ten quiet minutes", len(quiet))
		}
		setCaps(t, g, 2, lease("l1", 12_000, time.Now(), 2*time.Minute))
		m.run(time.Minute)
		busy := n.of(audit.OnBranch)[len(quiet):]
		if len(busy) < 55 || len(busy) > 65 {
			t.Errorf("%d records in a busy minute", len(busy))
		}
		_, grid := branches(g)
		r := busy[len(busy)-1]
		if r.Site != "s1" || r.Branch != "grid" || r.Feeder != "" || r.State != "ok" || !r.Busy || !r.Fresh ||
			r.Total != m.taken() || r.Limit != grid.Limit || r.Watts != 12_000 || r.Base < 3000 ||
			r.Read.IsZero() || r.Ordered != grid.Ordered || r.Bound != grid.Bound {
			t.Errorf("%+v", r)
		}
		before := len(n.of(audit.OnBranch))
		m.grid.change(func() { m.grid.broken = true })
		m.run(cfg.Lost + 10*time.Second)
		states := ""
		for _, r := range n.of(audit.OnBranch)[before:] {
			if !strings.HasSuffix(states, r.State+" ") {
				states += r.State + " "
			}
		}
		if states != "ok stale lost " {
			t.Errorf("a lost meter is noted as %q", states)
		}
	})
}

// Ensure that a PDU above its limit is not held against a lease of its feeder: the tenant is not on it, and
// the feeder's meter shows the watts free. Mining below the PDU gives way for it, whatever is leased.
func TestGovernor_APDUGatesNoClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredHall(t)
		heater := unit.Watts(0)
		m.pdu.truth = func() unit.Watts { return m.hall.pdu() + heater }
		g, stop := m.start(m.config())
		defer stop()
		setCaps(t, g, 1)
		m.run(40 * time.Second)
		heater = m.site.Branches[0].Limit + 1000 // nothing that mining does brings the PDU below its limit
		m.run(20 * time.Second)
		setCaps(t, g, 2, lease("l1", 12_000, time.Now().Add(30*time.Second), 5*time.Minute))
		m.run(60 * time.Second)
		pdu, _ := branches(g)
		if pdu.State != "over its limit" || m.hall.pdu() > 500 {
			t.Errorf("the PDU is %q with %v of mining on it", pdu.State, m.hall.pdu())
		}
		if m.proofs(g); !m.proof["l1"].Free {
			t.Errorf("not proven: %q", m.proof["l1"].Reason)
		}
	})
}
