package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/storage/mem"
)

// curtail runs a curtailment in the background and keeps its reports.
func curtail(
	t *testing.T, g *governor.Governor, c governor.Curtailment,
) (reports func() []governor.CurtailUpdate) {
	t.Helper()
	ch := make(chan governor.CurtailUpdate, 1000)
	go func() {
		err := g.Curtail(t.Context(), c, func(u governor.CurtailUpdate) error {
			ch <- u
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}()
	var got []governor.CurtailUpdate
	return func() []governor.CurtailUpdate {
		for len(ch) > 0 {
			got = append(got, <-ch)
		}
		return got
	}
}

// Ensure that a curtailment does what its preview says, is proven by the meter, does not hold
// without us, and ends by itself.
func TestGovernor_CurtailsAsPreviewedAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		wish := governor.Curtailment{Site: "s1", Watts: 20_000, For: 2 * time.Minute}
		err := g.Curtail(t.Context(), wish, nil)
		if err == nil || !strings.Contains(err.Error(), "not known yet") {
			t.Errorf("before SetCaps: error %v", err)
		}
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		dry := wish
		dry.DryRun = true
		preview := curtail(t, g, dry)
		s.run(time.Second)
		p := preview()
		if len(p) != 1 || p[0].Preview == nil || p[0].Preview.Freed < 20_000 ||
			p[0].Preview.Cost <= 0 || s.writes() > 0 {
			t.Fatalf("preview %+v, %d orders", p, s.writes())
		}
		reports := curtail(t, g, wish)
		s.run(20 * time.Second)
		got := reports()
		last := got[len(got)-1]
		if last.Progress == nil || !last.Progress.Proven || !last.Progress.Done ||
			last.Progress.Baseline-last.Progress.Mining < 19_800 {
			t.Fatalf("last report %+v", last)
		}
		if d := cmp.Diff(p[0].Preview.Workers, got[0].Preview.Workers); d != "" {
			t.Errorf("the preview of the order differs from the dry run:\n%s", d)
		}
		for _, d := range s.devices {
			if o := d.orders(); len(o) > 0 && o[len(o)-1].FailHold {
				t.Errorf("%s holds for an operator: %+v", d.worker.ID, o[len(o)-1])
			}
		}
		s.run(3 * time.Minute)
		if st := one(g); st.Curtailed > 0 || st.Mining < st.Full*99/100 {
			t.Errorf("%d still curtailed after the end", st.Curtailed)
		}
		s.neverOver()
	})
}

// Ensure that a curtailment that cannot be had is named as a shortfall, with who is to blame.
func TestGovernor_NamesShortfallOfCurtailment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 10)
		for _, d := range s.devices {
			d.deaf = true
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		reports := curtail(t, g, governor.Curtailment{Site: "s1", Watts: 10_000, For: 10 * time.Minute})
		s.run(2 * time.Minute)
		got := reports()
		last := got[len(got)-1].Progress
		if last == nil || last.Proven || !last.Done || !strings.Contains(last.Message, "stuck: a.w") {
			t.Errorf("last report %+v", last)
		}
	})
}

// Ensure that a curtailment, an arm and an operator's word survive a restart.
func TestGovernor_RemembersOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.unheard = true
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		l := lease("l1", 5_000, time.Now(), 10*time.Second)
		setCaps(t, g, 1, l)
		s.run(15 * time.Second)
		setCaps(t, g, 2) // forgotten by the service, not by us
		reports := curtail(t, g, governor.Curtailment{Site: "s1", Watts: 10_000, For: 5 * time.Minute})
		s.run(20 * time.Second)
		if got := reports(); len(got) == 0 || got[0].Preview.Claim != "operator/1" {
			t.Fatalf("reports %+v", got)
		}
		stop()

		cfg.Term = 2
		g, stop = s.start(cfg)
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		if st := one(g); st.Claimed < 15_000 || st.Curtailed == 0 {
			t.Errorf("after the restart: claimed %v, %d curtailed", st.Claimed, st.Curtailed)
		}
		if err := g.ConfirmOff(t.Context(), "l1"); err != nil {
			t.Error(err)
		}
		if err := g.SetArm(t.Context(), "f1", fleet.Advise); err != nil {
			t.Error(err)
		}
		stop()
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(5 * time.Minute)
		if st := one(g); st.Arm != fleet.Advise || st.Claimed != 0 {
			t.Errorf("after the second restart: %v, claimed %v", st.Arm, st.Claimed)
		}
	})
}

// Ensure that a faulty wish is refused with the field's name.
func TestGovernor_RefusesFaultyCurtailments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 2)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		for want, c := range map[string]governor.Curtailment{
			"site \"s9\"": {Site: "s9", Watts: 1, For: time.Hour},
			"watts is 0":  {Site: "s1", For: time.Hour},
			"duration":    {Site: "s1", Watts: 1, For: 25 * time.Hour},
		} {
			if err := g.Curtail(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %v does not say %q", c, err, want)
			}
		}
	})
}
