package governor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

const elsewherePool = "other.example:3333"

var _ fleet.Probe = (*device)(nil)

// Probe says of the device what a vendor's interface would: it mines at a pool of somebody else.
func (d *device) Probe(ctx context.Context) (fleet.Sighting, error) {
	d.mu.Lock()
	mute := d.mute
	d.probes++
	d.mu.Unlock()
	if mute {
		<-ctx.Done()
		return fleet.Sighting{}, ctx.Err()
	}
	time.Sleep(20 * time.Millisecond)
	watts, now := d.says(), time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := fleet.Sighting{
		At: now, Activity: fleet.ActivityMining, Watts: watts, Wattage: fleet.WattsEstimated,
		Hashrate: d.worker.Curve.At(watts), Pool: elsewherePool, Firmware: "test 1",
	}
	if d.pool != "" {
		s.Pool = d.pool
	}
	s.Backups = d.backups
	switch {
	case now.Before(d.at) && !d.liar:
		s.Activity = fleet.ActivityMoving
	case watts <= d.worker.Sleep:
		s.Activity, s.Hashrate = fleet.ActivityAsleep, 0
	case watts < d.worker.Curve.Full().Watts:
		s.Target = watts
	}
	return s, nil
}

// leave ends all sessions: machines mine elsewhere and are known by their own interfaces.
func (s *sim) leave(cfg *governor.Config) {
	cfg.Probes = map[pool.WorkerID]fleet.Probe{}
	cfg.Actuators = map[pool.WorkerID]fleet.Actuator{}
	for _, d := range s.devices {
		if s.links[d.worker.ID] != nil {
			s.disconnect(d)
		}
		cfg.Probes[d.worker.ID], cfg.Actuators[d.worker.ID] = d, d
	}
}

// said finds an event.
func said(g *governor.Governor, text string) (governor.Event, bool) {
	for _, e := range g.Events(0) {
		if strings.Contains(e.Message, text) {
			return e, true
		}
	}
	return governor.Event{}, false
}

// Ensure that a site where all machines mine elsewhere carries a lease: freed and proven at the meter before
// its start, and restored after its end, within the limit.
func TestProbe_SiteThatMinesElsewhereCarriesALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		cfg := s.config()
		s.leave(&cfg)
		g, stop := s.start(cfg)
		defer stop()
		l := lease("l1", 40_000, time.Now().Add(75*time.Second), time.Minute)
		setCaps(t, g, 1, l)
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(l.From) || !now.Before(l.Until) {
				return 0
			}
			return l.Watts
		}
		s.run(44 * time.Second)
		if n := s.writes(); n > 0 {
			t.Errorf("%d orders before the notice began", n)
		}
		s.run(30 * time.Second)
		s.proofs(g)
		if p := s.proof["l1"]; !p.Free || p.Freed < 30_000 {
			t.Errorf("not proven before its start: %+v", p)
		}
		s.run(63 * time.Second)
		for _, w := range one(g).Workers {
			if !w.Elsewhere || !w.Reachable || w.Stuck || w.Firmware != "test 1" {
				t.Errorf("in the middle: %+v", w)
			}
		}
		s.until("restore", 2*time.Minute, func() bool { return one(g).Curtailed == 0 })
		s.run(time.Minute)
		if st := one(g); st.Mining < st.Full*99/100 || st.Stuck > 0 {
			t.Errorf("mining %v of %v, %s", st.Mining, st.Full, st.State)
		}
		s.neverOver()
	})
}

// Ensure that machines at rest are asked about every 30 s and those in a dispatch about every 5 s, never at
// once, and that a machine that does not answer is asked less and less often.
func TestProbe_AsksOftenOnlyInADispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		s.leave(&cfg)
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		asked := func(d *device) int {
			d.mu.Lock()
			defer d.mu.Unlock()
			n := d.probes
			d.probes = 0
			return n
		}
		s.run(30 * time.Second)
		for _, d := range s.devices {
			asked(d)
		}
		s.devices[3].mute = true
		s.run(10 * time.Minute)
		for i, d := range s.devices {
			if n := asked(d); i == 3 && n > 10 || i != 3 && (n < 19 || n > 21) {
				t.Errorf("%s: asked %d times in 10 minutes at rest", d.worker.ID, n)
			}
		}
		setCaps(t, g, 2, lease("l1", 25_000, time.Now(), time.Hour))
		s.run(time.Minute)
		for _, d := range s.devices {
			asked(d)
		}
		s.run(3 * time.Minute)
		for i, w := range one(g).Workers {
			n := asked(s.devices[i])
			if i != 3 && w.Mode != fleet.Free && (n < 34 || n > 38) || w.Mode == fleet.Free && n > 7 {
				t.Errorf("%s: asked %d times in 3 minutes, %v", w.ID, n, w.Mode)
			}
		}
	})
}

