package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Errors of an in-band order.
var (
	errSuperseded = errors.New("a newer order replaced this one")
	errChannelEnd = errors.New("the channel closed before the device answered")
)

// Bounds of what a device may declare. What is beyond them is a fault or worse, and counting on it
// would make a plan wrong by megawatts or wait for hours.
const (
	maxDevicePower = 10 * unit.Megawatt
	maxDeviceDelay = time.Hour
)

// powerLink is the in-band actuator of one channel: the device at its end spoke PowerHello.
type powerLink struct {
	session    *session         // immutable
	channel    uint32           // immutable
	capability fleet.Capability // immutable

	mu      sync.Mutex
	newest  sv2.PowerCommand // guarded by mu: sent last
	waiting *order           // guarded by mu: the newest order, until it is answered
	gone    bool             // guarded by mu
}

// order is a setpoint on its way.
type order struct {
	command sv2.PowerCommand
	answer  chan answer // capacity 1: whoever removes the order answers once
}

type answer struct {
	ack fleet.Ack
	err error
}

var _ fleet.Actuator = (*powerLink)(nil)

// Capability is what the device declared in PowerHello.
func (p *powerLink) Capability() fleet.Capability { return p.capability }

// Set sends SetPowerTarget and waits for the device's answer. A newer order ends the wait of an
// older one, and one that is older than what was sent is not sent: the device obeys only the newest.
func (p *powerLink) Set(ctx context.Context, sp fleet.Setpoint) (fleet.Ack, error) {
	o := &order{command: sv2.PowerCommand{Term: sp.Term, ID: sp.Command}, answer: make(chan answer, 1)}
	if err := p.await(o); err != nil {
		return fleet.Ack{}, err
	}
	if !p.session.sendPower(p, sp) {
		p.abandon()
	}
	select {
	case a := <-o.answer:
		return a.ack, a.err
	case <-ctx.Done():
		p.forget(o)
		return fleet.Ack{}, fmt.Errorf("waiting for the device's answer: %w", ctx.Err())
	}
}

// await makes o the order that is waited for.
func (p *powerLink) await(o *order) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone:
		return errChannelEnd
	case p.newest.After(o.command):
		return errSuperseded
	}
	if p.waiting != nil {
		p.waiting.answer <- answer{err: errSuperseded}
	}
	p.newest, p.waiting = o.command, o
	return nil
}

func (p *powerLink) forget(o *order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == o {
		p.waiting = nil
	}
}

// settle answers the order with this command, if it still waits. An answer with a newer command says
// that somebody else commands the device; one with an older command is late.
func (p *powerLink) settle(command sv2.PowerCommand, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.waiting == nil || p.waiting.command.After(command):
		return
	case command.After(p.waiting.command):
		a = answer{err: errSuperseded}
	}
	p.waiting.answer <- a
	p.waiting = nil
}

// abandon ends the wait: the channel is gone. The device keeps its last order (hold) or returns to free
// when it expires, as that order says.
func (p *powerLink) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.waiting != nil {
		p.waiting.answer <- answer{err: errChannelEnd}
		p.waiting = nil
	}
}

// powerModes are the wire forms of what a worker is told.
var powerModes = map[fleet.Mode]sv2.PowerMode{
	fleet.Free: sv2.PowerFree, fleet.Capped: sv2.PowerCap, fleet.Paused: sv2.PowerPause,
}

// sendPower sends an order, unless the link's channel has closed or said hello anew.
func (s *session) sendPower(p *powerLink, sp fleet.Setpoint) bool {
	fail := sv2.FailRelease
	if sp.FailHold {
		fail = sv2.FailHold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[p.channel]; c == nil || c.power != p {
		return false
	}
	sendLocked(s, sv2.SetPowerTarget{ChannelID: p.channel, PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: sp.Term, ID: sp.Command}, Mode: powerModes[sp.Mode], FailMode: fail,
		Target: sv2.Watts(max(0, min(sp.Watts, math.MaxUint32))), ValidFor: sv2.SecondsOf(sp.ValidFor),
	}})
	s.flushLocked()
	return true
}

// powerHelloLocked makes the channel's device an actuator. A channel whose hello is not accepted goes
// on mining without the extension.
func (s *session) powerHelloLocked(m sv2.PowerHello) {
	c := s.channels[m.ChannelID]
	if c == nil || !acceptable(m) {
		return
	}
	if c.power != nil {
		c.power.abandon()
	}
	c.power = &powerLink{session: s, channel: c.id, capability: fleet.Capability{
		Min: unit.Watts(m.Min), Max: unit.Watts(m.Max), Step: unit.Watts(m.Step),
		CanCap:     m.Capabilities&sv2.CanCap != 0,
		CanPause:   m.Capabilities&sv2.CanPause != 0 && m.Capabilities&sv2.CanWake != 0,
		ShedIn:     m.PauseIn.Duration(),
		ReturnIn:   m.ResumeIn.Duration(),
		HoldsAlone: m.Capabilities&sv2.CanHold != 0,
	}}
	sendLocked(s, sv2.PowerHelloAck{
		ChannelID: c.id, Version: sv2.PowerVersion,
		ReportPeriod: sv2.MillisOf(s.srv.cfg.PowerReport),
		DeadMan:      sv2.SecondsOf(s.srv.cfg.PowerDeadMan),
	})
	c.link.SetActuator(c.power)
}

// acceptable reports whether a hello is of our version and possible. The channel may have closed while
// a good one was on its way, so a bad one is no reason to end the connection either.
func acceptable(m sv2.PowerHello) bool {
	return m.MinVersion <= sv2.PowerVersion && m.MaxVersion >= sv2.PowerVersion &&
		m.Min <= m.Max && m.Idle <= m.Max && m.Max > 0 && unit.Watts(m.Max) <= maxDevicePower &&
		m.PauseIn.Duration() <= maxDeviceDelay && m.ResumeIn.Duration() <= maxDeviceDelay
}

// handlePower handles a frame of the power extension. What was not negotiated is ignored.
func (s *session) handlePower(h sv2.Header, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.granted.power {
		return nil
	}
	defer s.flushLocked()
	switch h.Type {
	case sv2.TypePowerHello:
		m, _, err := sv2.DecodePowerHello(payload)
		if err != nil {
			return err
		}
		s.powerHelloLocked(m)
	case sv2.TypeSetPowerTargetSuccess:
		m, _, err := sv2.DecodeSetPowerTargetSuccess(payload)
		if err != nil {
			return err
		}
		s.settleLocked(m.ChannelID, m.Command, answer{ack: fleet.Ack{
			Command: m.Command.ID, Planned: unit.Watts(m.Planned),
			Eta: min(m.Eta.Duration(), maxDeviceDelay), Hashrate: unit.Hashrate(m.ExpectedHashRate),
		}})
	case sv2.TypeSetPowerTargetError:
		m, _, err := sv2.DecodeSetPowerTargetError(payload)
		if err != nil {
			return err
		}
		err = fmt.Errorf("device refused the order: %q", m.Code)
		s.settleLocked(m.ChannelID, m.Command, answer{err: err})
	case sv2.TypePowerReport:
		m, _, err := sv2.DecodePowerReport(payload)
		if err != nil {
			return err
		}
		c := s.channels[m.ChannelID]
		if c != nil && c.power != nil && unit.Watts(m.Power) <= maxDevicePower {
			c.link.Report(unit.Watts(m.Power))
		}
	}
	return nil
}

func (s *session) settleLocked(channel uint32, command sv2.PowerCommand, a answer) {
	if c := s.channels[channel]; c != nil && c.power != nil {
		c.power.settle(command, a)
	}
}
