package simtest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// device is a machine as it truly is. It is guarded by its world's mu.
type device struct {
	w          *world
	worker     fleet.Worker
	profile    *profile
	feeder     *feeder
	pdu        *branch // with a limit; nil: there is none above it
	capability fleet.Capability
	rng        *rand.Rand
	factor     float64 // true watts for one of its curve
	bias       float64 // reported watts for a true one
	deaf, mute bool    // permanently
	elsewhere  bool    // mines at another pool: no session here

	watts    float64 // now
	goal     float64
	change   int // of goal; a later one makes the steps of an earlier one void
	off      bool
	last     fleet.Setpoint
	until    time.Time // dead man
	watching bool      // a look at the dead man is due
	link     *fleet.Link
	cut      int // reasons for which no session can be
}

// errCut is the answer of what cannot be reached.
var errCut = errors.New("machine cannot be reached")

// handle is a device as one incarnation of the server reaches it.
type handle struct {
	d *device
	s *server
}

var _ fleet.Actuator = handle{}

// Capability implements fleet.Actuator.
func (h handle) Capability() fleet.Capability { return h.d.capability }

// Set implements fleet.Actuator.
func (h handle) Set(ctx context.Context, sp fleet.Setpoint) (fleet.Ack, error) {
	d := h.d
	d.w.mu.Lock()
	lost := d.mute || d.rng.Float64() < 0.005 || d.cut > 0 || d.off
	latency := time.Duration(20+d.rng.IntN(280))*time.Millisecond + time.Duration(d.rng.IntN(1e6))
	d.w.mu.Unlock()
	if lost {
		<-ctx.Done()
		return fleet.Ack{}, ctx.Err()
	}
	t := time.NewTimer(latency)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fleet.Ack{}, ctx.Err()
	case <-t.C:
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if h.s.dead || d.cut > 0 || d.off {
		return fleet.Ack{}, errCut
	}
	return d.take(sp), nil
}

// take follows an order.
func (d *device) take(sp fleet.Setpoint) fleet.Ack {
	now := time.Now()
	if d.w.cfg.NoHold {
		sp.FailHold = false
	}
	d.until = now.Add(sp.ValidFor)
	d.watch()
	if sp.Term < d.last.Term || sp.Term == d.last.Term && sp.Command <= d.last.Command {
		d.last.FailHold = sp.FailHold
		return fleet.Ack{Command: sp.Command, Planned: sp.Watts, Hashrate: sp.Hashrate}
	}
	was := d.last
	d.last = sp
	d.w.result.note(now.Sub(d.w.began), &sp)
	if was.Command > 0 && sp.Watts > was.Watts {
		d.feeder.returned(now, float64(sp.Watts-was.Watts))
		d.feeder.judgeSight(now, d, sp)
	}
	if !d.deaf && d.rng.Float64() >= 0.003 {
		d.turn(d.goalOf(sp))
	}
	return fleet.Ack{Command: sp.Command, Planned: sp.Watts, Hashrate: sp.Hashrate}
}

func (d *device) goalOf(sp fleet.Setpoint) float64 {
	if sp.Mode == fleet.Paused {
		return float64(d.worker.Sleep)
	}
	return math.Round(float64(sp.Watts) * d.factor)
}

func (d *device) full() float64 {
	return math.Round(float64(d.worker.Curve.Full().Watts) * d.factor)
}

// turn lets the draw go to a goal in the time that the firmware takes.
func (d *device) turn(goal float64) {
	if goal == d.goal {
		return
	}
	d.change++
	n, from := d.change, d.watts
	d.goal = goal
	step := func(after time.Duration, watts float64) {
		d.w.in(after, func() {
			if n == d.change && !d.off {
				d.draw(watts)
			}
		})
	}
	if goal < from {
		step(lognormal(d.rng, d.profile.shed, d.profile.shed95), goal)
		return
	}
	took := lognormal(d.rng, d.profile.wake, d.profile.wake95)
	step(took/2, from+(goal-from)/2)
	step(took*4/5, from+(goal-from)*85/100)
	if d.profile.overshoot > 0 {
		step(took-time.Second, goal+d.full()*d.profile.overshoot)
		took += time.Minute
	}
	step(took, goal)
}

// draw changes the present watts: whole ones, so that their sum does not depend on the order of changes.
func (d *device) draw(watts float64) {
	watts = math.Round(watts)
	now := time.Now()
	d.feeder.settle(now)
	d.feeder.mining += watts - d.watts
	if d.pdu != nil {
		d.pdu.settle(now)
		d.pdu.mining += watts - d.watts
	}
	d.watts = watts
}

// watch sees to it that the dead man is looked at.
func (d *device) watch() {
	if d.watching || d.last.Mode == fleet.Free || d.last.FailHold {
		return
	}
	d.watching = true
	d.w.at(d.until, func() {
		d.watching = false
		switch {
		case time.Now().Before(d.until):
			d.watch()
		case d.last.Mode != fleet.Free && !d.last.FailHold && !d.off:
			d.last.Mode, d.last.Watts = fleet.Free, d.worker.Curve.Full().Watts
			d.turn(d.full())
		}
	})
}

// trip cuts the power for a while. What the machine does afterwards is its firmware's matter.
func (d *device) trip(span time.Duration) {
	if d.off {
		return
	}
	d.off = true
	d.change++
	d.draw(0)
	d.lose()
	d.w.in(span, func() {
		d.off = false
		d.goal = -1
		if d.last.Command > 0 && d.last.Mode != fleet.Free && d.rng.Float64() < d.profile.persists {
			d.turn(d.goalOf(d.last))
		} else {
			d.turn(d.full())
		}
		d.w.in(20*time.Second+time.Duration(d.rng.IntN(2e10)), d.connect)
	})
}

// connect opens a session with the server, if there is one.
func (d *device) connect() {
	s := d.w.server
	if d.elsewhere || d.link != nil || d.off || d.cut > 0 || s == nil || s.dead {
		return
	}
	d.link = s.registry.Open(d.worker.ID, func() {})
	d.link.SetShareWork(d.shareWork())
	d.link.SetActuator(handle{d, s})
	d.report(time.Now())
}

// lose ends the session.
func (d *device) lose() {
	if d.link != nil {
		d.w.server.registry.Close(d.worker.ID, d.link)
		d.link = nil
	}
}

// shareWork is what a share is worth: twenty a minute at full power.
func (d *device) shareWork() uint64 { return uint64(d.worker.Curve.Full().Hashrate) * 3 }

// report says what the machine draws, and counts the shares since the last time.
func (d *device) report(now time.Time) {
	if d.link == nil {
		return
	}
	shown := unit.Watts(d.watts * d.bias * (1 + 0.01*d.rng.NormFloat64()))
	d.link.Report(fleet.Reading{Watts: max(0, shown), At: now, Moving: d.watts != d.goal})
	rate := float64(d.worker.Curve.At(unit.Watts(d.watts / d.factor)))
	mean := rate * reportGap / float64(d.shareWork())
	if n := poisson(d.rng, mean); n > 0 {
		d.link.Count(n, n*d.shareWork())
	}
}

// poisson draws a count.
func poisson(r *rand.Rand, mean float64) uint64 {
	limit, p := math.Exp(-mean), r.Float64()
	n := uint64(0)
	for p > limit {
		p *= r.Float64()
		n++
	}
	return n
}
