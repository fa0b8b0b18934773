package stratumtest

import (
	"errors"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// hello declares what the device can do. What was settled before is void until the answer.
func (l *link) hello() {
	l.settled = false
	l.reporter.stop()
	l.send(sv2.PowerHello{ChannelID: l.channel, PowerOffer: l.miner.cfg.Power.Describe().offer()})
}

// offer is a device's description on the wire.
func (d PowerDescription) offer() sv2.PowerOffer {
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
	return sv2.PowerOffer{
		MinVersion: sv2.PowerVersion, MaxVersion: sv2.PowerVersion, Capabilities: flags,
		Min: watts(d.Min), Max: watts(d.Max), Idle: watts(d.Idle),
		Step:    uint16(min(watts(d.Step), math.MaxUint16)),
		PauseIn: sv2.MillisOf(d.ShedIn), ResumeIn: sv2.MillisOf(d.ReturnIn),
	}
}

func watts(w unit.Watts) sv2.Watts { return sv2.Watts(max(0, min(w, math.MaxUint32))) }

// handlePower follows the power extension; other channels' messages are not ours.
func (l *link) handlePower(msg sv2.Message) {
	switch msg := msg.(type) {
	case sv2.PowerHelloAck:
		if l.powered && msg.ChannelID == l.channel {
			l.settled, l.deadMan = true, msg.DeadMan.Duration()
			l.reporter.start(msg.ReportPeriod.Duration())
		}
	case sv2.SetPowerTarget:
		if !l.powered || msg.ChannelID != l.channel {
			return
		}
		answer, code, silent := l.miner.power.obey(msg.PowerTarget, l.settled, l.deadMan)
		switch {
		case silent:
		case code != "":
			l.send(sv2.SetPowerTargetError{ChannelID: l.channel, Command: msg.Command, Code: code})
		default:
			l.send(sv2.SetPowerTargetSuccess{ChannelID: l.channel, PowerAnswer: answer})
		}
	}
}

// obey follows an order from the wire: the answer, or the code of what is wrong with it, or silence.
func (p *obedience) obey(t sv2.PowerTarget, settled bool, deadMan time.Duration) (
	answer sv2.PowerAnswer, code string, silent bool,
) {
	o, code := p.device.Describe().order(t, settled, deadMan)
	if code != "" {
		return answer, code, false
	}
	command, plan, err := p.take(o)
	switch {
	case errors.Is(err, ErrPowerSilent):
		return answer, "", true
	case err != nil:
		return answer, err.Error(), false
	}
	return sv2.PowerAnswer{
		Command: command, Planned: watts(plan.Watts),
		Eta: sv2.MillisOf(plan.Eta), ExpectedHashRate: float32(max(0, plan.Hashrate)),
	}, "", false
}

// order is a target in the device's terms, or the code of what is wrong with it.
func (d PowerDescription) order(t sv2.PowerTarget, settled bool, deadMan time.Duration) (
	o PowerOrder, code string,
) {
	if !settled {
		return o, sv2.CodePowerNotReady
	}
	o = PowerOrder{
		Command: t.Command, Hold: t.FailMode == sv2.FailHold, Watts: unit.Watts(t.Target),
		StartIn: t.StartIn.Duration(), Ramp: t.Ramp.Duration(), ValidFor: t.ValidFor.Duration(),
	}
	if t.ValidFor == 0 {
		o.ValidFor = deadMan
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