// Ensure that a machine that no longer answers counts in full, unless it holds its order by itself, that
// others give way in its place, and that it is told again when it is back.
func TestProbe_CountsTheUnreachableInFull(t *testing.T) {
	for _, holds := range []bool{false, true} {
		t.Run(fmt.Sprintf("holds %v", holds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 30)
				for _, d := range s.devices {
					d.capability.HoldsAlone = holds
				}
				cfg := s.config()
				s.leave(&cfg)
				g, stop := s.start(cfg)
				defer stop()
				setCaps(t, g, 1, lease("l1", 30_000, time.Now().Add(30*time.Second), time.Hour))
				s.until("proof", 90*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
				s.run(20 * time.Second)
				down := func() (n int) {
					for _, w := range one(g).Workers {
						if w.Mode != fleet.Free && w.Reachable {
							n++
						}
					}
					return n
				}
				before := down()
				lost := 0
				for i, w := range one(g).Workers {
					if w.Mode != fleet.Free && lost < 2 {
						d := s.devices[i]
						d.mu.Lock()
						d.mute = true
						d.mu.Unlock()
						lost++
					}
				}
				s.run(4 * time.Minute)
				unknown, after := one(g).Unknown, down()
				if holds && (unknown > 0 || after > before-lost) {
					t.Errorf("they hold: %d unknown, %d down, before %d", unknown, after, before)
				}
				if !holds && (unknown != lost || after < before) {
					t.Errorf("they may draw anything: %d unknown, %d down, before %d", unknown, after, before)
				}
				for _, d := range s.devices {
					d.mu.Lock()
					d.mute = false
					d.mu.Unlock()
				}
				s.run(5 * time.Minute)
				if st := one(g); st.Unknown > 0 || st.Stuck > 0 {
					t.Errorf("back: %d unknown, %d stuck, %s", st.Unknown, st.Stuck, st.State)
				}
				s.neverOver()
			})
		})
	}
}

// Ensure that machines that say they do as ordered and do not are made up for by others, as the meter shows.
func TestProbe_MeterOverrulesLiars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		cfg := s.config()
		s.leave(&cfg)
		for i, d := range s.devices {
			d.deaf, d.liar = i%10 == 1, i%10 == 8
		}
		g, stop := s.start(cfg)
		defer stop()
		l := lease("l1", 40_000, time.Now().Add(45*time.Second), 2*time.Minute)
		setCaps(t, g, 1, l)
		s.policy = func(now time.Time) unit.Watts {
			if s.proofs(g); s.proof["l1"].Free && now.After(l.From) && now.Before(l.Until) {
				return l.Watts
			}
			return 0
		}
		s.until("proof", 2*time.Minute, func() bool { s.proofs(g); return s.proof["l1"].Free })
		s.run(3 * time.Minute)
		s.neverOver()
		if _, ok := said(g, "stuck"); !ok {
			t.Error("nobody was named")
		}
	})
}

// Ensure that a machine whose session is gone and that hashes at another pool is named as escaped, one that
// only lost its way to ours is not, and that it is not escaped any more when it is back.
func TestProbe_NamesEscapedMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Probes = map[pool.WorkerID]fleet.Probe{}
		for _, d := range s.devices {
			d.pool, d.backups = "ours.example:3333", []string{elsewherePool}
			cfg.Probes[d.worker.ID] = d
		}
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(90 * time.Second)
		for i, d := range s.devices[:2] {
			s.disconnect(d)
			d.mu.Lock()
			if i == 0 {
				d.pool = elsewherePool
			}
			d.mu.Unlock()
		}
		s.run(2 * time.Minute)
		for i, w := range one(g).Workers {
			if w.Escaped != (i == 0) || w.Elsewhere != (i < 2) {
				t.Errorf("%s: escaped %v, elsewhere %v", w.ID, w.Escaped, w.Elsewhere)
			}
		}
		e, ok := said(g, "ESCAPED")
		if !ok || e.Worker != s.devices[0].worker.ID || e.Level != governor.Warn ||
			!strings.Contains(e.Message, elsewherePool) {
			t.Errorf("event: %+v", e)
		}
		if w := one(g).Workers[0]; !strings.Contains(w.State, "ESCAPED") {
			t.Errorf("state %q", w.State)
		}
		s.connect(s.devices[0])
		s.run(time.Second)
		if one(g).Workers[0].Escaped {
			t.Error("it is back")
		}
		n := 0
		for _, e := range g.Events(0) {
			if strings.Contains(e.Message, "backup pools") {
				n++
			}
		}
		if _, ok := said(g, "machines have backup pools"); !ok || n > 2 {
			t.Errorf("backup pools were told of %d times", n)
		}
	})
}

