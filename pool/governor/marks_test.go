package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/storage/mem"
)

// statusOf is what a governor says of one worker of its only feeder.
func statusOf(t *testing.T, g *governor.Governor, id pool.WorkerID) governor.WorkerStatus {
	t.Helper()
	for _, w := range one(g).Workers {
		if w.ID == id {
			return w
		}
	}
	t.Fatalf("there is no worker %s", id)
	return governor.WorkerStatus{}
}

// Ensure that a machine whose shares gave it away as a liar is one after a restart too, and no capacity,
// until an operator releases it, which lasts as well.
func TestGovernor_KnowsLiarsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Journal, cfg.RetryStuck = mem.New(), 5*time.Minute
		for _, d := range s.devices {
			d.liar = d.worker.ID == s.devices[0].worker.ID
		}
		id := s.devices[0].worker.ID
		g, stop := s.start(cfg)
		l := lease("l1", s.fullMining()*9/10, time.Now().Add(time.Minute), 2*time.Hour)
		setCaps(t, g, 1, l)
		s.until("liar is named", 20*time.Minute, func() bool { return statusOf(t, g, id).Lying })
		counted := one(g).Headroom.Counted
		s.run(6 * time.Second) // until it is written
		for term := range uint32(2) {
			stop()
			cfg.Term = 2 + term
			g, stop = s.start(cfg)
			setCaps(t, g, 1, l)
			s.run(2 * time.Second)
			if lies := statusOf(t, g, id).Lying; lies != (term == 0) {
				t.Errorf("after restart %d it lies: %v", term+1, lies)
			}
			if term == 0 {
				s.run(time.Minute)
				if n := one(g).Headroom.Counted; n > counted {
					t.Errorf("%d workers are counted on, %d were before", n, counted)
				}
				if err := g.Release(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if statusOf(t, g, id).Lying {
					t.Error("released it still lies")
				}
			}
		}
		stop()
		err := g.Release(t.Context(), id)
		if err == nil || !strings.Contains(err.Error(), "not quarantined, nor named a liar") {
			t.Errorf("released twice: %v", err)
		}
	})
}

// Ensure that a machine that escaped to another pool is still said to have after a restart, until it is back.
func TestProbe_KnowsEscapedMachinesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Journal, cfg.Probes = mem.New(), map[pool.WorkerID]fleet.Probe{}
		for _, d := range s.devices {
			d.pool, cfg.Probes[d.worker.ID] = "ours.example:3333", d
		}
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(90 * time.Second)
		d := s.devices[0]
		s.disconnect(d)
		d.mu.Lock()
		d.pool = elsewherePool
		d.mu.Unlock()
		s.run(2 * time.Minute)
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(15 * time.Second)
		if w := statusOf(t, g, d.worker.ID); !w.Escaped || !strings.Contains(w.State, "ESCAPED") {
			t.Errorf("after a restart it is %q", w.State)
		}
		if _, again := said(g, "ESCAPED"); again {
			t.Error("people are told of it twice")
		}
		s.connect(d)
		s.run(10 * time.Second)
		if statusOf(t, g, d.worker.ID).Escaped {
			t.Error("it is back")
		}
	})
}
