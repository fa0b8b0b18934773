package governor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
)

// order turns the newest plan of a feeder into orders: reductions at once, returns
// only as far as the worst case leaves room, the meters are fresh and the ramp allows.
func (g *Governor) order(f *feeder, caps []fleet.Cap, now time.Time) {
	if f.resting(now) && g.memo.stood {
		return
	}
	hold := f.mustHold(caps, now)
	var down, up []*worker
	for _, w := range f.workers {
		if !w.takesOrders(now) {
			continue
		}
		switch w.direction(hold) {
		case toMore:
			up = append(up, w)
		case toLess:
			down = append(down, w)
		case toNothing:
		}
	}
	for i, w := range down {
		w.want.FailHold = w.mayHold(hold) && w.want.Mode != fleet.Free
		w.want.Ramp = 0
		g.issue(w, w.want, now, g.cfg.Spread*time.Duration(i)/time.Duration(len(down)))
	}
	if n := g.noteReduction(f, down, now); n != "" {
		g.event(now, Event{Feeder: f.ID, Message: n})
	}
	g.restore(f, up, hold, now)
}

// takesOrders says that the worker may be told something now. An emergency stop also tells those that are
// left alone.
func (w *worker) takesOrders(now time.Time) bool {
	if w.actuator == nil || w.stuck && w.quarantine == nil {
		return false
	}
	return w.feeder.site.stop != nil || w.quarantine == nil && !w.leftAlone() && !w.quietYet(now)
}

// direction is where an order would move a worker.
type direction uint8

const (
	toNothing direction = iota
	toLess              // or the same, said anew
	toMore
)

// direction compares what the plan wants with what is in force.
func (w *worker) direction(hold bool) direction {
	switch same := w.want.Mode == w.order.Mode && w.want.Watts == w.order.Watts; {
	case same && !w.ordered() && !w.found:
		return toMore // it may be asleep since another process's order
	case same && !w.reduced():
		return toNothing
	case same && w.ordered() && w.order.FailHold == w.mayHold(hold):
		return toNothing
	case w.want.Watts > w.order.Watts:
		return toMore
	default:
		return toLess
	}
}

// leftAlone says whether the worker is pinned, and not asleep since an emergency stop.
func (w *worker) leftAlone() bool { return w.Pinned && !(w.ordered() && w.reduced()) }

// mayHold says whether a reduction of this worker is told to outlast us. Who cannot would refuse
// the order; it is refreshed, and lets go when that ends.
func (w *worker) mayHold(hold bool) bool { return hold && w.capability.HoldsAlone }

// noteReduction describes a bulk of real reductions for people and starts the
// clock of the claims behind it.
func (g *Governor) noteReduction(f *feeder, down []*worker, now time.Time) string {
	var freed unit.Watts
	n := 0
	for _, w := range down {
		if d := w.from - w.order.Watts; d > 0 && !w.settled {
			freed += d
			n++
		}
	}
	if n == 0 {
		return ""
	}
	reasons := ""
	for _, c := range g.claims {
		if c.cap.Feeder != f.ID || !c.counts(now) || !c.proof.FirstOrder.IsZero() {
			continue
		}
		c.proof.FirstOrder = now
		c.touch(g)
		if len(reasons) < 200 {
			reasons += " " + c.cap.Claim
		}
	}
	if reasons != "" {
		reasons = ", for" + reasons
	}
	return fmt.Sprintf("%v ordered free of %s%s", freed, many(n, "worker", "workers"), reasons)
}

// mustHold says whether a reduction on this feeder must outlast us: a tenant's claim or draw, or
// the limit itself, or an emergency stop, is behind it. An operator's curtailment alone is released when we
// are gone.
func (f *feeder) mustHold(caps []fleet.Cap, now time.Time) bool {
	if f.site.stop != nil {
		return true
	}
	var operators unit.Watts
	for i := range caps {
		c := &caps[i]
		if c.Feeder != f.ID || now.Before(c.Begins()) {
			continue
		}
		if c.Tenant != "" {
			return true
		}
		operators += c.Watts
	}
	return f.now.tenant > f.tolerance() || f.plan.Full > f.plan.Bound+operators || f.heldAbove(caps, now)
}

