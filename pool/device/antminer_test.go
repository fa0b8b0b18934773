package device_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// antminerBench is a stock Antminer that is made otherwise.
func antminerBench(t *testing.T, change func(*devicetest.Antminer)) *bench {
	t.Helper()
	s := standFor(t, "antminer")
	s.serve = overHTTP(func(m *devicetest.Machine) handler {
		a := &devicetest.Antminer{Machine: m, User: "root", Password: secret}
		change(a)
		return a
	})
	b := newBench(t, s)
	b.until("mining", mining)
	return b
}

// Ensure that a write sends back the whole configuration: nothing that a read shows is lost by it.
func TestAntminer_WritesBackAllThatItRead(t *testing.T) {
	b := antminerBench(t, func(*devicetest.Antminer) {})
	for _, mode := range []fleet.Mode{fleet.Paused, fleet.Free, fleet.Paused} {
		b.set(mode, 3000) // an error if anything but the mode has changed
	}
	if s := b.until("asleep", asleep); len(s.Errors) > 0 {
		t.Errorf("it says %q", s.Errors)
	}
	b.poolsStay()
}

// Ensure that a setting which a write loses is named, whether the machine is there at once or reloads first,
// that it is named until it is put right, and that it does not keep the machine from its order.
func TestAntminer_NamesWhatAWriteHasChanged(t *testing.T) {
	for _, reload := range []time.Duration{0, 30 * time.Millisecond} {
		b := antminerBench(t, func(a *devicetest.Antminer) {
			a.Loses, a.Reload = []string{"pools", "bitmain-voltage", "bitmain-freq-level"}, reload
		})
		want := []string{
			"bitmain-voltage", "bitmain-freq-level", "pools[1].url", "pools[1].user", "pools[1].pass",
		}
		order := fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused}
		_, err := b.driver.Set(t.Context(), order)
		if reload == 0 && (!errors.Is(err, device.ErrAnswer) || !names(err.Error(), want)) {
			t.Errorf("at once: %v, want %q named", err, want)
		}
		if reload > 0 && err != nil {
			t.Errorf("it reloads: %v", err)
		}
		s := b.until("asleep", asleep)
		if !names(strings.Join(s.Errors, ";"), want) || names(strings.Join(s.Errors, ";"), []string{"1300"}) {
			t.Errorf("after %v it says %q, want %q named", reload, s.Errors, want)
		}
		if _, err := b.driver.Set(t.Context(), order); err != nil || b.machine.Orders() != 1 {
			t.Errorf("again: %v after %d orders, want 1", err, b.machine.Orders())
		}
		b.until("asleep", asleep)
	}
	b := antminerBench(t, func(a *devicetest.Antminer) { a.Loses = []string{"pools"} })
	order := fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused}
	_, _ = b.driver.Set(t.Context(), order) // names the pools
	b.machine.SetPools(b.before)
	if s := b.until("asleep", asleep); len(s.Errors) > 0 {
		t.Errorf("after its owner put it right it says %q", s.Errors)
	}
}

// names says that a text has all words.
func names(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
