package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
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
	maxReportAge   = time.Minute // an older reading says nothing of now
)

// PowerReport is what a device or a site said of itself last: a claim. It is zero before the first.
type PowerReport struct {
	At       time.Time // when it was measured
	Watts    unit.Watts
	Hashrate unit.Hashrate
	Source   sv2.PowerSource
	State    sv2.PowerState
	Hottest  uint8       // degrees Celsius; sv2.HottestUnknown without a sensor
	Energy   unit.Joules // counter; 0 if there is none
	seq      uint32
}

// powerLink is the in-band actuator of one channel, whose device spoke PowerHello, or of one site,
// whose agent spoke SitePowerHello.
type powerLink struct {
	// immutable
	session    *session
	channel    uint32
	site       string // empty for a channel's
	worker     pool.WorkerID
	link       *fleet.Link
	since      time.Time
	limit      unit.Watts // what it may say that it draws
	capability fleet.Capability

	said PowerReport // guarded by the session's mu

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

// target is an order on the wire.
func target(sp fleet.Setpoint) sv2.PowerTarget {
	fail := sv2.FailRelease
	if sp.FailHold {
		fail = sv2.FailHold
	}
	return sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: sp.Term, ID: sp.Command}, Mode: powerModes[sp.Mode], FailMode: fail,
		Target: sv2.Watts(max(0, min(sp.Watts, math.MaxUint32))), Ramp: sv2.MillisOf(sp.Ramp),
		ValidFor: sv2.SecondsOf(sp.ValidFor),
	}
}

// sendPower sends an order, unless the link's channel or site has gone or said hello anew.
func (s *session) sendPower(p *powerLink, sp fleet.Setpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.site != "" {
		if s.sites[p.site] != p {
			return false
		}
		sendLocked(s, sv2.SetSitePowerTarget{Site: p.site, PowerTarget: target(sp)})
	} else {
		if c := s.channels[p.channel]; c == nil || c.power != p {
			return false
		}
		sendLocked(s, sv2.SetPowerTarget{ChannelID: p.channel, PowerTarget: target(sp)})
	}
	s.flushLocked()
	return true
}

// powerHello makes the channel's device an actuator. A channel whose hello is not accepted goes
// on mining without the extension. The channel may have closed while a good one was on its way,
// so a bad one is no reason to end the connection either.
func (s *session) powerHello(m sv2.PowerHello, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[m.ChannelID]
	if c == nil || refuseOffer(m.PowerOffer, maxDevicePower) != "" {
		return
	}
	old := c.power
	c.power = &powerLink{
		session: s, channel: c.id, worker: c.worker, link: c.link, since: now, limit: maxDevicePower,
		capability: capability(m.PowerOffer),
	}
	sendLocked(s, sv2.PowerHelloAck{ChannelID: c.id, PowerTerms: s.powerTerms()})
	c.link.SetActuator(c.power)
	if old != nil {
		old.abandon() // now: whoever hears that it ended finds the new one
	}
	s.flushLocked()
}

func (s *session) powerTerms() sv2.PowerTerms {
	return sv2.PowerTerms{
		Version:      sv2.PowerVersion,
		ReportPeriod: sv2.MillisOf(s.srv.cfg.PowerReport),
		DeadMan:      sv2.SecondsOf(s.srv.cfg.PowerDeadMan),
	}
}

func capability(o sv2.PowerOffer) fleet.Capability {
	return fleet.Capability{
		Min: unit.Watts(o.Min), Max: unit.Watts(o.Max), Step: unit.Watts(o.Step),
		CanCap:     o.Capabilities&sv2.CanCap != 0,
		CanPause:   o.Capabilities&sv2.CanPause != 0 && o.Capabilities&sv2.CanWake != 0,
		CanRamp:    o.Capabilities&sv2.CanRamp != 0,
		ShedIn:     o.PauseIn.Duration(),
		ReturnIn:   o.ResumeIn.Duration(),
		HoldsAlone: o.Capabilities&sv2.CanHold != 0,
	}
}