// restore lets workers return. Never over a limit by our act: if every return on its way
// succeeded and every reduction on its way failed, mining must still fit under the bound, by
// what was ordered and by what the meter shows: the feeder's, and that of every branch above and below.
func (g *Governor) restore(f *feeder, up []*worker, hold bool, now time.Time) {
	rate := float64(f.Restore)
	if rate == 0 {
		rate = float64(f.permille(g.cfg.RestorePermille))
	}
	if !f.tokensAt.IsZero() {
		f.tokens += rate * now.Sub(f.tokensAt).Seconds()
	}
	f.tokens = min(f.tokens, rate)
	f.tokensAt = now
	if len(up) == 0 || !f.now.fresh {
		return // without a meter nobody returns
	}
	all := foresee(f.workers, now)
	byOrders, byMeter := all.with(f.excess), f.now.mining+all.rising
	most := f.plan.Bound - f.margin(&g.cfg)/2
	slices.SortStableFunc(up, func(a, b *worker) int { return cmp.Compare(b.gain(), a.gain()) })
	for _, w := range up {
		least := w.least(now)
		more, worse := max(0, w.want.Watts-least), max(0, w.want.Watts-w.worst(now))
		if f.tokens <= 0 || byMeter+more > most || byOrders+worse > most ||
			!w.roomAbove(more, worse, &g.cfg, now) {
			continue
		}
		w.returns(more, worse, now)
		f.tokens -= float64(more)
		w.want.Ramp = w.rampFor(more, rate)
		byMeter += more
		byOrders += worse
		w.want.FailHold = w.mayHold(hold) && w.want.Mode != fleet.Free
		g.issue(w, w.want, now, 0)
	}
}

// foreseen is what workers come to if every return on its way succeeds and every reduction fails.
type foreseen struct {
	worst  unit.Watts // most that they draw; unknown counts in full
	rising unit.Watts // of that, what a meter cannot show yet
	said   unit.Watts // of worst, what those at rest say they draw beyond their curves
}

func foresee(workers []*worker, now time.Time) (s foreseen) {
	for _, w := range workers {
		worst := w.worst(now)
		s.worst += worst
		if !w.settled {
			s.rising += w.rising()
		} else {
			s.said += max(0, worst-w.counted(now))
		}
	}
	return s
}

// with is the worst beside an excess that a meter shows: what machines themselves say that they draw beyond
// their curves is in it, and counts once.
func (s foreseen) with(excess unit.Watts) unit.Watts { return s.worst + max(0, excess-s.said) }

// longestRamp is how long one machine's return may be drawn out.
const longestRamp = 10 * time.Minute

// rampFor is how long a return takes at the feeder's ramp, if it is more than a second's worth of it: a
// site behind an agent is one worker, and must not come back in one step either.
func (w *worker) rampFor(more unit.Watts, rate float64) time.Duration {
	if !w.capability.CanRamp || float64(more) <= rate {
		return 0
	}
	return min(time.Duration(float64(more)/rate*float64(time.Second)), longestRamp)
}

// gain is the hashrate a watt that the wanted return brings.
func (w *worker) gain() float64 {
	return float64(w.want.Hashrate-w.order.Hashrate) / float64(max(1, w.want.Watts-w.order.Watts))
}

// least is the least that the worker may draw now.
func (w *worker) least(now time.Time) unit.Watts {
	if w.unsure(now) {
		return w.Sleep
	}
	if w.speaks {
		return min(w.order.Watts, w.reported)
	}
	return w.order.Watts
}

// rising is what an order on its way may still add to what the meter shows.
func (w *worker) rising() unit.Watts {
	at := w.from
	if w.speaks {
		at = max(at, min(w.reported, w.order.Watts))
	}
	return max(0, w.order.Watts-at)
}

