package governor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// commissioned is how a commissioning went.
type commissioned struct {
	plan     *governor.CommissionPlan
	groups   []governor.CommissionGroup
	findings []governor.Finding
	result   *governor.CommissionResult
	err      error
}

// unproven makes the feeder one that nobody has measured.
func (s *sim) unproven() { s.feeder.Trusted = false }

// wild lets meters be a little noisy.
func (s *sim) truthOf(ds ...*device) (sum unit.Watts) {
	for _, d := range ds {
		d.mu.Lock()
		sum += d.draws
		d.mu.Unlock()
	}
	return sum
}

// commission runs one to its end while time passes; at is called after each group.
func (s *sim) commission(
	ctx context.Context, g *governor.Governor, c governor.Commissioning, at func(*commissioned),
) *commissioned {
	s.t.Helper()
	out := &commissioned{}
	updates := make(chan governor.CommissionUpdate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		out.err = g.Commission(ctx, c, func(u governor.CommissionUpdate) error {
			select {
			case updates <- u:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for i := 0; ; i++ {
		if i > int(6*time.Hour/simStep) {
			s.t.Fatal("the commissioning does not end")
		}
		select {
		case <-done:
			return out
		case u := <-updates:
			switch {
			case u.Plan != nil:
				out.plan = u.Plan
			case u.Group != nil:
				out.groups = append(out.groups, *u.Group)
			case u.Finding != nil:
				out.findings = append(out.findings, *u.Finding)
			case u.Result != nil:
				out.result = u.Result
			}
			if at != nil {
				at(out)
			}
		default:
			time.Sleep(simStep)
			s.look(time.Now(), i)
		}
	}
}

func (c *commissioned) kinds() string {
	var b strings.Builder
	for _, f := range c.findings {
		fmt.Fprintf(&b, "%s %s;", f.Kind, f.Worker)
	}
	return b.String()
}

func headroom(t *testing.T, g *governor.Governor) governor.Headroom {
	t.Helper()
	hs, err := g.Headroom("s1")
	if err != nil {
		t.Fatal(err)
	}
	return hs[0]
}

// Ensure that nothing is sold of a feeder before it was commissioned, that commissioning proves and
// measures every worker without leaving any asleep, and that a restart remembers it.
func TestCommission_ProvesAFeeder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 60)
		s.unproven()
		cfg := s.config()
		cfg.Journal, cfg.ProofAge = mem.New(), 20*time.Minute
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		cs := next(t, g, 0)
		run := "hashlease site commission f1"
		// Tenants hear why there is nothing; only operators hear what to run about it.
		if len(cs) != 1 || cs[0].Firm != 0 || !strings.Contains(cs[0].Basis, "commissioned") ||
			strings.Contains(cs[0].Basis, "hashlease") ||
			headroom(t, g).Command != run {
			t.Fatalf("before: %+v, %+v", cs, headroom(t, g))
		}
		c := s.commission(t.Context(), g, governor.Commissioning{Feeder: "f1", Limit: 8000}, nil)
		if c.err != nil || c.result == nil || !c.result.Done || c.result.Proven != 60 || len(c.findings) > 0 {
			t.Fatalf("%+v, %s, error %v", c.result, c.kinds(), c.err)
		}
		for _, gr := range c.groups {
			if gr.Ordered > 8000 || gr.Shed < time.Second || gr.Shed > 10*time.Second || gr.Return == 0 {
				t.Errorf("group %+v", gr)
			}
		}
		s.run(30 * time.Second)
		h, full := headroom(t, g), one(g).Full
		if h.Firm < full*60/100 || h.Firm > full || h.Reason != "" || h.State != governor.Commissioned ||
			h.Shed < 2*time.Second || h.Notice < h.Shed || one(g).Curtailed > 0 {
			t.Errorf("after: %+v of %v", h, full)
		}
		cs = next(t, g, cs[0].Seq)
		if len(cs) != 1 || cs[0].Firm < h.Firm-3*unit.Kilowatt || cs[0].Notice < h.Shed {
			t.Errorf("declared %+v", cs)
		}
		s.neverOver()
		stop()
		g, stop = s.start(cfg)
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		if again := headroom(t, g); again.Counted != 60 || again.Shed != h.Shed {
			t.Errorf("after a restart: %+v", again)
		}
		if again := headroom(t, g); again.Aging > 0 || eventWith(g, "soon counts no more") {
			t.Errorf("soon after it: %+v", again)
		}
		s.run(cfg.ProofAge*19/20 - time.Since(h.ProvenAt))
		if late := headroom(t, g); late.Aging == 0 || late.Firm < h.Firm-unit.Kilowatt ||
			late.Command != run ||
			!eventWith(g, "soon counts no more: "+run) {
			t.Errorf("before its age: %+v", late)
		}
		time.Sleep(20 * time.Minute)
		s.run(2 * time.Second)
		if old := headroom(t, g); old.Firm != 0 || old.Command != run {
			t.Errorf("after its age: %+v", old)
		}
		stop()
	})
}

