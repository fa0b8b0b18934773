package sim

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Base load moves a little, slowly.
const (
	baseNoise  = 0.01
	basePeriod = 97.0 // seconds
)

// branch is the power on a feeder at an instant.
type branch struct{ mining, base, tenants float64 }

func (b branch) total() float64 { return b.mining + b.base + b.tenants }

// load is one tenant's draw on one feeder, with its meter's counter.
type load struct{ watts, joules float64 }

// feeder is a metered branch with everything on it. It is guarded by the site's mutex.
type feeder struct {
	fleet.Feeder
	phase   float64 // of the base load's noise
	devices []*device
	tenants map[string]*load

	counter branch   // joules since the start: what meters count
	truth   integral // since the last mark
}

// site is the physics of the whole place. Whoever changes anything advances it to the present first, so
// that the past is integrated as it was.
type site struct {
	start time.Time // immutable

	mu      sync.Mutex
	at      time.Duration             // guarded by mu: integrated up to here
	mark    time.Duration             // guarded by mu: the truth counts from here
	feeders []*feeder                 // fixed; guarded by mu
	devices map[pool.WorkerID]*device // fixed; guarded by mu
}

// newSite sets the place up with every machine at full power and no tenant drawing. Without a firmware each
// runs its model's.
func newSite(p Plan, firmware func(string) Firmware, start time.Time) (*site, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	s := &site{start: start, devices: map[pool.WorkerID]*device{}}
	byID := map[fleet.FeederID]*feeder{}
	for i, f := range p.feeders() {
		n := &feeder{Feeder: f, phase: float64(i), tenants: map[string]*load{}}
		for _, t := range p.Tenants {
			n.tenants[t] = &load{}
		}
		byID[f.ID] = n
		s.feeders = append(s.feeders, n)
	}
	for _, w := range p.Workers {
		d := newDevice(w)
		if firmware != nil {
			d = newDeviceWith(w, firmware(w.Model))
		}
		s.devices[w.ID] = d
		byID[w.Feeder].devices = append(byID[w.Feeder].devices, d)
	}
	return s, nil
}

// now is the time since the simulation began.
func (s *site) now() time.Duration { return time.Since(s.start) }

// powerAt is the feeder's power at t.
func (f *feeder) powerAt(t time.Duration) (b branch) {
	for _, d := range f.devices {
		b.mining += d.watts(t)
	}
	b.base = f.baseAt(t)
	for _, l := range f.tenants {
		b.tenants += l.watts
	}
	return b
}

func (f *feeder) baseAt(t time.Duration) float64 {
	return float64(f.Base) * (1 + baseNoise*math.Sin(2*math.Pi*t.Seconds()/basePeriod+f.phase))
}

// advanceLocked integrates up to the last whole step before t.
func (s *site) advanceLocked(t time.Duration) {
	for s.at+Step <= t {
		s.at += Step
		for _, f := range s.feeders {
			f.step(s.at)
		}
	}
}

// step integrates one Step that ends at t.
func (f *feeder) step(t time.Duration) {
	var p branch
	for _, d := range f.devices {
		d.wakeIfDue(t)
		d.least = min(d.least, d.planned(t))
		w := d.watts(t)
		d.energy += w * Step.Seconds()
		p.mining += w
	}
	for _, l := range f.tenants {
		p.tenants += l.watts
		l.joules += l.watts * Step.Seconds()
	}
	p.base = f.baseAt(t)
	f.counter.mining += p.mining * Step.Seconds()
	f.counter.base += p.base * Step.Seconds()
	f.counter.tenants += p.tenants * Step.Seconds()
	f.truth.add(p, f.Limit)
}

// mining is the true power of all machines now.
func (s *site) mining() (watts float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.now()
	for _, f := range s.feeders {
		for _, d := range f.devices {
			watts += d.watts(t)
		}
	}
	return watts
}

// findLocked returns a feeder by name.
func (s *site) findLocked(id fleet.FeederID) (*feeder, error) {
	for _, f := range s.feeders {
		if f.ID == id {
			return f, nil
		}
	}
	return nil, fmt.Errorf("feeder %q does not exist", id)
}

// setLoad sets what a tenant draws on a feeder from now on.
func (s *site) setLoad(id fleet.FeederID, tenant string, w unit.Watts) error {
	if w < 0 || w > unit.Watts(1e9) {
		return fmt.Errorf("load %d is not in 0 to 1000000000 watts", w)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findLocked(id)
	if err != nil {
		return err
	}
	l, ok := f.tenants[tenant]
	if !ok {
		return fmt.Errorf("tenant %q has no meter on feeder %q", tenant, id)
	}
	s.advanceLocked(s.now())
	l.watts = float64(w)
	return nil
}

// read is the power and the counter of one metered branch now.
func (s *site) read(id fleet.FeederID, role fleet.Role, tenant string) (watts, joules float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findLocked(id)
	if err != nil {
		return 0, 0, err
	}
	t := s.now()
	s.advanceLocked(t)
	p := f.powerAt(t)
	switch role {
	case fleet.Total:
		return p.total(), f.counter.total(), nil
	case fleet.Mining:
		return p.mining, f.counter.mining, nil
	case fleet.Base:
		return p.base, f.counter.base, nil
	case fleet.Tenant:
		if l, ok := f.tenants[tenant]; ok {
			return l.watts, l.joules, nil
		}
		return 0, 0, fmt.Errorf("tenant %q has no meter on feeder %q", tenant, id)
	}
	return 0, 0, fmt.Errorf("role %d is not a meter's role", role)
}

// truth reports what was integrated since the last mark, and sets a new one if asked to.
func (s *site) truth(mark bool) Truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advanceLocked(s.now())
	t := Truth{
		Since: s.start.Add(s.mark), Seconds: (s.at - s.mark).Seconds(), StepSeconds: Step.Seconds(),
	}
	for _, f := range s.feeders {
		ft := f.truth.truth(f.Feeder)
		t.SecondsOverLimit += ft.SecondsOverLimit
		t.Feeders = append(t.Feeders, ft)
		if mark {
			f.truth = integral{}
			for _, d := range f.devices {
				d.least = d.planned(s.at)
			}
		}
	}
	if mark {
		s.mark = s.at
	}
	return t
}

// setFault makes a device fail, or heals it with the zero Fault.
func (s *site) setFault(id pool.WorkerID, f Fault) error {
	if f.Report < 0 || f.SelfWake < 0 {
		return fmt.Errorf("fault of %q: report and self_wake must not be negative", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[id]
	if !ok {
		return fmt.Errorf("worker %q does not exist", id)
	}
	t := s.now()
	s.advanceLocked(t)
	d.fault = f
	d.sleepSelf = 0
	if f.SelfWake > 0 && d.mode == fleet.Paused {
		d.sleepSelf = max(t, d.end) + time.Duration(f.SelfWake)
	}
	return nil
}
