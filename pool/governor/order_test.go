package governor_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that a machine which cannot hold a reduction without us is told to let go rather than to hold,
// which it would refuse, and is refreshed so that it never does.
func TestGovernor_AsksToHoldOnlyWhoCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		for i, d := range s.devices {
			d.capability.HoldsAlone = i%2 == 0
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 30_000, time.Now(), time.Hour))
		s.until("proof", 30*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		s.run(3 * time.Minute)
		reduced := map[bool]int{}
		for _, d := range s.devices {
			o := d.orders()
			if len(o) == 0 || o[len(o)-1].Mode == fleet.Free {
				continue
			}
			can := d.capability.HoldsAlone
			reduced[can]++
			d.mu.Lock()
			until := d.until
			d.mu.Unlock()
			if o[len(o)-1].FailHold != can || time.Now().After(until) {
				t.Errorf("%s can hold: %v, ordered %+v until %v", d.worker.ID, can, o[len(o)-1], until)
			}
			if len(o) != 1 {
				t.Errorf("%s got %d orders", d.worker.ID, len(o))
			}
		}
		if reduced[true] == 0 || reduced[false] == 0 {
			t.Errorf("reduced are %v: the test shows nothing", reduced)
		}
		if f := g.Status().Failures; f > 0 {
			t.Errorf("%d orders failed", f)
		}
	})
}

// Ensure that the absence of shares is no evidence where there never were any, and where so few are
// due that their absence means nothing, as behind a proxy.
func TestGovernor_TakesSilenceForEvidenceOnlyWhereSharesAreDue(t *testing.T) {
	for name, show := range map[string]func(l *fleet.Link, d *device){
		"never a share": func(*fleet.Link, *device) {},
		"one share in ten minutes": func(l *fleet.Link, d *device) {
			l.SetShareWork(uint64(float64(d.worker.Curve.Full().Hashrate) * 600))
			l.Count(1, 600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 4)
				for _, d := range s.devices {
					d.silent, d.deaf, d.capability.ShedIn = true, true, 20*time.Second
					show(s.links[d.worker.ID], d)
				}
				g, stop := s.start(s.config())
				defer stop()
				setCaps(t, g, 1, lease("l1", 10_000, time.Now(), time.Hour))
				for range 120 {
					s.run(500 * time.Millisecond)
					for _, w := range one(g).Workers {
						if w.Evidence > fleet.Acknowledged {
							t.Fatalf("%s: evidence is %v", w.ID, w.Evidence)
						}
					}
				}
			})
		})
	}
}

// change is a device's move to an order.
type change struct {
	at    time.Time
	watts unit.Watts // more than before
}

func (s *sim) changes() (all []change) {
	for _, d := range s.devices {
		before := d.worker.Curve.Full().Watts
		d.mu.Lock()
		orders, at := slices.Clone(d.set), slices.Clone(d.setAt)
		d.mu.Unlock()
		for i, o := range orders {
			all = append(all, change{at[i], o.Watts - before})
			before = o.Watts
		}
	}
	slices.SortFunc(all, func(a, b change) int { return a.at.Compare(b.at) })
	return all
}

// Ensure, over random fleets, ramps and leases, that a bulk of reductions goes out at once, and that
// no span of time sees more watts ordered back than the ramp gives in it and one machine more.
func TestGovernor_SpreadsReturnsAndNotReductions(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			s := newSim(t, 20+r.IntN(60))
			for _, d := range s.devices {
				d.capability.CanCap = r.IntN(2) == 0
				d.wake = time.Duration(1+r.IntN(20)) * time.Second
			}
			s.feeder.Restore = s.feeder.Limit * unit.Watts(5+r.IntN(60)) / 1000
			cfg := s.config()
			g, stop := s.start(cfg)
			defer stop()
			s.run(5 * time.Second)
			begin := time.Now()
			l := lease("l1", s.feeder.Limit*unit.Watts(20+r.IntN(50))/100, begin, time.Minute)
			setCaps(t, g, 1, l)
			s.run(30 * time.Second)
			for _, c := range s.changes() {
				if late := c.at.Sub(begin); c.watts < 0 && late > cfg.Spread+2*cfg.Tick {
					t.Errorf("seed %d: a reduction by %v went out after %v", seed, -c.watts, late)
				}
			}
			s.until("restore", 10*time.Minute, func() bool {
				return time.Now().After(l.Until) && one(g).Curtailed == 0
			})
			s.checkRamp(seed)
			s.neverOver()
		})
	}
}