// Ensure that workers on another feeder, deaf ones, liars and wrong curves are found and named, and all
// others proven.
func TestCommission_FindsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		s.unproven()
		away, deaf, liar, odd := s.devices[3], s.devices[11], s.devices[17], s.devices[24]
		deaf.deaf, liar.liar = true, true
		s.feeder.Limit += 5000
		odd.factor = 1.4
		odd.draws, odd.next = odd.draws*14/10, odd.draws*14/10
		s.mining.truth = func() unit.Watts { return s.miningTruth() - s.truthOf(away) }
		s.total.truth = func() unit.Watts { return s.truth() - s.truthOf(away) }
		other := &simMeter{truth: func() unit.Watts { return 20_000 + s.truthOf(away) }}
		s.more = []*simMeter{other}
		cfg := s.config()
		f2 := s.feeder
		f2.ID = "f2"
		cfg.Sites[0].Feeders = append(cfg.Sites[0].Feeders, f2)
		cfg.Meters = append(cfg.Meters, governor.Meter{
			Name: "f2 mining", Feeder: "f2", Role: fleet.Mining, Meter: other,
		})
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		c := s.commission(t.Context(), g, governor.Commissioning{Feeder: "f1", Limit: 12_000}, nil)
		if c.err != nil || c.result == nil || !c.result.Done {
			t.Fatalf("%+v, error %v", c.result, c.err)
		}
		for _, want := range []string{
			"other-feeder " + string(away.worker.ID), "disobeys " + string(deaf.worker.ID),
			"not-shown " + string(liar.worker.ID), "curve " + string(odd.worker.ID),
		} {
			if !strings.Contains(c.kinds(), want+";") {
				t.Errorf("found %s: %q is missing", c.kinds(), want)
			}
		}
		if c.result.Proven < 36 || c.result.Proven > 37 || len(c.findings) > 5 {
			t.Errorf("%d proven, found %s", c.result.Proven, c.kinds())
		}
	})
}

// Ensure that a meter that is wrong is found as such, in place of blaming workers.
func TestCommission_FindsAWrongMeter(t *testing.T) {
	for name, m := range map[string]struct {
		shows func(s *sim) unit.Watts
		says  string
	}{
		"kW for W":  {func(s *sim) unit.Watts { return s.miningTruth() / 1000 }, "kW are read as W"},
		"one phase": {func(s *sim) unit.Watts { return s.miningTruth() / 3 }, "one phase of three"},
		"inverted":  {func(s *sim) unit.Watts { return 60_000 - s.miningTruth()/2 }, "inverted"},
		"dead":      {func(*sim) unit.Watts { return 40_000 }, "does not move"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 30)
				s.unproven()
				s.mining.truth = func() unit.Watts { return m.shows(s) }
				cfg := s.config()
				cfg.Meters = cfg.Meters[1:]
				g, stop := s.start(cfg)
				defer stop()
				setCaps(t, g, 1)
				s.run(10 * time.Second)
				c := s.commission(t.Context(), g, governor.Commissioning{Feeder: "f1", Limit: 12_000}, nil)
				if c.err != nil || c.result == nil || c.result.Done || c.result.Proven > 0 ||
					len(c.findings) != 1 || !strings.Contains(c.findings[0].Message, m.says) {
					t.Errorf("%+v, found %v, error %v", c.result, c.findings, c.err)
				}
			})
		})
	}
}

