package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// wordsOf is a worker's state for people.
func wordsOf(g *governor.Governor, id pool.WorkerID) string {
	for _, w := range one(g).Workers {
		if w.ID == id {
			return w.State
		}
	}
	return ""
}

// reduced is any machine that was told to draw less.
func (s *sim) reduced() *device {
	for _, d := range s.devices {
		if n := len(d.orders()); n > 0 && d.orders()[n-1].Watts < d.worker.Curve.Full().Watts {
			return d
		}
	}
	return nil
}

// Ensure that a machine which says that it sleeps while its shares come as before is named as lying
// and replaced, shown to people as such, and nobody honest is.
func TestGovernor_NamesLiarsByTheirShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		for _, d := range s.devices {
			s.links[d.worker.ID].SetShareWork(uint64(d.worker.Curve.Full().Hashrate))
		}
		for _, d := range s.devices[:6] {
			d.liar = true
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		curtail(t, g, governor.Curtailment{Site: "s1", Watts: 25_000, For: 20 * time.Minute})
		s.run(3 * time.Minute)
		lying := 0
		for i, d := range s.devices {
			said := len(d.orders()) > 0
			if state := wordsOf(g, d.worker.ID); state == "LYING" != (said && i < 6) {
				t.Errorf("%s, a liar: %v, told: %v, is %q", d.worker.ID, i < 6, said, state)
			} else if state == "LYING" {
				lying++
			}
		}
		if lying == 0 {
			t.Error("no liar was told anything")
		}
		if st := one(g); st.Lying != lying || !strings.Contains(st.State, "hash as before") {
			t.Errorf("the feeder shows %d of %d liars and is %q", st.Lying, lying, st.State)
		}
		if freed := s.fullMining() - s.miningTruth(); freed < 25_000 {
			t.Errorf("%v are free, 25 kW were ordered: liars were not replaced", freed)
		}
	})
}

// fullMining is what all machines draw at full power.
func (s *sim) fullMining() (w unit.Watts) {
	for _, d := range s.devices {
		w += d.worker.Curve.Full().Watts
	}
	return w
}

// Ensure that a machine that somebody else wakes is told three times again and then left alone, over a
// restart too, until an operator releases it.
func TestGovernor_QuarantinesWhoIsSetByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		curtail(t, g, governor.Curtailment{Site: "s1", Watts: 20_000, For: time.Hour})
		s.run(20 * time.Second)
		d := s.reduced()
		if d == nil {
			t.Fatal("nobody was told anything")
		}
		id := d.worker.ID
		err := g.Release(t.Context(), id)
		if err == nil || !strings.Contains(err.Error(), "not quarantined") {
			t.Errorf("releasing who is free: %v", err)
		}
		told := len(d.orders())
		for n := range 4 {
			d.wakeUp()
			s.run(30 * time.Second)
			want := told + min(n+1, 3)
			if got := len(d.orders()); got != want {
				t.Errorf("after it was woken %d times it was told %d times, want %d", n+1, got, want)
			}
		}
		quarantined := func(g *governor.Governor) bool {
			list := g.Quarantines()
			return len(list) == 1 && list[0].Worker == id && one(g).Isolated == 1 &&
				strings.Contains(list[0].Why, "woke by itself") && wordsOf(g, id) == "QUARANTINED"
		}
		if !quarantined(g) {
			t.Fatalf("it is %q, quarantined are %+v", wordsOf(g, id), g.Quarantines())
		}
		if freed := s.fullMining() - s.miningTruth(); freed < 20_000 {
			t.Errorf("%v are free without it, 20 kW were ordered", freed)
		}
		s.run(10 * time.Second)
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 2)
		s.run(30 * time.Second)
		if !quarantined(g) {
			t.Fatalf("after a restart it is %q, quarantined are %+v", wordsOf(g, id), g.Quarantines())
		}
		if err := g.Release(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		s.run(2 * time.Minute)
		if len(g.Quarantines()) > 0 || wordsOf(g, id) == "QUARANTINED" {
			t.Errorf("released it is %q", wordsOf(g, id))
		}
		if err := g.Release(t.Context(), "a.nobody"); err == nil {
			t.Error("nobody was released")
		}
		s.neverOver()
	})
}

// Ensure that a governor which begins anew at any instant of a dispatch looks and goes on: the end is the
// same as without, nothing is above the limit, and no more is freed than one machine beyond what was
// asked.
func TestGovernor_GoesOnFromAnyInstantOfADispatch(t *testing.T) {
	for cut := 100 * time.Millisecond; cut < 20*time.Second; cut += 1300 * time.Millisecond {
		t.Run(cut.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 20)
				cfg := s.config()
				cfg.Journal = mem.New()
				g, stop := s.start(cfg)
				claim := lease("l1", 20_000, time.Now().Add(40*time.Second), 10*time.Minute)
				setCaps(t, g, 1, claim)
				s.run(10*time.Second + cut) // ordering begins after ten
				stop()
				s.run(2 * time.Second)
				cfg.Term = 2
				g, stop = s.start(cfg)
				defer stop()
				setCaps(t, g, 1, claim)
				most := unit.Watts(0)
				for range 90 {
					s.run(time.Second)
					most = max(most, s.fullMining()-s.miningTruth())
				}
				s.proofs(g)
				if p := s.proof["l1"]; !p.Free {
					t.Errorf("not proven free: %+v", p)
				}
				need := s.fullMining() + s.base + 20_000 - (s.feeder.Limit - s.feeder.Reserve)
				if allowed := need*102/100 + 4000; most > allowed {
					t.Errorf("%v were free at most, %v are needed: %v is accepted", most, need, allowed)
				}
				s.neverOver()
			})
		})
	}
}
