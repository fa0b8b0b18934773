package device_test

import (
	"testing"

	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// A machine that hangs up when it is to wake was told all the same; an older supply is estimated.
func TestAvalon_TakesSilenceForAWake(t *testing.T) {
	b := newBench(t, standOf(t, "avalon", func(m *devicetest.Machine) server {
		return &devicetest.Avalon{Machine: m, Hurry: 100, Mute: true, Old: true}
	}))
	s := b.until("mining", mining)
	if s.Wattage != fleet.WattsEstimated || !about(s.Watts, 3000) {
		t.Errorf("it draws %v, %v; want an estimate of 3 kW", s.Watts, s.Wattage)
	}
	b.set(fleet.Paused, benchSleep)
	b.until("asleep", asleep)
	b.set(fleet.Free, 3000)
	b.until("mining", mining)
	b.poolsStay()
}

// Ensure that a version is not taken for the number of a model.
func TestAvalon_TellsModelsFromVersions(t *testing.T) {
	versions := map[string]string{"25.05": "Avalon Q", "1566-24.1": "Avalon A1566", "Q-1": "Avalon Q"}
	for version, want := range versions {
		s := standFor(t, "avalon")
		s.facts.Model, s.facts.Version = "Avalon Q", version
		if id, err := newBench(t, s).driver.Identify(t.Context()); err != nil || id.Model != want {
			t.Errorf("%q is a %q, %v; want %q", version, id.Model, err, want)
		}
	}
}

// An order that has not begun is not put off by its repetition, and is taken back by its opposite.
func TestAvalon_KeepsTheMoment(t *testing.T) {
	b := newBench(t, standOf(t, "avalon", func(m *devicetest.Machine) server {
		return &devicetest.Avalon{Machine: m, Hurry: 1e-3} // an hour instead of 3 s
	}))
	b.until("mining", mining)
	b.set(fleet.Paused, benchSleep)
	b.set(fleet.Paused, benchSleep)
	if n := b.machine.Orders(); n != 1 {
		t.Errorf("%d orders while the first waits, want 1", n)
	}
	b.set(fleet.Free, 3000)
	if n := b.machine.Orders(); n != 2 {
		t.Errorf("%d orders after it was taken back, want 2", n)
	}
}
