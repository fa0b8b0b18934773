package stratumtest

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// minReport is the shortest period of reports that a device agrees to.
const minReport = 100 * time.Millisecond

// hello declares what the device can do.
func (l *link) hello() {
	d := l.miner.cfg.Power.Describe()
	flags := uint32(sv2.CanRamp | sv2.CanMeter | sv2.CanSchedule)
	if d.CanCap {
		flags |= sv2.CanCap
	}
	if d.CanPause {
		flags |= sv2.CanPause | sv2.CanWake
	}
	if d.HoldsAlone {
		flags |= sv2.CanHold
	}
	l.send(sv2.PowerHello{
		ChannelID: l.channel, MinVersion: sv2.PowerVersion, MaxVersion: sv2.PowerVersion, Capabilities: flags,
		Min: watts(d.Min), Max: watts(d.Max), Idle: watts(d.Idle),
		Step:    uint16(min(watts(d.Step), math.MaxUint16)),
		PauseIn: sv2.MillisOf(d.ShedIn), ResumeIn: sv2.MillisOf(d.ReturnIn),
	})
}

func watts(w unit.Watts) sv2.Watts { return sv2.Watts(max(0, min(w, math.MaxUint32))) }

// handlePower follows the power extension; other channels' messages are not ours.
func (l *link) handlePower(msg sv2.Message) {
	switch msg := msg.(type) {
	case sv2.PowerHelloAck:
		if l.powered && msg.ChannelID == l.channel {
			l.settled, l.deadMan = true, msg.DeadMan.Duration()
			l.startReports(msg.ReportPeriod.Duration())
		}
	case sv2.SetPowerTarget:
		if l.powered && msg.ChannelID == l.channel {
			l.obey(msg)
		}
	}
}

// obey follows an order and answers it.
func (l *link) obey(msg sv2.SetPowerTarget) {
	o, code := l.order(msg.PowerTarget)
	if code == "" {
		command, plan, err := l.miner.power.take(o)
		if errors.Is(err, ErrPowerSilent) {
			return
		}
		if err == nil {
			l.send(sv2.SetPowerTargetSuccess{
				ChannelID: l.channel, Command: command, Planned: watts(plan.Watts),
				Eta: sv2.MillisOf(plan.Eta), ExpectedHashRate: float32(max(0, plan.Hashrate)),
			})
			return
		}
		code = err.Error()
	}
	l.send(sv2.SetPowerTargetError{ChannelID: l.channel, Command: msg.Command, Code: code})
}

// order is a target in the device's terms, or the code of what is wrong with it.
func (l *link) order(t sv2.PowerTarget) (o PowerOrder, code string) {
	if !l.settled {
		return o, sv2.CodePowerNotReady
	}
	d := l.miner.cfg.Power.Describe()
	o = PowerOrder{
		Command: t.Command, Hold: t.FailMode == sv2.FailHold, Watts: unit.Watts(t.Target),
		StartIn: t.StartIn.Duration(), Ramp: t.Ramp.Duration(), ValidFor: t.ValidFor.Duration(),
	}
	if t.ValidFor == 0 {
		o.ValidFor = l.deadMan
	}
	switch t.Mode {
	case sv2.PowerFree:
		o.Mode = fleet.Free
	case sv2.PowerCap:
		o.Mode = fleet.Capped
	case sv2.PowerPause:
		o.Mode = fleet.Paused
	}
	switch {
	case !t.Mode.Known() || !t.FailMode.Known():
		return o, sv2.CodePowerUnknownMode
	case o.Mode == fleet.Capped && !d.CanCap, o.Mode == fleet.Paused && !d.CanPause, o.Hold && !d.HoldsAlone:
		return o, sv2.CodePowerUnsupported
	}
	return o, ""
}

// startReports sends a report every period from now on; 0 ends them.
func (l *link) startReports(period time.Duration) {
	l.reporting.Lock()
	defer l.reporting.Unlock()
	if l.report != nil {
		l.report.Stop()
	}
	l.period = 0
	if period > 0 {
		l.period = max(period, minReport)
		l.report = time.AfterFunc(rand.N(l.period), l.sendReport) // spread over the fleet
	}
}

func (l *link) stopReports() { l.startReports(0) }

// sendReport tells what the device observes and arms the next report. It runs on its own timer.
func (l *link) sendReport() {
	l.reporting.Lock()
	defer l.reporting.Unlock()
	if l.period == 0 {
		return
	}
	l.report.Reset(l.period)
	o := l.miner.cfg.Power.Observe()
	if o.Silent {
		return
	}
	l.reports++
	l.send(sv2.PowerReport{ChannelID: l.channel, PowerReading: sv2.PowerReading{
		Command: l.miner.power.command(), Seq: l.reports,
		Power: watts(o.Watts), Source: o.Source, State: o.State,
		HashRate: float32(max(0, o.Hashrate)), Hottest: o.Hottest, Energy: uint64(max(0, o.Energy)),
		Age: sv2.MillisOf(o.Age),
	}})
}
