package shed

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// tenantName is who takes the watts before a blip.
const tenantName = "tenant"

// What a feeder bears above its limit where power is lost and comes back: thermal breakers of that size trip
// after much longer.
const (
	blipOver = 8 // hundredths of the limit
	blipFor  = 3 * time.Minute
)

const (
	blipNotice = 15 * time.Second
	// ownNotice is the same where machines take orders over their own interfaces, and ownLull how long it
	// takes until all of them have been asked and what they can free has stood for a while.
	ownNotice = 4 * time.Minute
	ownLull   = time.Minute
	blipMeet  = 10 * time.Minute // for the tenant to draw on all feeders
	// blipBack is the share of mining before that must be drawn again.
	blipBack = 0.98
)

// Blip is what came of a loss of power while a tenant was on.
type Blip struct {
	Tenant  float64  `json:"tenant_watts"`   // drawn by it, all the while
	Over    float64  `json:"over_limit_s"`   // sum over feeders, within the allowance or not
	Outside float64  `json:"outside_s"`      // the allowance
	Most    float64  `json:"most_percent"`   // above the limit
	Back    *float64 `json:"mining_again_s"` // until mining drew what it had drawn before
}

// withTenant makes room for a tenant on a plan, and feeders that bear more for a while.
func withTenant(p *sim.Plan) {
	p.Tenants = []string{tenantName}
	for i := range p.Sites[0].Feeders {
		f := &p.Sites[0].Feeders[i]
		f.Overload = fleet.Overload{Watts: f.Limit * blipOver / 100, For: blipFor}
		f.Notice = blipNotice
	}
}

// lease lets the tenant take its share of every feeder, and waits until it draws.
func (b *bench) lease(ctx context.Context) (watts float64, err error) {
	c, err := config.Load(b.server.file())
	if err != nil {
		return 0, err
	}
	cfg := sim.TenantConfig{
		Name: tenantName, Target: b.server.grpc, Key: b.server.tenantKey,
		CA: filepath.Join(c.Path(c.TLS.Dir), "ca.pem"),
	}
	notice := 2 * blipNotice
	if fleetKinds[b.cfg.Fleet].own {
		notice = ownNotice
	}
	for _, f := range b.plan.Sites[0].Feeders {
		w := unit.Watts(b.cfg.Shed*float64(f.Limit)) / unit.Kilowatt * unit.Kilowatt
		watts += float64(w)
		cfg.Demands = append(cfg.Demands, sim.Demand{
			Site: siteName, Feeder: string(f.ID), Watts: w, Notice: notice, For: time.Hour,
		})
	}
	tenant, err := b.sim.AddTenant(cfg)
	if err != nil {
		return 0, err
	}
	go func() { _ = tenant.Run(ctx) }() // ends with ctx
	deadline := time.Now().Add(blipMeet)
	for {
		on := 0
		reports := tenant.Reports()
		for i := range reports {
			if reports[i].State == sim.Refused {
				return 0, fmt.Errorf("the server refuses a lease of %v on %s: %s",
					reports[i].Watts, reports[i].Feeder, reports[i].Reason)
			}
			if reports[i].State == "ACTIVE" {
				on++
			}
		}
		switch {
		case on == len(cfg.Demands):
			b.say("the tenant draws %v", unit.Watts(watts))
			return watts, nil
		case time.Now().After(deadline):
			return 0, fmt.Errorf("only %d of %d leases are active after %v", on, len(cfg.Demands), blipMeet)
		}
		if err := wait(ctx, 250*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// allowance judges one feeder as its breaker does.
type allowance struct {
	since         time.Time // over the limit without a break; zero: it is not
	over, outside time.Duration
	most          float64
}

// judge takes one look, which stands for span.
func (a *allowance) judge(f *sim.FeederTruth, o fleet.Overload, now time.Time, span time.Duration) {
	limit := float64(f.Limit)
	if f.Watts <= limit {
		a.since = time.Time{}
		return
	}
	if a.since.IsZero() {
		a.since = now
	}
	a.over += span
	a.most = max(a.most, f.Watts/limit-1)
	if f.Watts > limit+float64(o.Watts) || now.Sub(a.since) > o.For {
		a.outside += span
	}
}

// settle waits until all mine and the tenant draws.
func (b *bench) settle(ctx context.Context) (tenant float64, err error) {
	if err := b.gather(ctx); err != nil {
		return 0, err
	}
	still := lull // what can be leased must have stood for a while
	if fleetKinds[b.cfg.Fleet].own {
		still = ownLull
	}
	if err := wait(ctx, still); err != nil {
		return 0, err
	}
	return b.lease(ctx)
}

// blip is the measurement: a tenant on, every machine without power for an instant, and what follows.
func (b *bench) blip(ctx context.Context) (*Result, error) {
	tenant, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	before, err := b.record(ctx, time.Now(), lull/2, nil)
	if err != nil {
		return nil, err
	}
	if b.cfg.NoGovernor {
		b.say("kill -9, for good")
		if err := b.server.kill(); err != nil {
			return nil, err
		}
	}
	b.say("every machine loses its power for an instant")
	b.sim.Blip()
	feeders := make([]allowance, len(b.plan.Sites[0].Feeders))
	start, last := time.Now(), time.Now()
	base := before.mean(0)
	var back *float64
	_, err = b.record(ctx, start, b.cfg.Hold, func(at time.Duration) error {
		now := time.Now()
		truth := b.sim.Truth()
		for i := range truth.Feeders {
			feeders[i].judge(&truth.Feeders[i], b.plan.Sites[0].Feeders[i].Overload, now, now.Sub(last))
		}
		last = now
		if back == nil && at > time.Minute && math.Abs(b.sim.Mining()/base-1) < 1-blipBack {
			back = known(at.Seconds())
			b.say("mining draws what it did")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &Result{
		Devices: b.cfg.Devices, Fleet: b.cfg.Fleet, Faulty: len(b.faults()), Governed: !b.cfg.NoGovernor,
		Baseline: base, Missed: []string{},
		Blip: &Blip{Tenant: tenant, Back: back},
	}
	for i := range feeders {
		r.Blip.Over += feeders[i].over.Seconds()
		r.Blip.Outside += feeders[i].outside.Seconds()
		r.Blip.Most = max(r.Blip.Most, 100*feeders[i].most)
	}
	if r.Blip.Outside > 0 {
		r.Missed = append(r.Missed, fmt.Sprintf(
			"feeders were outside their overload allowance for %.2f s, up to %.1f %% above the limit",
			r.Blip.Outside, r.Blip.Most))
	}
	if back == nil {
		r.Missed = append(r.Missed, "mining never came back to what it drew before")
	}
	return r, nil
}