// Ensure that a machine which somebody else has put to sleep is seen to stray, and one that does as told is
// not.
func TestProbe_SeesForeignChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		s.leave(&cfg)
		g, stop := s.start(cfg)
		defer stop()
		l := lease("l1", 20_000, time.Now(), 2*time.Minute)
		setCaps(t, g, 1, l)
		s.run(time.Minute)
		setCaps(t, g, 2)
		s.until("restore", 3*time.Minute, func() bool { return one(g).Curtailed == 0 })
		s.run(2 * time.Minute)
		touched := -1
		for i, w := range one(g).Workers {
			if w.Stray != governor.NoStray {
				t.Errorf("%s: %v", w.ID, w.Stray)
			}
			if w.Command > 0 && touched < 0 {
				touched = i
			}
		}
		d := s.devices[touched]
		d.mu.Lock()
		d.turnTo(d.worker.Sleep, time.Now())
		d.mu.Unlock()
		s.run(35 * time.Second)
		if w := one(g).Workers[touched]; w.Stray != governor.StrayAsleep && w.Command < 3 {
			t.Errorf("put to sleep by hand: %+v", w)
		}
	})
}

// Ensure that a site where machines mine elsewhere is commissioned like any other, and that what it then can
// deliver is less than that of machines with sessions here, for that reason.
func TestProbe_CommissionsAndDeratesMachinesElsewhere(t *testing.T) {
	firm := map[bool]governor.Headroom{}
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 40)
			s.feeder.Trusted = false
			s.feeder.Limit += s.feeder.Limit / 20
			cfg := s.config()
			if away {
				s.leave(&cfg)
			}
			g, stop := s.start(cfg)
			setCaps(t, g, 1)
			s.run(45 * time.Second)
			done := make(chan error, 1)
			var result *governor.CommissionResult
			go func() {
				done <- g.Commission(t.Context(), governor.Commissioning{Feeder: "f1", Limit: 20_000},
					func(u governor.CommissionUpdate) error {
						if u.Result != nil {
							result = u.Result
						}
						return nil
					})
			}()
			s.until("commissioned", time.Hour, func() bool { return len(done) > 0 })
			stop()
			if err := <-done; err != nil || result == nil || !result.Done || result.Proven != 40 {
				t.Fatalf("away %v: %v, %+v", away, err, result)
			}
			firm[away] = result.Headroom
			s.neverOver()
		})
	}
	here, there := firm[false], firm[true]
	freed := there.Sheds - there.NotFreed
	if here.Elsewhere != 0 || there.NoSession != 40 || there.Elsewhere < freed*99/1000 ||
		there.Firm > here.Firm-there.Elsewhere/2 || !strings.Contains(there.Basis(), "without a session") {
		t.Errorf("here %v (%s), there %v (%s)", here.Firm, here.Basis(), there.Firm, there.Basis())
	}
}

// Ensure that whatever machines that mine elsewhere do - lie, ignore orders, fall silent and come back - the
// limit is not crossed for longer than the overload allows, for random fleets and faults.
func TestProbe_NeverCrossesTheLimit(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			s := newSim(t, 30)
			cfg := s.config()
			s.leave(&cfg)
			g, stop := s.start(cfg)
			defer stop()
			var claims []fleet.Cap
			s.policy = func(now time.Time) (sum unit.Watts) {
				s.proofs(g)
				for _, c := range claims {
					if s.proof[c.Claim].Free && !now.Before(c.From) && now.Before(c.Until) {
						sum += c.Watts
					}
				}
				return sum
			}
			for round := range 8 {
				start := time.Now().Add(time.Duration(20+rng.IntN(40)) * time.Second)
				claims = append(claims, lease(fmt.Sprintf("l%d", round), unit.Watts(5000+rng.IntN(10_000)),
					start, time.Duration(60+rng.IntN(240))*time.Second))
				setCaps(t, g, fleet.Revision(round+1), claims...)
				d := s.devices[rng.IntN(len(s.devices))]
				d.mu.Lock()
				switch rng.IntN(4) {
				case 0:
					d.mute = !d.mute
				case 1:
					d.deaf = !d.deaf
				case 2:
					d.liar = true
				}
				d.mu.Unlock()
				s.run(time.Duration(30+rng.IntN(90)) * time.Second)
			}
			s.run(3 * time.Minute)
			if s.over > 0 {
				t.Errorf("seed %d: over %v for %v, up to %v", seed, s.feeder.Limit, s.over, s.most)
			}
		})
	}
}