// issue makes sp the worker's order in force, to be sent after a delay.
func (g *Governor) issue(w *worker, sp fleet.Setpoint, now time.Time, delay time.Duration) {
	w.feeder.touched = true
	changed := sp.Mode != w.order.Mode || sp.Watts != w.order.Watts || !w.ordered()
	if changed {
		w.from = w.least(now)
		if sp.Watts < w.order.Watts || !w.ordered() && w.found {
			w.from = w.worst(now)
		}
		w.settled = w.from == sp.Watts && !w.unsure(now)
		w.evidence = fleet.NoOrder
	}
	w.confirmed = max(w.confirmed, min(w.worst(now), w.full()))
	if w.settled {
		w.confirmed = sp.Watts
	}
	if sp.Mode != w.order.Mode && (sp.Mode == fleet.Paused || w.order.Mode == fleet.Paused) {
		w.since = now
	}
	w.countPause(sp.Mode == fleet.Paused, now)
	w.feeder.unrest()
	sp.Term, sp.Command = g.cfg.Term, w.order.Command+1
	sp.ValidFor = g.cfg.ValidFor + time.Duration(w.lapse*float64(g.cfg.ValidFor))
	w.order, w.found = sp, true
	w.orderedAt, w.dueAt, w.retryAt = now, now.Add(delay), now
	w.sentAt, w.acked, w.ack, w.failures, w.refused = time.Time{}, false, fleet.Ack{}, 0, nil
	w.mark(now, 2*w.shedIn()+g.cfg.ShedGrace)
	g.noteOrder(w, now)
}

// send tells one device, without waiting for it.
func (g *Governor) send(ctx context.Context, w *worker, now time.Time) {
	sp, a, links := w.order, w.actuator, w.links
	refresh := !w.sentAt.IsZero() && sp.Command == w.order.Command && w.acked
	if w.sentAt.IsZero() {
		w.sentAt = now
		if w.reduced() {
			w.feeder.reducedAt = now
		}
		g.counts.orders++
		w.evidence = max(w.evidence, fleet.Requested)
	}
	if refresh {
		g.counts.refreshes++
	}
	w.sending = true
	g.sending++
	expect := fleet.Expectation{
		Seq: uint64(sp.Command), Hashrate: sp.Hashrate * unit.Hashrate(g.cfg.HashScale),
	}
	if sp.Mode != fleet.Free {
		expect.SharesPerMinute = g.cfg.DispatchShares
	}
	g.sends.Go(func() { // ends within SendTimeout
		ctx, cancel := context.WithTimeout(ctx, g.cfg.SendTimeout)
		defer cancel()
		if !refresh {
			for _, l := range links {
				l.Expect(expect)
			}
		}
		ack, err := a.Set(ctx, sp)
		g.sent(w, sp, ack, err)
	})
}

// sent notes the outcome of a send.
func (g *Governor) sent(w *worker, sp fleet.Setpoint, ack fleet.Ack, err error) {
	now := time.Now()
	g.mu.Lock()
	w.sending = false
	w.feeder.unrest()
	g.sending--
	if err == nil && ack.Command != sp.Command {
		err = fmt.Errorf("device acknowledged command %d, not %d", ack.Command, sp.Command)
	}
	current := sp.Command == w.order.Command
	g.due.ended = append(g.due.ended, w)
	if g.cfg.Audit != nil && (err != nil || !current || !w.acked) { // not every refresh
		g.noteSent(w, &sp, ack, err)
	}
	nudge := !current || err != nil || g.sending == g.cfg.Sends-1 // somebody is due sooner than was known
	switch {
	case err != nil:
		g.counts.failures++
		if current {
			w.retryAt = now.Add(min(retryFirst<<min(w.failures, 10), retryMost))
			w.failures, w.refused = w.failures+1, err
		}
	case current:
		w.acked, w.ack, w.touchedAt, w.failures, w.refused = true, ack, now, 0, nil
		if w.ackedAt.Before(w.orderedAt) {
			w.ackedAt = now
		}
		w.evidence = max(w.evidence, fleet.Acknowledged)
	}
	g.mu.Unlock()
	if err != nil {
		g.log.Debug("setting a worker's power failed", slog.String("worker", string(w.ID)),
			slog.Uint64("command", uint64(sp.Command)), slog.Any("error", err))
	}
	if nudge {
		g.redispatch()
	}
}

// redispatch makes Run look at once who is due.
func (g *Governor) redispatch() {
	select {
	case g.nudge <- struct{}{}:
	default:
	}
}
