package device_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// standFor is a kind's stand.
func standFor(t *testing.T, kind string) stand {
	t.Helper()
	for _, s := range stands() {
		if s.kind == kind {
			return s
		}
	}
	t.Fatalf("no stand of kind %q", kind)
	return stand{}
}

// standOf is a kind's stand with another emulator.
func standOf(t *testing.T, kind string, serve func(*devicetest.Machine) server) stand {
	t.Helper()
	s := standFor(t, kind)
	s.serve = overListener(serve)
	return s
}

// A machine whose thermal management moves profiles by itself is not capped, and sleeps all the same.
func TestLuxOS_LeavesProfilesToThermalManagement(t *testing.T) {
	b := newBench(t, standOf(t, "luxos", func(m *devicetest.Machine) server {
		return &devicetest.LuxOS{Machine: m, Heat: true}
	}))
	b.until("mining", mining)
	if c := b.driver.Capability(); c.CanCap || !c.CanPause {
		t.Errorf("it can %+v", c)
	}
	b.refuses(fleet.Capped, 2000)
	b.set(fleet.Paused, benchSleep)
	b.until("asleep", asleep)
}

// A session of another program is left alone; sessions of ours are closed behind each order.
func TestLuxOS_SharesTheSession(t *testing.T) {
	var address string
	s := standOf(t, "luxos", func(m *devicetest.Machine) server { return &devicetest.LuxOS{Machine: m} })
	serve := s.serve
	s.serve = func(t *testing.T, m *devicetest.Machine) (string, devicetest.Rebooter) {
		t.Helper()
		var e devicetest.Rebooter
		address, e = serve(t, m)
		return address, e
	}
	b := newBench(t, s)
	b.until("mining", mining)
	b.set(fleet.Paused, benchSleep)
	logon(t, address)
	b.command++
	_, err := b.driver.Set(t.Context(), fleet.Setpoint{Term: 1, Command: b.command, Watts: 3000})
	if !errors.Is(err, device.ErrRefused) || b.machine.Orders() != 1 {
		t.Errorf("with another's session: %v after %d orders, want ErrRefused and 1", err, b.machine.Orders())
	}
}

// logon opens a session, as another program does.
func logon(t *testing.T, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(`{"command":"logon"}`)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil {
		t.Fatal(err)
	}
}

// An owner's overclock comes back after a cap, and no cap overclocks.
func TestLuxOS_ReturnsToItsOwnersProfile(t *testing.T) {
	b := newBench(t, standOf(t, "luxos", func(m *devicetest.Machine) server {
		return &devicetest.LuxOS{Machine: m}
	}))
	b.until("mining", mining)
	b.set(fleet.Capped, 3400)
	if step := b.machine.Setting("profile step"); step > 0 {
		t.Errorf("capped above its full power it runs at step %v", step)
	}
	b.machine.SetSetting("profile step", 2)
	b.until("seen", func(s fleet.Sighting) bool { return s.Target == 0 })
	b.set(fleet.Capped, 2000)
	if step := b.machine.Setting("profile step"); step >= 0 {
		t.Errorf("capped it runs at step %v", step)
	}
	b.set(fleet.Free, 3000)
	if step := b.machine.Setting("profile step"); step != 2 {
		t.Errorf("free it runs at step %v, want its owner's 2", step)
	}
}
