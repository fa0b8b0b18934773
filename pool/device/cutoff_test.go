package device_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
)

// stub is a machine, or a socket, that does what a test says.
type stub struct {
	can    fleet.Capability
	dead   bool
	deaf   bool
	asleep bool
	now    *time.Time
	told   []string
}

var errDead = errors.New("connection refused")

func (s *stub) Capability() fleet.Capability { return s.can }

func (s *stub) Set(_ context.Context, p fleet.Setpoint) (fleet.Ack, error) {
	if s.dead {
		return fleet.Ack{}, errDead
	}
	s.told = append(s.told, p.Mode.String())
	if !s.deaf {
		s.asleep = p.Mode == fleet.Paused
	}
	return fleet.Ack{Command: p.Command}, nil
}

func (s *stub) Probe(context.Context) (fleet.Sighting, error) {
	if s.dead {
		return fleet.Sighting{}, errDead
	}
	seen := fleet.Sighting{
		At: *s.now, Activity: fleet.ActivityMining, Watts: 3000, Wattage: fleet.WattsEstimated,
	}
	if s.asleep {
		seen.Activity, seen.Watts = fleet.ActivityAsleep, 0
	}
	return seen, nil
}

func (s *stub) Identify(context.Context) (device.Identity, error) { return device.Identity{}, nil }

func (s *stub) Close() {}

// wall is a machine behind a socket, at a time that the test passes.
type wall struct {
	*testing.T
	now     time.Time
	machine stub
	socket  stub
	cutoff  *device.Cutoff
	said    []bool
	command uint32
}

func newWall(t *testing.T, armed bool) *wall {
	t.Helper()
	w := &wall{T: t, now: time.Unix(1_800_000_000, 0)}
	w.machine = stub{now: &w.now, can: fleet.Capability{
		Max: 3000, CanPause: true, CanCap: true, ShedIn: 5 * time.Second, ReturnIn: time.Minute,
	}}
	w.socket = stub{now: &w.now, can: fleet.Capability{
		Max: 3000, CanPause: true, HoldsAlone: true, ShedIn: time.Second, ReturnIn: 10 * time.Minute,
	}}
	w.open(armed)
	return w
}

// open makes the driver anew, as a new process does.
func (w *wall) open(armed bool) {
	w.cutoff = device.NewCutoff(device.CutoffConfig{
		Machine: &w.machine, Socket: &w.socket, Armed: armed,
		Now: func() time.Time { return w.now }, Told: func(cut bool) { w.said = append(w.said, cut) },
	})
}

// order repeats an order for a while as a governor does: every 10 s, and asks every 5 s.
func (w *wall) order(mode fleet.Mode, d time.Duration) (err error) {
	w.Helper()
	w.command++
	for end := w.now.Add(d); ; w.now = w.now.Add(10 * time.Second) {
		_, err = w.cutoff.Set(w.Context(), fleet.Setpoint{Term: 1, Command: w.command, Mode: mode})
		if !w.now.Before(end) {
			return err
		}
		_, _ = w.cutoff.Probe(w.Context()) // a dead machine may be what is tested
	}
}

func (w *wall) sees() (fleet.Sighting, error) { return w.cutoff.Probe(w.Context()) }

// Ensure that the power of a machine which does as it is told is never cut.
func TestCutoff_LeavesTheObedientAlone(t *testing.T) {
	w := newWall(t, true)
	for range 3 {
		if err := w.order(fleet.Paused, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := w.order(fleet.Free, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.socket.told) > 0 || len(w.said) > 0 {
		t.Errorf("the socket was told %v", w.socket.told)
	}
	if got := w.cutoff.Capability(); got != w.machine.can {
		t.Errorf("capability %+v", got)
	}
}

// Ensure that power is cut of a machine that ignores its order or does not answer, after the time for it and
// not before, that it is seen as asleep then, and that power comes back before it is told to mine.
func TestCutoff_CutsWhoDoesNotSleep(t *testing.T) {
	for _, how := range []string{"deaf", "dead"} {
		w := newWall(t, true)
		w.machine.deaf, w.machine.dead = how == "deaf", how == "dead"
		_ = w.order(fleet.Paused, 20*time.Second)
		if len(w.socket.told) > 0 {
			t.Errorf("%s: cut within 20 s", how)
		}
		if err := w.order(fleet.Paused, 20*time.Second); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		s, err := w.sees()
		cut := err == nil && strings.Contains(fmt.Sprint(s.Errors), "cut")
		if !cut || s.Activity != fleet.ActivityAsleep {
			t.Errorf("%s: %+v, %v", how, s, err)
		}
		if c := w.cutoff.Capability(); c.ReturnIn != 10*time.Minute {
			t.Errorf("%s: it boots within %v", how, c.ReturnIn)
		}
		before := len(w.machine.told)
		w.machine.dead = false
		if err := w.order(fleet.Free, 0); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if last := w.socket.told[len(w.socket.told)-1]; last != "free" || len(w.machine.told) != before+1 {
			t.Errorf("%s: socket %v, machine %v", how, w.socket.told, w.machine.told)
		}
		if fmt.Sprint(w.said) != "[true false]" {
			t.Errorf("%s: people were told %v", how, w.said)
		}
	}
}

// Ensure that a socket that is not armed is never switched, and that a machine that does not answer is an
// error as without it.
func TestCutoff_SwitchesNothingUnlessArmed(t *testing.T) {
	w := newWall(t, false)
	w.machine.dead = true
	if err := w.order(fleet.Paused, 5*time.Minute); !errors.Is(err, errDead) {
		t.Errorf("%v", err)
	}
	if _, err := w.sees(); !errors.Is(err, errDead) {
		t.Errorf("%v", err)
	}
	if err := w.order(fleet.Free, time.Minute); !errors.Is(err, errDead) || len(w.socket.told) > 0 {
		t.Errorf("%v, socket %v", err, w.socket.told)
	}
}

// Ensure that a new process sees what was cut before it, that somebody who gives power back by hand is seen,
// and that a silent machine behind an armed socket can still be told to sleep.
func TestCutoff_FindsWhatOthersDid(t *testing.T) {
	w := newWall(t, true)
	w.machine.dead, w.socket.asleep = true, true
	if s, err := w.sees(); err != nil || s.Activity != fleet.ActivityAsleep {
		t.Errorf("cut before: %+v, %v", s, err)
	}
	w.machine.dead, w.socket.asleep = false, false
	if s, err := w.sees(); err != nil || s.Activity != fleet.ActivityMining || s.Errors != nil {
		t.Errorf("given back by hand: %+v, %v", s, err)
	}
	w.machine.dead, w.machine.can = true, fleet.Capability{}
	s, err := w.sees()
	if err != nil || s.Activity != fleet.ActivityUnknown || len(s.Errors) != 1 {
		t.Errorf("silent: %+v, %v", s, err)
	}
	if c := w.cutoff.Capability(); !c.CanPause || !c.HoldsAlone || c.CanCap || c.ShedIn < 30*time.Second {
		t.Errorf("capability %+v", c)
	}
	w.socket.dead = true
	if _, err := w.sees(); !errors.Is(err, errDead) {
		t.Errorf("nobody answers: %v", err)
	}
}
