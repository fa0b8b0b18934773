package sim

import (
	"context"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// outlet is what a machine is plugged into.
type outlet struct {
	mu   sync.Mutex
	cut  context.CancelFunc // guarded by mu: ends what runs on it; nil: nothing does
	boot time.Duration      // guarded by mu: until the machine talks again
}

// plug gives what runs on the machine a context that ends when the power does.
func (o *outlet) plug(ctx context.Context) (context.Context, context.CancelFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ctx, o.cut = context.WithCancel(ctx)
	return ctx, o.cut
}

// blink cuts the power for an instant.
func (o *outlet) blink(boot time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.boot = boot
	if o.cut != nil {
		o.cut()
	}
}

// booting is how long the machine takes until it talks.
func (o *outlet) booting() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.boot
}

// Blip cuts the whole site's power for an instant, tenants' aside. Every machine begins anew and at full
// power, whatever it was told before and whatever its firmware promises: the worst that a site has to
// expect. Its session is gone, and neither that nor its own interface answers until it has booted.
func (s *Sim) Blip() {
	s.site.mu.Lock()
	t := s.site.now()
	s.site.advanceLocked(t)
	boots := make([]time.Duration, len(s.machines))
	for i := range s.machines {
		d := s.machines[i].power.device
		boots[i] = paced(d.firmware.Boot, 1+jitterPace*spread(d.worker, "boot"))
		d.reboot(t, fleet.Free, 0)
		d.begin, d.end = d.begin+boots[i], d.end+boots[i]
	}
	s.site.mu.Unlock()
	for i := range s.machines {
		m := &s.machines[i]
		if v := m.vendor; v != nil {
			dead := m.power.device.fault.Dead
			v.machine.Fail(devicetest.Defects{Dead: true})
			time.AfterFunc(boots[i], func() { v.machine.Fail(devicetest.Defects{Dead: dead}) })
		}
		m.outlet.blink(boots[i])
	}
}
