package sim

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Ensure that the little machines of a demonstration change nobody else: names, places and curves of the
// rest are those of a site without them, limits within what they draw, and every feeder has as many of them.
func TestDemoSite_LittleMachinesStandBeside(t *testing.T) {
	for n, want := range map[int]int{8: 0, 50: 0, 99: 0, 100: 4, 200: 8, 1000: 40} {
		p, bare := DemoSite(n), SiteOf(n, Large())
		if len(p.Workers) != n+want {
			t.Fatalf("%d machines have %d others beside them, want %d", n, len(p.Workers)-n, want)
		}
		for i, w := range bare.Workers {
			if got := p.Workers[i]; got.ID != w.ID || got.Feeder != w.Feeder || got.Wear != w.Wear ||
				!slices.Equal(got.Curve, w.Curve) {
				t.Fatalf("machine %d of %d is %+v, want %+v", i+1, n, got, w)
			}
		}
		on := map[fleet.FeederID]int{}
		for _, w := range p.Workers[n:] {
			if on[w.Feeder]++; w.Model != little || !strings.HasPrefix(string(w.ID), "north.axe-") {
				t.Fatalf("%s is a %s", w.ID, w.Model)
			}
		}
		for i, f := range p.Sites[0].Feeders {
			few := float64(want/len(p.Sites[0].Feeders)) * 22 // watts, each with its share of base load
			if more := float64(f.Limit - bare.Sites[0].Feeders[i].Limit); more < 0 || more > few+10 {
				t.Errorf("%d machines: limit of %s is %v W higher", n, f.ID, more)
			}
			if on[f.ID] != want/len(p.Sites[0].Feeders) {
				t.Errorf("%d machines: %d little ones on %s", n, on[f.ID], f.ID)
			}
		}
	}
}

// Ensure that a Bitaxe is on its way for about as long as its clock takes by the source of its firmware, and
// that it hashes what its power makes at any moment.
func TestDevice_BitaxeFollowsItsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := SiteOf(12, []string{little})
		s := newTestSite(t, p)
		for _, w := range p.Workers {
			d := s.devices[w.ID]
			d.order(0, fleet.Paused, 0, 0, 0)
			if took := d.end; took < 7*time.Second || took > 10*time.Second {
				t.Errorf("%s is down after %v, want about 8.2 s", w.ID, took)
			}
			before := d.hashrate(d.planned(0))
			for at := time.Duration(0); at <= d.end; at += 100 * time.Millisecond {
				watts, h := d.planned(at), d.hashrate(d.planned(at))
				if h > before {
					t.Fatalf("%s hashes %v at %v W, and %v before", w.ID, h, watts, before)
				}
				before = h
			}
			if h := d.hashrate(d.planned(d.end)); h != 0 {
				t.Errorf("%s hashes %v asleep", w.ID, h)
			}
			down := d.end
			d.order(down, fleet.Free, 0, 0, 0)
			if took := d.end - down; took < 9*time.Second || took > 14*time.Second {
				t.Errorf("%s is back after %v, want about 11 s", w.ID, took)
			}
			if h := d.hashrate(d.planned(d.end)); math.Abs(float64(h)-1.07e12) > 1e9 {
				t.Errorf("%s hashes %v at full power, want 1.07 TH/s", w.ID, h)
			}
		}
	})
}

// Ensure that Bitaxes really mine over Stratum V2, that their own interface takes them to a cap and to sleep
// and back, and that what they grind follows what they draw.
func TestVendor_BitaxeMinesAsItIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the seconds that a Bitaxe's clock takes")
	}
	p := newTestPool(t)
	at, stop := p.serve(t, 1)
	defer stop()
	s, err := New(Config{
		Plan: SiteOf(4, []string{little}), Dialects: Mixed, Vendor: true, Pool: at, Extended: 2, Scale: 1e9,
	})
	if err != nil {
		t.Fatal(err)
	}
	all := driversOf(t, s)
	eventually(t, "acknowledged shares of every Bitaxe over Stratum V2", func() bool {
		for id, w := range s.Workers() {
			if w.Acked == 0 || p.ledger.of(id) == 0 {
				return false
			}
		}
		return s.Stats().Dialects[V2].Mining == 4
	})
	told := func(sp fleet.Setpoint) {
		t.Helper()
		for id, d := range all {
			if _, err := d.Probe(t.Context()); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if _, err := d.Set(t.Context(), sp); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
	settled := func(what string, ok func(DeviceView, *machine) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			for i, v := range s.Devices() {
				if !ok(v, &s.machines[i]) {
					return false
				}
			}
			return true
		})
	}
	told(fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Capped, Watts: 13})
	settled("a clock for 13 W", func(v DeviceView, m *machine) bool {
		want := m.worker.Curve.At(13)
		return v.Watts < 13.8 && v.Hashrate > want*8/10 && v.Hashrate < want*11/10
	})
	told(fleet.Setpoint{Term: 1, Command: 2, Mode: fleet.Paused})
	settled("sleep", func(v DeviceView, _ *machine) bool {
		return v.State == Sleep.String() && v.Watts < 3 && v.Hashrate == 0
	})
	if st := s.Steered()["axeos"]; st != (Steered{Machines: 4, Curtailed: 4}) {
		t.Errorf("asleep all are %+v", st)
	}
	before := s.Stats().Hashes
	time.Sleep(300 * time.Millisecond) // real sockets and a real grinder
	if after := s.Stats().Hashes; after != before {
		t.Errorf("asleep it ground %d hashes", after-before)
	}
	told(fleet.Setpoint{Term: 1, Command: 3, Mode: fleet.Free})
	settled("full power", func(v DeviceView, m *machine) bool { return v.Hashrate >= 1.06e12 })
	if st := s.Steered()["axeos"]; st != (Steered{Machines: 4, Curtailed: 4, Back: 4}) {
		t.Errorf("in the end all are %+v", st)
	}
	if st := s.Stats(); len(st.Rejected) > 0 || st.Sessions != 4 {
		t.Errorf("%d sessions, rejected %v", st.Sessions, st.Rejected)
	}
}
