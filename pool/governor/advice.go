package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Advice is what would have been done on a feeder that is not armed to act, and what it would have
// saved, since it was disarmed or since the start of the process.
type Advice struct {
	Site   fleet.SiteID
	Feeder fleet.FeederID
	Arm    fleet.Arm
	Since  time.Time

	Workers  []AdvisedWorker // that would be told something now
	Freed    unit.Watts      // by that; below 0 if machines would return
	Cost     unit.Msat       // msat an hour that it would give up, less energy not bought
	Short    unit.Watts      // by how much mining could not be kept below its bound even so
	Over     time.Duration   // that metered mining was above what it may draw
	OverMost unit.Watts      // by how much at most
	Energy   unit.Joules     // that mining would not have drawn
	Foregone unit.Msat       // income less energy that this would have cost
	Orders   uint64          // that would have left
}

// AdvisedWorker is one worker that would be told something.
type AdvisedWorker struct {
	Worker   pool.WorkerID
	Model    string
	Mode     fleet.Mode
	From, To unit.Watts
}

// advice adds up what is not done on a feeder.
type advice struct {
	since, at time.Time // at: up to when it is added up
	over      time.Duration
	overMost  unit.Watts
	joules    float64
	foregone  float64 // msat
	orders    uint64

	freed unit.Watts // by the newest plan
	cost  float64    // msat an hour
}

// advise takes the newest plan of a feeder that is not armed to act.
func (f *feeder) advise(price float64) {
	a := &f.advice
	a.freed, a.cost = 0, 0
	for _, w := range f.workers {
		a.freed += w.order.Watts - w.want.Watts
		a.cost += float64(w.order.Hashrate-w.want.Hashrate) * 3600 * price
		if w.want.Mode != w.advised.Mode || w.want.Watts != w.advised.Watts {
			a.orders++
		}
		w.advised = w.want
	}
	if price > 0 {
		a.cost -= float64(f.site.tariff.price) / 1000 * float64(a.freed) // energy that would not be bought
	}
}

// passTime adds up what the time since the last look came to.
func (a *advice) passTime(f *feeder, now time.Time) {
	passed := now.Sub(a.at)
	a.at = now
	if a.since.IsZero() || passed < 0 {
		a.since = now
		return
	}
	a.joules += max(0, float64(a.freed)) * passed.Seconds()
	a.foregone += max(0, a.cost) * passed.Hours()
	if over := f.now.mining - f.plan.Bound; f.now.fresh && over > 0 {
		a.over += passed
		a.overMost = max(a.overMost, over)
	}
}

// Advice is what would have been done on the feeders that are not armed to act.
func (g *Governor) Advice() []Advice {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Advice
	for _, f := range g.feeders {
		if f.arm == fleet.Act {
			continue
		}
		a := &f.advice
		one := Advice{
			Site: f.Site, Feeder: f.ID, Arm: f.arm, Since: a.since, Freed: a.freed,
			Cost: unit.Msat(min(max(0, a.cost), 1e18)), Short: f.plan.Short,
			Over: a.over, OverMost: a.overMost, Energy: unit.Joules(a.joules),
			Foregone: unit.Msat(min(a.foregone, 1e18)), Orders: a.orders,
		}
		for _, w := range f.workers {
			if w.want.Mode != w.order.Mode || w.want.Watts != w.order.Watts {
				one.Workers = append(one.Workers, AdvisedWorker{
					Worker: w.ID, Model: w.Model, Mode: w.want.Mode,
					From: w.order.Watts, To: w.want.Watts,
				})
			}
		}
		out = append(out, one)
	}
	return out
}
