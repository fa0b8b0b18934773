package device_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// openGate leads to one subnet, one connection at a time.
func openGate(t *testing.T, subnet string) *device.Gate {
	t.Helper()
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix(subnet)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// canary is a listener that nobody is to contact.
func canary(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.(*net.TCPListener)
}

// contacted says that somebody has connected to a canary.
func contacted(t *testing.T, ln *net.TCPListener) bool {
	t.Helper()
	if err := ln.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// Ensure that no driver contacts what is outside the allowed subnets: not by its address, and not by a name
// that leads there.
func TestDrivers_ContactNothingOutside(t *testing.T) {
	for _, s := range stands() {
		t.Run(s.kind, func(t *testing.T) {
			ln := canary(t)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
				d, err := device.Open(s.kind, device.Config{
					Address: net.JoinHostPort(host, port), Login: s.login, Gate: openGate(t, "10.0.0.0/8"),
					Socket: s.socket,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				_, idErr := d.Identify(t.Context())
				_, setErr := d.Set(t.Context(), fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused})
				if !errors.Is(idErr, device.ErrOutside) || setErr == nil {
					t.Errorf("at %s: %v, %v; want ErrOutside", host, idErr, setErr)
				}
			}
			if contacted(t, ln) {
				t.Error("it was contacted")
			}
		})
	}
}

// Ensure that no machine sends a driver to another address, with or without what it was told.
func TestDrivers_FollowNobodyElsewhere(t *testing.T) {
	web := []string{"antminer", "axeos", "braiins", "epic", "socket-http", "vnish"}
	conform(t, func(b *bench) {
		ln := canary(b.T)
		b.machine.Fail(devicetest.Defects{Away: "http://" + ln.Addr().String() + "/there"})
		for _, known := range []bool{false, true} {
			if known {
				b.machine.Fail(devicetest.Defects{})
				b.until("seen", func(fleet.Sighting) bool { return true })
				b.machine.Fail(devicetest.Defects{Away: "http://" + ln.Addr().String() + "/there"})
			}
			_, err := b.driver.Probe(b.Context())
			if slices.Contains(web, b.kind) && !errors.Is(err, device.ErrAnswer) {
				b.Errorf("it is sent elsewhere: %v, want ErrAnswer", err)
			}
			for n, mode := range []fleet.Mode{fleet.Paused, fleet.Free} {
				s := fleet.Setpoint{Term: 2, Command: uint32(n + 1), Mode: mode, Watts: 3000}
				_, err = b.driver.Set(b.Context(), s)
				if slices.Contains(web, b.kind) && err == nil {
					b.Errorf("%v: an order that was sent elsewhere is acknowledged", mode)
				}
			}
		}
		if contacted(b.T, ln) {
			b.Error("it went there")
		}
	})
}

// Ensure that an answer without an end is cut off and named as what it is.
func TestDrivers_ReadNoMoreThanAnAnswer(t *testing.T) {
	conform(t, func(b *bench) {
		b.machine.Fail(devicetest.Defects{Flood: true})
		b.untilError(device.ErrAnswer)
		b.machine.Fail(devicetest.Defects{})
		b.until("mining", mining)
	})
}

// dribbler sends a byte now and then to everybody who connects, and never ends.
func dribbler(t *testing.T) string {
	t.Helper()
	return overTCP(t, func(ln net.Listener) {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends when nobody listens
				defer func() { _ = conn.Close() }()
				tick := time.NewTicker(5 * time.Millisecond)
				defer tick.Stop()
				for err := error(nil); err == nil; <-tick.C {
					_, err = conn.Write([]byte{'1'})
				}
			}()
		}
	})
}

// Ensure that every call ends in its time whatever a machine does: if it says nothing, or a little all the
// time.
func TestDrivers_EndInTime(t *testing.T) {
	t.Parallel()
	for _, s := range stands() {
		t.Run(s.kind, func(t *testing.T) {
			t.Parallel()
			machines := map[string]string{"silent": canary(t).Addr().String(), "slow": dribbler(t)}
			for name, address := range machines {
				d, err := device.Open(s.kind, device.Config{
					Address: address, Login: s.login, Gate: openGate(t, "127.0.0.0/8"), Socket: s.socket,
					Timeout: 100 * time.Millisecond,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				began := time.Now()
				_, idErr := d.Identify(t.Context())
				_, seeErr := d.Probe(t.Context())
				_, setErr := d.Set(t.Context(), fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused})
				took := time.Since(began)
				if took > 10*time.Second || idErr == nil || seeErr == nil || setErr == nil {
					t.Errorf("%s: after %v: %v, %v, %v", name, took, idErr, seeErr, setErr)
				}
			}
		})
	}
}

// Ensure that discovery contacts nothing outside either, whatever the subnet.
func TestScan_ContactsNothingOutside(t *testing.T) {
	ln := canary(t)
	err := device.Scan(t.Context(), device.ScanConfig{
		Gate: openGate(t, "10.0.0.0/8"), Subnet: netip.MustParsePrefix("127.0.0.1/32"), PerSecond: 100,
		Ports: []uint16{netip.MustParseAddrPort(ln.Addr().String()).Port()},
	}, func(p device.Progress) { t.Errorf("it reports %+v", p) })
	if !errors.Is(err, device.ErrOutside) || contacted(t, ln) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v, want ErrOutside and nobody contacted", err)
	}
}