// Ensure that a commissioning stops when a tenant needs the watts or nobody listens, and that all return.
func TestCommission_StopsForTenantsAndForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		s.unproven()
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		begun := func(c *commissioned) bool { return len(c.groups) == 2 }
		wish := governor.Commissioning{Feeder: "f1", Limit: 8000}
		c := s.commission(t.Context(), g, wish, func(c *commissioned) {
			if begun(c) {
				setCaps(t, g, 2, lease("l1", 30_000, time.Now().Add(40*time.Second), time.Minute))
			}
		})
		if c.err != nil || c.result == nil || c.result.Done ||
			!strings.Contains(c.result.Message, "tenants' claims") {
			t.Errorf("with a claim: %+v, error %v", c.result, c.err)
		}
		if h := headroom(t, g); !strings.Contains(h.Reason, "workers are not") || h.Command == "" {
			t.Errorf("headroom after it stopped: %+v", h)
		}
		s.run(5 * time.Minute)
		setCaps(t, g, 3)
		s.run(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		c = s.commission(ctx, g, wish, func(c *commissioned) {
			if begun(c) {
				cancel()
			}
		})
		if !errors.Is(c.err, context.Canceled) {
			t.Errorf("with nobody listening: %v", c.err)
		}
		s.run(time.Minute)
		if n := one(g).Curtailed; n > 0 {
			t.Errorf("%d are still asleep", n)
		}
		s.neverOver()
	})
}

// Ensure that observe refuses with the command to run, and that advise and a dry run order nothing.
func TestCommission_OrdersNothingUnarmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.unproven()
		s.feeder.Arm = fleet.Observe
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		wish := governor.Commissioning{Feeder: "f1", Limit: 8000}
		c := s.commission(t.Context(), g, wish, nil)
		if !errors.Is(c.err, governor.ErrState) || !strings.Contains(c.err.Error(), "site arm f1 act") {
			t.Errorf("in observe: %v", c.err)
		}
		if err := g.SetArm(t.Context(), "f1", fleet.Advise); err != nil {
			t.Fatal(err)
		}
		c = s.commission(t.Context(), g, wish, nil)
		if c.err != nil || c.plan == nil || !c.plan.DryRun || c.plan.Groups == 0 || c.plan.Why == "" {
			t.Errorf("in advise: %+v, error %v", c.plan, c.err)
		}
		if err := g.SetArm(t.Context(), "f1", fleet.Act); err != nil {
			t.Fatal(err)
		}
		before := s.writes()
		wish.DryRun = true
		if c = s.commission(t.Context(), g, wish, nil); c.err != nil || s.writes() != before {
			t.Errorf("dry run: %d writes, error %v", s.writes()-before, c.err)
		}
		wish.Limit = 1000
		c = s.commission(t.Context(), g, wish, nil)
		if !errors.Is(c.err, governor.ErrShort) && c.err != nil || c.plan == nil || len(c.plan.Skipped) == 0 {
			t.Errorf("machines larger than the limit: %+v, error %v", c.plan, c.err)
		}
		wish.Feeder = "f9"
		if c = s.commission(t.Context(), g, wish, nil); !errors.Is(c.err, governor.ErrUnknown) {
			t.Errorf("no such feeder: %v", c.err)
		}
	})
}

// Ensure that real dispatches teach how machines answer.
func TestGovernor_LearnsFromDispatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		for _, d := range s.devices {
			s.links[d.worker.ID].SetFirmware("own 1.0")
			s.registry.Open(d.worker.ID, func() {}) // a newer session that does not say
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(20 * time.Second)
		setCaps(t, g, 2, lease("l1", 60_000, time.Now().Add(30*time.Second), time.Minute))
		s.run(40 * time.Second)
		rs := g.Responses()
		if len(rs) == 0 {
			t.Fatal("nothing was learnt")
		}
		for _, r := range rs {
			if r.Firmware != "own 1.0" || !r.Metered || r.Freed < 0.5 || r.Shed < time.Second ||
				r.Failures > 0 || r.Orders == 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}
