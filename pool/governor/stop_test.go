package governor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
)

// asleep is what the site's mining draws when all of it is at its minimum.
func (s *sim) asleep() (sum unit.Watts) {
	for _, d := range s.devices {
		sum += d.worker.Sleep
	}
	return sum
}

// Ensure that an emergency stop brings every machine of a site to its minimum, pinned ones and ones that
// have just woken too, before anything is known of tenants, that neither a restart nor time ends it, that
// who comes back is told too, and that only a person ends it.
func TestGovernor_StopsASiteUntilResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.devices[3].worker.Pinned = true
		s.devices[4].worker.MinRun = time.Hour
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		s.run(2 * time.Second)
		away := s.devices[5]
		s.disconnect(away)
		s.run(2 * time.Second)
		r, err := g.Stop(t.Context(), "s1", "smoke in hall 2")
		if err != nil || r.Workers != 19 || r.Away != 1 || len(r.Unarmed) != 0 {
			t.Fatalf("the stop reaches %+v, error %v", r, err)
		}
		s.until("all machines are down", 10*time.Second, func() bool {
			return s.miningTruth() <= s.asleep()+away.worker.Curve.Full().Watts
		})
		if n := s.writes(); n != 19 {
			t.Errorf("%d orders were written for 19 machines", n)
		}
		s.connect(away)
		s.until("who comes back is down", 15*time.Second, func() bool {
			return s.miningTruth() <= s.asleep()
		})
		setCaps(t, g, 1)
		s.run(time.Hour)
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer stop()
		s.run(time.Minute)
		setCaps(t, g, 1)
		s.run(10 * time.Minute)
		if w := s.miningTruth(); w > s.asleep() {
			t.Errorf("after a restart mining draws %v", w)
		}
		st := g.Status().Sites[0]
		if st.Stop == nil || st.Stop.Reason != "smoke in hall 2" ||
			!strings.Contains(st.Feeders[0].State, "emergency stop") {
			t.Errorf("the status says %+v, %q", st.Stop, st.Feeders[0].State)
		}
		for _, d := range s.devices {
			if o := d.orders(); !o[len(o)-1].FailHold {
				t.Fatalf("%s would come back without us", d.worker.ID)
			}
		}
		if err := g.Resume(t.Context(), "s1"); err != nil {
			t.Fatal(err)
		}
		s.until("mining is back", 5*time.Minute, func() bool { return s.miningTruth() >= one(g).Full*99/100 })
		s.neverOver()
		if err := g.Resume(t.Context(), "s1"); !errors.Is(err, governor.ErrState) {
			t.Errorf("to resume twice gives %v", err)
		}
	})
}

// Ensure that a stop touches no feeder that is not armed to act, and says so.
func TestGovernor_StopSaysWhatItCannotReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		g, stop := s.start(s.config())
		defer stop()
		if err := g.SetArm(t.Context(), "f1", fleet.Advise); err != nil {
			t.Fatal(err)
		}
		for what, want := range map[fleet.SiteID]error{"s1": governor.ErrState, "s2": governor.ErrUnknown} {
			if _, err := g.Stop(t.Context(), what, ""); !errors.Is(err, want) {
				t.Errorf("a stop of %s gives %v, want %v", what, err, want)
			}
		}
		for _, reason := range []string{strings.Repeat("x", governor.MaxReason+1), "a\x1b[31m"} {
			_, err := g.Stop(t.Context(), "s1", reason)
			if err == nil || !strings.Contains(err.Error(), "reason") {
				t.Errorf("reason %.10q gives %v", reason, err)
			}
		}
		s.run(5 * time.Second)
		if n := s.writes(); n != 0 {
			t.Errorf("%d orders were written", n)
		}
	})
}

// full is a journal that takes nothing any more.
type full struct{ storage.Journal }

var errFull = errors.New("no space left on device")

func (full) Append(context.Context, ...storage.Write) (storage.Seq, error) { return 0, errFull }

// Ensure that a stop does not wait for a disk: it is in force and the error says what is missing.
func TestGovernor_StopsEvenIfItCannotBeWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		cfg := s.config()
		cfg.Journal = full{mem.New()}
		g, stop := s.start(cfg)
		defer stop()
		s.run(time.Second)
		if _, err := g.Stop(t.Context(), "s1", ""); !errors.Is(err, errFull) {
			t.Errorf("error %v", err)
		}
		s.until("all machines are down", 10*time.Second, func() bool { return s.miningTruth() <= s.asleep() })
	})
}