// refuseOffer says why an offer is not taken, empty if it is: of another version, or not possible.
func refuseOffer(o sv2.PowerOffer, most unit.Watts) (code string) {
	switch {
	case o.MinVersion > sv2.PowerVersion || o.MaxVersion < sv2.PowerVersion:
		return sv2.CodePowerVersion
	case o.Min > o.Max, o.Idle > o.Max, o.Max == 0, unit.Watts(o.Max) > most,
		o.PauseIn.Duration() > maxDeviceDelay, o.ResumeIn.Duration() > maxDeviceDelay:
		return sv2.CodePowerOffer
	}
	return ""
}

// handlePower handles a frame of the power extension. What was not negotiated is ignored.
//
// A hashrate that is no number spoils its message and not the connection, on which a machine mines and
// by which it is steered: a report is passed over, an answer counts as a refusal.
func (s *session) handlePower(h sv2.Header, payload []byte, now time.Time) error {
	if !s.granted.power {
		return nil
	}
	switch h.Type {
	case sv2.TypePowerHello:
		m, _, err := sv2.DecodePowerHello(payload)
		if err != nil {
			return err
		}
		s.powerHello(m, now)
	case sv2.TypeSetPowerTargetSuccess:
		m, _, err := sv2.DecodeSetPowerTargetSuccess(payload)
		if err != nil && !errors.Is(err, sv2.ErrFloat) {
			return err
		}
		s.settle(s.powerOf(m.ChannelID), m.PowerAnswer, err)
	case sv2.TypeSetPowerTargetError:
		m, _, err := sv2.DecodeSetPowerTargetError(payload)
		if err != nil {
			return err
		}
		s.settle(s.powerOf(m.ChannelID), sv2.PowerAnswer{Command: m.Command}, refusedOrder(m.Code))
	case sv2.TypePowerReport:
		m, _, err := sv2.DecodePowerReport(payload)
		if err != nil {
			return unlessOdd(err)
		}
		s.report(s.powerOf(m.ChannelID), &m.PowerReading, now)
	default:
		return s.handleSitePower(h, payload, now)
	}
	return nil
}

func unlessOdd(err error) error {
	if errors.Is(err, sv2.ErrFloat) {
		return nil
	}
	return err
}

func refusedOrder(code string) error { return fmt.Errorf("device refused the order: %q", code) }

// powerOf is the actuator of a channel, nil if there is none.
func (s *session) powerOf(channel uint32) *powerLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[channel]; c != nil {
		return c.power
	}
	return nil
}

// settle hands a device's answer, or what is wrong with it, to the order that waits for it.
func (s *session) settle(p *powerLink, a sv2.PowerAnswer, err error) {
	if p == nil {
		return
	}
	if err != nil {
		p.settle(a.Command, answer{err: err})
		return
	}
	p.settle(a.Command, answer{ack: fleet.Ack{
		Command: a.Command.ID, Planned: unit.Watts(a.Planned),
		Eta: min(a.Eta.Duration(), maxDeviceDelay), Hashrate: unit.Hashrate(a.ExpectedHashRate),
	}})
}

// report notes what a device says of itself, if it can be: of now, in order, within bounds.
func (s *session) report(p *powerLink, r *sv2.PowerReading, now time.Time) {
	if p == nil || unit.Watts(r.Power) > p.limit || r.Age.Duration() > maxReportAge {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Seq < p.said.seq {
		return
	}
	p.said = PowerReport{
		At: now.Add(-r.Age.Duration()), Watts: unit.Watts(r.Power), Hashrate: unit.Hashrate(r.HashRate),
		Source: r.Source, State: r.State, Hottest: r.Hottest,
		Energy: unit.Joules(min(r.Energy, math.MaxInt64)), seq: r.Seq,
	}
	p.link.Report(fleet.Reading{
		Watts: p.said.Watts, Energy: p.said.Energy, At: p.said.At, Moving: r.State == sv2.StateMoving,
	})
}