// checkRamp holds every span that begins and ends with a return against the feeder's ramp.
func (s *sim) checkRamp(seed uint64) {
	s.t.Helper()
	ups := slices.DeleteFunc(s.changes(), func(c change) bool { return c.watts <= 0 })
	if len(ups) == 0 {
		s.t.Fatal("nobody returned")
	}
	largest := slices.MaxFunc(ups, func(a, b change) int { return cmp.Compare(a.watts, b.watts) }).watts
	for i := range ups {
		var sum unit.Watts
		for _, c := range ups[i:] {
			sum += c.watts
			// A second's worth may have gathered, and the last one to go may pass it.
			span := c.at.Sub(ups[i].at).Seconds() + 1.3
			if most := unit.Watts(float64(s.feeder.Restore)*span) + largest; sum > most {
				s.t.Fatalf("seed %d: %v returned in %.1f s at a ramp of %v a second",
					seed, sum, span-1.3, s.feeder.Restore)
			}
		}
	}
}

// Ensure that a fleet whose pool has died does not return in one step: the dead men of a bulk of
// orders run out over a time as long as the shortest of them.
func TestGovernor_SpreadsDeadMen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 60)
		cfg := s.config()
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1, lease("l1", s.feeder.Limit/2, time.Now(), time.Hour))
		s.run(time.Minute)
		slots := map[time.Duration]int{} // by sixths of the spread
		total := 0
		for _, d := range s.devices {
			o := d.orders()
			if len(o) == 0 {
				continue
			}
			v := o[len(o)-1].ValidFor
			if v < cfg.ValidFor || v >= 2*cfg.ValidFor {
				t.Errorf("%s: valid for %v", d.worker.ID, v)
			}
			slots[(v-cfg.ValidFor)*6/cfg.ValidFor]++
			total++
		}
		for slot, n := range slots {
			if len(slots) < 5 || n > total/2 {
				t.Errorf("%d of %d lapse in slot %d of %d", n, total, slot, len(slots))
			}
		}
	})
}

// Ensure that a machine's word about its watts is forgotten when no newer one comes, though its
// connection lives: it may have woken, and the meter then tells.
func TestGovernor_ForgetsAnOldWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 30_000, time.Now(), time.Hour))
		s.until("proof", 30*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		var quiet *device
		for _, d := range s.devices {
			if d.says() == d.worker.Sleep {
				quiet = d
			}
		}
		quiet.mu.Lock()
		quiet.silent, quiet.deaf = true, true
		quiet.mu.Unlock()
		quiet.wakeUp()
		said := func() unit.Watts {
			for _, w := range one(g).Workers {
				if w.ID == quiet.worker.ID {
					return w.Reported
				}
			}
			return 0
		}
		s.run(10 * time.Second)
		if w := said(); w != quiet.worker.Sleep {
			t.Errorf("says %v after ten seconds of silence", w)
		}
		s.until("the meter to tell", time.Minute, func() bool {
			s.proofs(g)
			return said() < 0 && s.proof["l1"].Free
		})
		s.neverOver()
	})
}

// Ensure that shares which go on over another session are seen: a closed link's counter stands still,
// and that is no evidence.
func TestGovernor_SeesSharesOverAnotherSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 4)
		for _, d := range s.devices {
			d.silent, d.deaf, d.capability.ShedIn = true, true, time.Minute
			s.links[d.worker.ID].Count(1, 1e12)
		}
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 10_000, time.Now(), time.Hour))
		s.run(10 * time.Second)
		for _, d := range s.devices {
			s.disconnect(d)
			s.connect(d)
		}
		for range 100 {
			s.run(time.Second)
			for _, d := range s.devices {
				s.links[d.worker.ID].Count(1, uint64(d.worker.Curve.Full().Hashrate))
			}
			for _, w := range one(g).Workers {
				if w.Evidence > fleet.Acknowledged {
					t.Fatalf("%s: evidence is %v", w.ID, w.Evidence)
				}
			}
		}
	})
}

