package governor_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
)

// doomed is a journal whose process is killed: nothing that it is told after that is written.
type doomed struct {
	storage.Journal
	dead atomic.Bool
}

func (d *doomed) Append(ctx context.Context, writes ...storage.Write) (storage.Seq, error) {
	if d.dead.Load() {
		return 0, errors.New("the process is gone")
	}
	return d.Journal.Append(ctx, writes...)
}

// Ensure that what sleeping machines would have earned is told by their measured hashrate over a kill in the
// middle of a lease: they cannot be measured again before they wake, and their nameplate is no evidence.
func TestGovernor_RemembersMeasuredHashratesOverAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		var before, after notes
		journal := &doomed{Journal: mem.New()}
		cfg := s.config()
		cfg.Audit, cfg.Journal = before.take, journal
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(3 * time.Minute)
		l := lease("l1", 20_000, time.Now().Add(30*time.Second), time.Hour)
		setCaps(t, g, 2, l)
		s.run(90 * time.Second)
		journal.dead.Store(true)
		stop()
		cfg.Audit, cfg.Journal = after.take, journal.Journal
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 3, l)
		s.run(2 * time.Minute)
		due := func(n *notes) (rate float64) {
			list := n.of(audit.Reading)
			last, was := list[len(list)-1], list[len(list)-2]
			if last.Reduced == 0 || last.Unmeasured > 0 || last.Faulty > 0 {
				t.Errorf("reading %+v", last)
			}
			return last.Due / last.At.Sub(was.At).Seconds()
		}
		if a, b := due(&before), due(&after); a <= 0 || math.Abs(a-b) > 0.03*a {
			t.Errorf("%.4g hashes a second were due before the kill, %.4g after", a, b)
		}
	})
}

// Ensure that measured hashrates survive however often they were written, and that their stream stays short.
func TestGovernor_KeepsTheStreamOfHashratesShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		stop()
		for i := range 200 {
			id := s.devices[i%3].worker.ID
			if err := g.WriteStable(t.Context(), map[pool.WorkerID]float64{id: float64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		records := 0
		from, _, err := cfg.Journal.Snapshot(t.Context(), "stable")
		if err == nil {
			err = cfg.Journal.Replay(t.Context(), "stable", from, func(storage.Seq, []byte) error {
				records++
				return nil
			})
		}
		if err != nil || records > 64 || from == 0 {
			t.Errorf("%d records after %d, error %v", records, from, err)
		}
		g, stop = s.start(cfg)
		defer stop()
		for i, want := range []float64{198, 199, 197} {
			if got, known := g.Stable(s.devices[i].worker.ID); !known || got != want {
				t.Errorf("%s: %v %v, want %v", s.devices[i].worker.ID, got, known, want)
			}
		}
		if got, known := g.Stable(s.devices[3].worker.ID); known {
			t.Errorf("a worker that nobody measured hashes %v", got)
		}
	})
}

// Ensure that income foregone is counted by what machines were measured to do, never by their nameplates, and
// that a machine which does not do as ordered, or that hashed nothing at full power, adds nothing to it.
func TestGovernor_CountsForegoneByMeasuredHashrateAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		for _, d := range s.devices {
			d.hashes = 0.7
		}
		s.devices[3].deaf = true
		s.devices[4].hashes = 1e-15 // it heats the hall
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(3 * time.Minute)
		setCaps(t, g, 2, lease("l1", 50_000, time.Now(), time.Hour))
		s.run(45 * time.Second)
		want := 0.0
		for i, d := range s.devices {
			all := d.orders()
			if len(all) > 0 && all[len(all)-1].Mode != fleet.Free && i != 3 && i != 4 {
				want += 0.7 * float64(d.worker.Curve.Full().Hashrate)
			}
		}
		list := n.of(audit.Reading)
		last, was := list[len(list)-1], list[len(list)-2]
		got := last.Due / last.At.Sub(was.At).Seconds()
		if want == 0 || math.Abs(got-want) > 0.02*want || last.Faulty != 1 {
			t.Errorf("%.4g hashes a second are due, %.4g were measured; %+v", got, want, last)
		}
	})
}
