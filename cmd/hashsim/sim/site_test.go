package sim

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// bare is a plan of one feeder without machines and base load: every watt on it is the tenant's.
func bare(limit unit.Watts) Plan {
	return Plan{
		Sites:   []fleet.Site{{ID: "s", Feeders: []fleet.Feeder{{ID: "f", Site: "s", Limit: limit}}}},
		Tenants: []string{"t"},
	}
}

func newTestSite(t *testing.T, p Plan) *site {
	t.Helper()
	s, err := newSite(p, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

// Ensure that time and energy above the limit are those of a load whose integral is known, whenever the
// integrator is asked.
func TestTruth_MatchesClosedForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, bare(1000))
		for _, step := range []struct {
			watts unit.Watts
			lasts time.Duration
		}{
			{900, 10 * time.Second},
			{1001, 3 * time.Second},
			{1000, 20 * time.Second},
			{1500, 250 * time.Millisecond},
			{0, time.Minute},
		} {
			if err := s.setLoad("f", "t", step.watts); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.lasts)
		}
		got := s.truth(false)
		f := got.Feeders[0]
		joules := 900*10 + 1001*3 + 1000*20 + 1500*0.25
		if !near(got.SecondsOverLimit, 3.25, 1e-9) || !near(f.Energy, joules, 1e-6) ||
			f.MaxWatts != 1500 || f.Watts != 0 {
			t.Fatalf("truth is %+v, want 3.25 s over the limit and %v J", got, joules)
		}
		if !near(got.Seconds, 93.25, 1e-9) {
			t.Fatalf("integrated %v s", got.Seconds)
		}
	})
}

// Ensure that a machine's ramp integrates to the trapezoid that it is, within the machine's noise.
func TestTruth_IntegratesRamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DemoSite(1)
		s := newTestSite(t, p)
		d := s.devices[p.Workers[0].ID]
		s.mu.Lock()
		d.order(0, fleet.Paused, 0, 0, 0)
		s.mu.Unlock()
		time.Sleep(time.Minute)
		got := s.truth(false).Feeders[0].MiningEnergy
		ramp := (d.end - d.begin).Seconds()
		want := d.full()*d.begin.Seconds() + (d.full()+d.asleep())/2*ramp + d.asleep()*(60-d.end.Seconds())
		if !near(got, want, want*noiseWatts+d.full()*Step.Seconds()) {
			t.Fatalf("%v J, want %v J", got, want)
		}
	})
}

// Ensure that a mark begins a new truth and leaves the meters' counters running.
func TestTruth_MarkBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, bare(1000))
		_ = s.setLoad("f", "t", 2000)
		time.Sleep(2 * time.Second)
		if got := s.truth(true).SecondsOverLimit; got != 2 {
			t.Fatalf("%v s before the mark, want 2", got)
		}
		_ = s.setLoad("f", "t", 500)
		time.Sleep(time.Second)
		got := s.truth(false)
		if got.SecondsOverLimit != 0 || got.Feeders[0].MaxWatts != 500 || got.Seconds != 1 {
			t.Fatalf("after the mark: %+v", got)
		}
		if _, joules, _ := s.read("f", fleet.Total, ""); !near(joules, 4500, 1e-6) {
			t.Fatalf("counter is %v J", joules)
		}
	})
}

// Ensure that the demonstration's feeders are filled to 98 to 99 % by mining and base load, that each bears
// its largest machine, and that the definition is one that a server accepts.
func TestDemoSite_IsFullAndBearsItsLargestMachine(t *testing.T) {
	for _, n := range []int{20, 50, 200, 1000} {
		p := DemoSite(n, "acme", "blue")
		if err := p.Validate(); err != nil {
			t.Fatalf("%d machines: %v", n, err)
		}
		s := newTestSite(t, p)
		for _, f := range s.feeders {
			for at := range 200 {
				fill := f.powerAt(time.Duration(at)*time.Second).total() / float64(f.Limit)
				if fill < 0.98 || fill > 0.99 {
					t.Fatalf("%d machines: feeder %s is filled to %.4f after %d s", n, f.ID, fill, at)
				}
			}
			for _, d := range f.devices {
				if d.full() > float64(f.Overload.Watts) {
					t.Fatalf("%s draws %v W, %s bears %v", d.worker.ID, d.full(), f.ID, f.Overload.Watts)
				}
			}
			if share := float64(f.Base) / float64(f.Limit); share < 0.05 || share > 0.08 {
				t.Fatalf("base load is %.3f of the limit", share)
			}
		}
		if got := len(p.Meters()); got != len(s.feeders)*5 {
			t.Fatalf("%d meters", got)
		}
	}
}

// Ensure that a device with a fault behaves as the fault says, and is well again when it is healed.
func TestPowered_Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DemoSite(1)
		s := newTestSite(t, p)
		id := p.Workers[0].ID
		dev := &powered{site: s, device: s.devices[id], scale: 1}
		sleep := stratumtest.PowerOrder{Command: sv2.PowerCommand{Term: 1, ID: 1}, Mode: fleet.Paused}
		fault := func(f Fault) {
			if err := s.setFault(id, f); err != nil {
				t.Fatal(err)
			}
		}
		fault(Fault{Silent: true})
		if _, err := dev.Obey(sleep); err == nil || !dev.Observe().Silent {
			t.Fatal("a silent device answers")
		}
		fault(Fault{Ignore: true})
		plan, err := dev.Obey(sleep)
		if err != nil || plan.Watts > 100 {
			t.Fatalf("an ignoring device promises %v, %v", plan, err)
		}
		time.Sleep(time.Minute)
		if w := dev.Observe().Watts; w < 2000 {
			t.Fatalf("an ignoring device fell to %v", w)
		}
		fault(Fault{Report: 0.5})
		true1, reported := dev.device.full(), dev.Observe().Watts
		if !near(float64(reported), true1/2, true1*0.01) {
			t.Fatalf("reports %v W of %v W", reported, true1)
		}
		fault(Fault{})
		_, _ = dev.Obey(sleep)
		time.Sleep(time.Minute)
		if o := dev.Observe(); o.Watts > 100 || o.State != sv2.StatePaused || o.Hashrate != 0 {
			t.Fatalf("a healthy device is %+v", o)
		}
	})
}
