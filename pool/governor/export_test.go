package governor

import (
	"context"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Step is one look at everything, for benchmarks.
func Step(g *Governor, now time.Time) { g.step(now) }

// Show gives every meter a reading, for benchmarks: as if it had just been read.
func Show(g *Governor, reading func(fleet.FeederID, fleet.Role) fleet.Reading) {
	for _, m := range g.meters {
		m.mu.Lock()
		m.reading = reading(m.Feeder, m.Role)
		m.mu.Unlock()
	}
}

// Asker is one look for machines that are to be asked, in rounds that take as long as the caller lets pass.
func Asker(ctx context.Context, g *Governor) (look, end func()) {
	places := make(chan struct{}, g.cfg.ProbesAtOnce)
	var wg sync.WaitGroup
	from, start := 0, time.Now()
	for _, p := range g.probes {
		p.dueAt = start.Add(time.Duration(p.place * float64(g.cfg.ProbeEvery)))
	}
	return func() { from, _ = g.askDue(ctx, from, places, &wg) }, wg.Wait
}

// Ordered is what the orders on a feeder lead to.
func Ordered(g *Governor, id fleet.FeederID) (sum unit.Watts) {
	for _, w := range g.byFeeder[id].workers {
		sum += w.order.Watts
	}
	return sum
}

// EachOrder passes what every worker was ordered to, in the order of the configuration. Orders count as
// sent and agreed to.
func EachOrder(g *Governor, see func(int, fleet.Setpoint)) {
	for i, w := range g.workers {
		if w.ordered() && !w.acked {
			w.acked, w.sentAt, w.touchedAt = true, w.orderedAt, w.orderedAt
		}
		see(i, w.order)
	}
}

// WriteStable writes measured hashrates as the loop does.
func (g *Governor) WriteStable(ctx context.Context, r map[pool.WorkerID]float64) error {
	return g.writeStable(ctx, []rates{r})
}

// Stable is what the worker was last measured to hash.
func (g *Governor) Stable(id pool.WorkerID) (rate float64, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &g.byWorker[id].measured
	return m.stable, m.known
}