// Ensure that a sum of devices takes the word of machines that mine elsewhere, and counts those in full that
// do not answer.
func TestProbe_FeedsTheSumOfDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 10)
		cfg := s.config()
		s.leave(&cfg)
		sum := &governor.SumOfDevices{Registry: s.registry, Workers: cfg.Workers, Permille: 100}
		cfg.Meters = []governor.Meter{{
			Name: "words", Feeder: "f1", Role: fleet.Mining, Meter: sum, Words: true, Suffices: true,
		}}
		_, stop := s.start(cfg)
		defer stop()
		for _, d := range s.devices[:4] {
			d.mu.Lock()
			d.draws, d.next = d.worker.Sleep, d.worker.Sleep
			d.mute = d == s.devices[0]
			d.mu.Unlock()
		}
		s.run(20 * time.Second)
		want := s.devices[0].worker.Curve.Full().Watts
		for _, d := range s.devices[1:] {
			want += d.draws + d.draws/10
		}
		if r, err := sum.Read(t.Context()); err != nil || r.Watts != want {
			t.Errorf("%v, %v: not %v", r.Watts, err, want)
		}
	})
}

// Ensure that the work which machines that mine elsewhere did not do is told by the hashrate that they said
// they had, and that none of them counts as unmeasured.
func TestProbe_MeasuresWorkByWordsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		var n notes
		cfg := s.config()
		s.leave(&cfg)
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(5 * time.Minute)
		setCaps(t, g, 2, lease("l1", 20_000, time.Now(), 2*time.Minute))
		s.run(110 * time.Second)
		var lost float64 // a second, by the truth
		for _, d := range s.devices {
			lost += float64(d.worker.Curve.Full().Hashrate)
			if w := d.says(); w >= d.worker.Curve[0].Watts {
				lost -= float64(d.worker.Curve.At(w))
			}
		}
		stop()
		var missing float64
		for _, r := range n.of(audit.Reading) {
			missing += r.Due - r.Done
			if r.Unmeasured > 0 {
				t.Errorf("%d unmeasured at %v", r.Unmeasured, r.At)
			}
		}
		if seconds := missing / lost; seconds < 90 || seconds > 125 {
			t.Errorf("the work of %.0f s is missing, not that of 110", seconds)
		}
	})
}

// Ensure that a new process takes machines that mine elsewhere over as they are in the middle of a lease: it
// waits until they have spoken, frees nothing a second time, and lets nobody return.
func TestProbe_RestartsInTheMiddleOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		cfg := s.config()
		s.leave(&cfg)
		g, stop := s.start(cfg)
		l := lease("l1", 40_000, time.Now().Add(60*time.Second), 5*time.Minute)
		s.policy = func(now time.Time) unit.Watts {
			if now.After(l.From) && now.Before(l.Until) {
				return l.Watts
			}
			return 0
		}
		setCaps(t, g, 1, l)
		s.run(90 * time.Second)
		before, mining := one(g).Curtailed, s.miningTruth()
		stop()
		s.run(5 * time.Second)
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer func() { stop() }()
		setCaps(t, g, 1, l)
		least := mining
		for range 60 {
			s.run(time.Second)
			least = min(least, s.miningTruth())
		}
		largest := s.devices[0].worker.Curve.Full().Watts
		if after := one(g).Curtailed; after < before || least < mining-largest {
			t.Errorf("%d give way, mining drew %v at least; before the restart %d and %v",
				after, least, before, mining)
		}
		s.until("restore", 8*time.Minute, func() bool { return one(g).Curtailed == 0 })
		s.run(time.Minute)
		s.neverOver()
	})
}
