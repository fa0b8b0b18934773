package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Errors of an in-band order.
var (
	errSuperseded = errors.New("a newer order replaced this one")
	errChannelEnd = errors.New("the channel closed before the device answered")
)

// powerLink is the in-band actuator of one channel: the device at its end spoke PowerHello.
type powerLink struct {
	session    *session         // immutable
	channel    uint32           // immutable
	capability fleet.Capability // immutable

	mu      sync.Mutex
	waiting *order // guarded by mu: the newest order, until it is answered
	gone    bool   // guarded by mu
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
// older one, because the device obeys only the newest.
func (p *powerLink) Set(ctx context.Context, sp fleet.Setpoint) (fleet.Ack, error) {
	command := sv2.PowerCommand{Term: sp.Term, ID: sp.Command}
	o := &order{command: command, answer: make(chan answer, 1)}
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return fleet.Ack{}, errChannelEnd
	}
	if old := p.waiting; old != nil {
		old.answer <- answer{err: errSuperseded}
	}
	p.waiting = o
	p.mu.Unlock()
	p.session.sendPower(p.channel, sp)
	select {
	case a := <-o.answer:
		return a.ack, a.err
	case <-ctx.Done():
		p.settle(command, answer{})
		return fleet.Ack{}, fmt.Errorf("waiting for the device's answer: %w", ctx.Err())
	}
}

// settle answers the order with this command, if it still waits.
func (p *powerLink) settle(command sv2.PowerCommand, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != nil && p.waiting.command == command {
		p.waiting.answer <- a
		p.waiting = nil
	}
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

func (s *session) sendPower(channel uint32, sp fleet.Setpoint) {
	fail := sv2.FailRelease
	if sp.FailHold {
		fail = sv2.FailHold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendLocked(sv2.SetPowerTarget{ChannelID: channel, PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: sp.Term, ID: sp.Command}, Mode: powerModes[sp.Mode], FailMode: fail,
		Target: sv2.Watts(max(0, min(sp.Watts, math.MaxUint32))), ValidFor: sv2.SecondsOf(sp.ValidFor),
	}})
	s.flushLocked()
}

// powerHelloLocked makes the channel's device an actuator.
func (s *session) powerHelloLocked(m sv2.PowerHello) {
	c := s.channels[m.ChannelID]
	if c == nil {
		return // it may have closed while the hello was on its way
	}
	if m.MinVersion > sv2.PowerVersion || m.MaxVersion < sv2.PowerVersion || m.Min > m.Max {
		return // not ours to speak: the channel goes on mining without the extension
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
	s.sendLocked(sv2.PowerHelloAck{
		ChannelID: c.id, Version: sv2.PowerVersion,
		ReportPeriod: sv2.MillisOf(s.srv.cfg.PowerReport),
		DeadMan:      sv2.SecondsOf(s.srv.cfg.PowerDeadMan),
	})
	c.link.SetActuator(c.power)
}

// handlePower handles a frame of the power extension. What was not negotiated is ignored.
func (s *session) handlePower(h sv2.Header, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.power {
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
			Eta: m.Eta.Duration(), Hashrate: unit.Hashrate(m.ExpectedHashRate),
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
		if c := s.channels[m.ChannelID]; c != nil {
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
