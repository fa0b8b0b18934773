package sim

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

var _ stratumtest.PowerDevice = (*powered)(nil)

// powered is a device as its miner's power extension sees it.
type powered struct {
	site   *site
	device *device
	scale  float64 // hashes of the device for one that is really ground

	ordered func(pool.WorkerID) // see Config.Ordered
}

// Describe is the device's capability.
func (p *powered) Describe() stratumtest.PowerDescription {
	p.site.mu.Lock()
	defer p.site.mu.Unlock()
	return stratumtest.PowerDescription{Capability: p.device.capability(), Idle: p.device.worker.Sleep}
}

// Obey starts the transition that the order asks for.
func (p *powered) Obey(o stratumtest.PowerOrder) (stratumtest.PowerPlan, error) {
	p.site.mu.Lock()
	defer p.site.mu.Unlock()
	d, t := p.device, p.site.now()
	p.site.advanceLocked(t)
	if p.ordered != nil {
		p.ordered(d.worker.ID)
	}
	if d.fault.Silent {
		return stratumtest.PowerPlan{}, stratumtest.ErrPowerSilent
	}
	before := *d
	d.order(t, o.Mode, o.Watts, o.StartIn, o.Ramp)
	plan := stratumtest.PowerPlan{
		Watts: unit.Watts(math.Round(d.to)), Eta: max(0, d.end-t),
		Hashrate: d.hashrate(d.to) / unit.Hashrate(p.scale),
	}
	if d.fault.Ignore || d.fault.Lie {
		*d = before // it promises, and does nothing
		d.told = float64(plan.Watts)
	}
	return plan, nil
}

// Observe is what the device says of itself.
func (p *powered) Observe() stratumtest.PowerObservation {
	p.site.mu.Lock()
	defer p.site.mu.Unlock()
	d, t := p.device, p.site.now()
	p.site.advanceLocked(t)
	w := d.watts(t)
	report := w
	if d.fault.Lie && d.told > 0 {
		report = d.told
	}
	if d.fault.Report > 0 {
		report *= d.fault.Report
	}
	return stratumtest.PowerObservation{
		Watts: unit.Watts(math.Round(report)), Source: sv2.SourcePSU, State: d.claim(t),
		Hashrate: d.hashrate(d.planned(t)) / unit.Hashrate(p.scale),
		Hottest:  uint8(35 + 40*min(1, w/d.full())), Energy: unit.Joules(d.energy),
		Age: t - p.site.at, Silent: d.fault.Silent,
	}
}

// claim is the state as PowerReport has it.
func (d *device) claim(t time.Duration) sv2.PowerState {
	switch d.state(t) {
	case Sleep:
		return sv2.StatePaused
	case RampDown, RampUp:
		return sv2.StateMoving
	case Mining:
		if d.mode == fleet.Capped {
			return sv2.StateCapped
		}
	}
	return sv2.StateFree
}

// pace is the rate at which the device really grinds now.
func (p *powered) pace(t time.Duration) unit.Hashrate {
	return p.device.hashrate(p.device.planned(t)) / unit.Hashrate(p.scale)
}
