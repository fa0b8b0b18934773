package device

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// dialect is what differs between the interfaces of vendors. A machine calls one method at a time, each with
// a deadline; none retries.
type dialect interface {
	// identify asks who the machine is, and learns what capability says.
	identify(ctx context.Context) (Identity, error)
	// see asks what it is doing.
	see(ctx context.Context) (fleet.Sighting, error)
	// set writes an order: full power, at most Watts, or sleep. To write the same twice is harmless. An
	// order that the interface cannot express is refused with ErrCannot before anything is written.
	set(ctx context.Context, s fleet.Setpoint) error
	// capability is what the machine can do as far as is known.
	capability() fleet.Capability
	// close lets go of what is held at the machine.
	close()
}

// machine is the Driver that all dialects share: one call at a time, a deadline for each, orders that
// repeat harmlessly, and no older order after a newer one.
type machine struct {
	dialect
	kind    string
	veil    *veil
	shed    time.Duration // that the owner knows; 0: the dialect's
	back    time.Duration // likewise of a return
	timeout time.Duration
	now     func() time.Time
	turn    chan struct{} // holds one token; who has it may call
	can     atomic.Pointer[fleet.Capability]

	// Guarded by the turn.
	known   bool           // identify has succeeded
	order   fleet.Setpoint // newest that was asked for
	wrote   bool           // and the machine took it
	wroteAt time.Time
}

var _ Driver = (*machine)(nil)

// newMachine makes a Driver of a dialect.
func newMachine(kind string, cfg Config, d dialect) *machine {
	m := &machine{
		dialect: d, kind: kind, veil: cfg.veil, timeout: cfg.Timeout, now: cfg.Now,
		shed: cfg.ShedIn, back: cfg.ReturnIn, turn: make(chan struct{}, 1),
	}
	m.turn <- struct{}{}
	m.learn()
	return m
}

// Capability implements fleet.Actuator. Until the machine has been seen it can do nothing.
func (m *machine) Capability() fleet.Capability { return *m.can.Load() }

// Identify implements Driver.
func (m *machine) Identify(ctx context.Context) (id Identity, err error) {
	err = m.take(ctx, func(ctx context.Context) error {
		id, err = m.identifyNow(ctx)
		return err
	})
	return id, err
}

func (m *machine) identifyNow(ctx context.Context) (Identity, error) {
	id, err := m.identify(ctx)
	if err != nil {
		return Identity{}, fmt.Errorf("%s: identifying: %w", m.kind, err)
	}
	id.Kind = m.kind
	m.known = true
	m.learn()
	return id, nil
}

// Probe implements fleet.Probe.
func (m *machine) Probe(ctx context.Context) (s fleet.Sighting, err error) {
	err = m.take(ctx, func(ctx context.Context) error {
		s, err = m.seeNow(ctx)
		return err
	})
	return s, err
}

// seeNow asks who it is first, once: what it can do follows from that.
func (m *machine) seeNow(ctx context.Context) (fleet.Sighting, error) {
	if !m.known {
		if _, err := m.identifyNow(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	s, err := m.see(ctx)
	if err != nil {
		return fleet.Sighting{}, fmt.Errorf("%s: reading: %w", m.kind, err)
	}
	s.At = m.now()
	m.learn()
	for i := range s.Errors {
		s.Errors[i] = m.veil.text(s.Errors[i])
	}
	return s.Bounded(), nil
}

// Set implements fleet.Actuator. A new order is written without a look; one that is repeated only if the
// machine does not do it, as after a reboot.
func (m *machine) Set(ctx context.Context, s fleet.Setpoint) (ack fleet.Ack, err error) {
	err = m.take(ctx, func(ctx context.Context) error {
		if olderThan(s, m.order) {
			return fmt.Errorf("%s: order %d/%d is older than %d/%d", m.kind,
				s.Term, s.Command, m.order.Term, m.order.Command)
		}
		if err := m.write(ctx, s); err != nil {
			return err
		}
		ack = m.answer(s)
		return nil
	})
	return ack, err
}

func (m *machine) write(ctx context.Context, s fleet.Setpoint) error {
	same := m.wrote && s.Term == m.order.Term && s.Command == m.order.Command
	m.order, m.wrote = s, same
	if !m.known || same {
		seen, err := m.seeNow(ctx)
		if err != nil {
			return err
		}
		if same && m.does(seen, s) {
			return nil
		}
	}
	m.wrote = false
	if err := m.set(ctx, s); err != nil {
		return fmt.Errorf("%s: setting to %v, %v: %w", m.kind, s.Mode, s.Watts, err)
	}
	m.wrote, m.wroteAt = true, m.now()
	return nil
}

// does says that the machine does as ordered, or may still be on its way since it was told.
func (m *machine) does(seen fleet.Sighting, s fleet.Setpoint) bool {
	c := m.Capability()
	if seen.Activity == fleet.ActivityMoving {
		return m.now().Sub(m.wroteAt) < 2*max(c.ShedIn, c.ReturnIn)
	}
	switch s.Mode {
	case fleet.Paused:
		return seen.Activity == fleet.ActivityAsleep
	case fleet.Capped:
		return seen.Activity == fleet.ActivityMining && near(seen.Target, s.Watts, c.Step)
	case fleet.Free:
	}
	return seen.Activity == fleet.ActivityMining && (seen.Target == 0 || near(seen.Target, c.Max, c.Step))
}

// near says that two settings are the same as far as steps of a machine go.
func near(a, b, step unit.Watts) bool { return max(a, b)-min(a, b) <= max(step, b/50) }

// answer is what the machine is expected to do: no interface says so itself.
func (m *machine) answer(s fleet.Setpoint) fleet.Ack {
	c := m.Capability()
	eta := c.ReturnIn
	if s.Mode != fleet.Free && !(s.Mode == fleet.Capped && c.Restarts) {
		eta = c.ShedIn
	}
	return fleet.Ack{Command: s.Command, Planned: s.Watts, Eta: eta, Hashrate: s.Hashrate}
}

// olderThan says that a was made before b.
func olderThan(a, b fleet.Setpoint) bool {
	return a.Term < b.Term || a.Term == b.Term && a.Command < b.Command
}

// Close implements Driver.
func (m *machine) Close() {
	<-m.turn
	m.close()
	m.turn <- struct{}{}
}

// take waits for the turn and calls f with a deadline.
func (m *machine) take(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	select {
	case <-m.turn:
	case <-ctx.Done():
		return fmt.Errorf("%s: waiting for an earlier call: %w", m.kind, ctx.Err())
	}
	defer func() { m.turn <- struct{}{} }()
	return m.veil.error(f(ctx))
}

// learn publishes what the machine can do: nothing before it was seen.
func (m *machine) learn() {
	var c fleet.Capability
	if m.known {
		c = m.capability()
		c.ShedIn, c.ReturnIn = cmp.Or(m.shed, c.ShedIn), cmp.Or(m.back, c.ReturnIn)
	}
	m.can.Store(&c)
}