// Ensure that a worker which is much more than a second of the feeder's ramp, as a hall behind an
// agent, is told to come back over as long as that ramp takes.
func TestGovernor_RampsAHallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		hall := s.devices[0]
		for _, d := range s.devices[1:15] {
			for i := range hall.worker.Curve {
				hall.worker.Curve[i].Watts += d.worker.Curve[min(i, len(d.worker.Curve)-1)].Watts
				hall.worker.Curve[i].Hashrate += d.worker.Curve[min(i, len(d.worker.Curve)-1)].Hashrate
			}
		}
		s.devices = append(s.devices[:1], s.devices[15:]...)
		full := hall.worker.Curve.Full().Watts
		hall.draws, hall.next = full, full
		hall.capability.Max, hall.capability.CanCap, hall.capability.CanRamp = full, false, true
		s.feeder.Overload.Watts, s.feeder.Restore = full, 1000
		g, stop := s.start(s.config())
		defer stop()
		l := lease("l1", full, time.Now(), time.Minute)
		setCaps(t, g, 1, l)
		s.until("proof", 30*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		s.until("restore", 10*time.Minute, func() bool {
			return time.Now().After(l.Until) && one(g).Curtailed == 0
		})
		s.run(time.Second)
		back := 0
		for i, o := range hall.orders() {
			switch {
			case o.Mode != fleet.Free && o.Ramp != 0:
				t.Errorf("order %d sheds over %v", i, o.Ramp)
			case o.Mode == fleet.Free:
				back++
				if want := time.Duration(full-hall.worker.Sleep) * time.Second / 1000; o.Ramp != want {
					t.Errorf("order %d returns over %v, want %v", i, o.Ramp, want)
				}
			}
		}
		if back == 0 {
			t.Errorf("orders are %+v: the test shows nothing", hall.orders())
		}
		s.neverOver()
	})
}

// Ensure that why an order is not taken is known until it is, and of nobody else.
func TestGovernor_SaysWhyAnOrderIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		mute := func(is bool) {
			for _, d := range s.devices {
				d.mu.Lock()
				d.mute = is
				d.mu.Unlock()
			}
		}
		refused := func() (n int) {
			for _, w := range g.Status().Sites[0].Feeders[0].Workers {
				if w.Refused != nil {
					n++
				}
				late := errors.Is(w.Refused, context.DeadlineExceeded)
				if w.Refused != nil && (!late || w.Mode == fleet.Free) {
					t.Errorf("%s, %v: %v", w.ID, w.Mode, w.Refused)
				}
			}
			return n
		}
		mute(true)
		setCaps(t, g, 1, lease("l1", 30_000, time.Now(), time.Hour))
		s.until("orders that are not taken", 30*time.Second, func() bool { return refused() > 0 })
		mute(false)
		s.until("orders that are taken", 2*time.Minute, func() bool { return refused() == 0 })
	})
}

// Ensure that an order that was not taken is told again when its time has come, however far away the next
// look at everything is.
func TestGovernor_TellsAgainBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		cfg := s.config()
		cfg.Tick = 4 * time.Second
		g, stop := s.start(cfg)
		defer stop()
		deaf := s.devices[0]
		for _, d := range s.devices {
			d.mute = true
		}
		setCaps(t, g, 1, lease("l1", 30_000, time.Now(), time.Hour))
		s.until("an order that is not taken", 30*time.Second, func() bool {
			for _, w := range one(g).Workers {
				if w.Refused != nil {
					is := func(d *device) bool { return d.worker.ID == w.ID }
					deaf = s.devices[slices.IndexFunc(s.devices, is)]
					return true
				}
			}
			return false
		})
		deaf.mu.Lock()
		deaf.mute = false
		deaf.mu.Unlock()
		s.run(700 * time.Millisecond)
		if len(deaf.orders()) == 0 {
			t.Errorf("%s is not told again within 0.7 s", deaf.worker.ID)
		}
	})
}
