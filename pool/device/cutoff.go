package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// DefaultCutAfter is how long an order to sleep may go undone before power is cut.
const DefaultCutAfter = 30 * time.Second

// CutoffConfig is what a Cutoff is made from.
type CutoffConfig struct {
	Machine Driver
	Socket  Driver        // what the machine's power comes through
	Armed   bool          // otherwise the socket is only read
	After   time.Duration // DefaultCutAfter if 0
	Now     func() time.Time
	Told    func(cut bool) // is called after each switch; may be nil, must not block
}

// Cutoff is a machine with a switched socket behind it as the last actuator. Orders go to the machine. Only
// if it does not sleep although it was told to, by its own word or because it does not answer, its power is
// cut; it is given back before the machine is told anything but to sleep.
type Cutoff struct {
	cfg CutoffConfig // immutable

	turn sync.Mutex // held by the one order on its way; taken before mu

	mu     sync.Mutex
	asked  time.Time // since when the machine is told to sleep; zero: it is not
	undone bool      // it has said since that it mines
	cut    bool
	backAt time.Time // when its power came back; zero: it was not cut
}

var _ Driver = (*Cutoff)(nil)

// NewCutoff puts a socket behind a machine. Nothing is contacted.
func NewCutoff(cfg CutoffConfig) *Cutoff {
	if cfg.After == 0 {
		cfg.After = DefaultCutAfter
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Cutoff{cfg: cfg}
}

// Capability implements fleet.Actuator: the machine's, and once it is armed what the socket adds. A machine
// whose power was cut boots when it comes back.
func (c *Cutoff) Capability() fleet.Capability {
	can, socket := c.cfg.Machine.Capability(), c.cfg.Socket.Capability()
	if !c.cfg.Armed {
		return can
	}
	c.mu.Lock()
	boots := c.cut || !c.backAt.IsZero() && c.cfg.Now().Sub(c.backAt) < socket.ReturnIn
	c.mu.Unlock()
	if !can.CanPause { // it has never answered, or cannot sleep
		can.CanPause, can.HoldsAlone = socket.CanPause, socket.HoldsAlone
		can.Max = max(can.Max, socket.Max)
		can.ShedIn = c.cfg.After + socket.ShedIn
	}
	if boots {
		can.ReturnIn = max(can.ReturnIn, socket.ReturnIn)
	}
	return can
}

// Identify implements Driver.
func (c *Cutoff) Identify(ctx context.Context) (Identity, error) { return c.cfg.Machine.Identify(ctx) }

// Close implements Driver.
func (c *Cutoff) Close() {
	c.cfg.Machine.Close()
	c.cfg.Socket.Close()
}

// Set implements fleet.Actuator.
func (c *Cutoff) Set(ctx context.Context, s fleet.Setpoint) (fleet.Ack, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if s.Mode != fleet.Paused {
		if err := c.giveBack(ctx, s); err != nil {
			return fleet.Ack{}, err
		}
		return c.cfg.Machine.Set(ctx, s)
	}
	if c.sleeps() {
		return c.cfg.Socket.Set(ctx, s)
	}
	ack, err := c.cfg.Machine.Set(ctx, s)
	if !c.mayCut(err) {
		return ack, err
	}
	ack, cutErr := c.cfg.Socket.Set(ctx, s)
	if cutErr != nil {
		return fleet.Ack{}, errors.Join(err, fmt.Errorf("cutting its power: %w", cutErr))
	}
	c.switched(true)
	return ack, nil
}

// giveBack ends a cut, and any counting towards one.
func (c *Cutoff) giveBack(ctx context.Context, s fleet.Setpoint) error {
	c.mu.Lock()
	c.asked, c.undone = time.Time{}, false
	cut := c.cut
	c.mu.Unlock()
	if !cut || !c.cfg.Armed {
		return nil
	}
	s.Mode = fleet.Free
	if _, err := c.cfg.Socket.Set(ctx, s); err != nil {
		return fmt.Errorf("giving its power back: %w", err)
	}
	c.switched(false)
	return nil
}

// sleeps notes that the machine is told to sleep, and says whether its power is cut already.
func (c *Cutoff) sleeps() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() {
		c.asked = c.cfg.Now()
	}
	return c.cut && c.cfg.Armed
}

// mayCut says that the machine had its time to sleep and has not done so: err is how it took the order now.
func (c *Cutoff) mayCut(err error) bool {
	patience := max(c.cfg.After, 2*c.cfg.Machine.Capability().ShedIn)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg.Armed && c.cfg.Now().Sub(c.asked) >= patience && (err != nil || c.undone)
}

func (c *Cutoff) switched(cut bool) {
	c.mu.Lock()
	news := c.cut != cut
	c.cut, c.undone = cut, false
	if !cut {
		c.backAt = c.cfg.Now()
	}
	c.mu.Unlock()
	if news && c.cfg.Told != nil {
		c.cfg.Told(cut)
	}
}

// Probe implements fleet.Probe. It switches nothing.
func (c *Cutoff) Probe(ctx context.Context) (fleet.Sighting, error) {
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	if cut {
		if s, err := c.seeSocket(ctx); err != nil || s.Activity == fleet.ActivityAsleep {
			return s, err
		}
		c.switched(false) // somebody has given its power back
	}
	s, err := c.cfg.Machine.Probe(ctx)
	if err == nil {
		c.mu.Lock()
		told := !c.asked.IsZero() && s.At.Sub(c.asked) >= c.cfg.After/2
		c.undone = told && s.Activity == fleet.ActivityMining
		c.mu.Unlock()
		return s, nil
	}
	s, socketErr := c.seeSocket(ctx)
	switch {
	case socketErr != nil:
		return fleet.Sighting{}, errors.Join(err, socketErr)
	case s.Activity == fleet.ActivityAsleep: // as cut by a process before this one
		c.switched(true)
		return s, nil
	case !c.cfg.Armed:
		return fleet.Sighting{}, err
	}
	// It can still be told to sleep: by its socket. What it does is not known.
	return fleet.Sighting{At: s.At, Errors: []string{"does not answer: " + err.Error()}}.Bounded(), nil
}

// seeSocket is what the socket says of the machine.
func (c *Cutoff) seeSocket(ctx context.Context) (fleet.Sighting, error) {
	s, err := c.cfg.Socket.Probe(ctx)
	if err == nil && s.Activity == fleet.ActivityAsleep {
		s.Errors = []string{"its power is cut at its socket"}
	}
	return s, err
}
