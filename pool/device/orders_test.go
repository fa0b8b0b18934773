package device_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Ensure that every driver reads how hot its machine is and what it complains of.
func TestDrivers_ReadHeatAndFaults(t *testing.T) {
	// Interfaces that have no code: a flag, and a state of a board.
	words := map[string]string{"axeos": "overheated", "cgminer": "Sick"}
	conform(t, func(b *bench) {
		if b.bare {
			return
		}
		b.machine.Fail(devicetest.Defects{Fault: "218"})
		s := b.until("seen", func(fleet.Sighting) bool { return true })
		want := "218"
		if w := words[b.kind]; w != "" {
			want = w
		}
		if all := strings.Join(s.Errors, ";"); !strings.Contains(all, want) || s.Chip < 30 || s.Chip > 100 {
			b.Errorf("chip at %d °C, errors %q; want %q", s.Chip, s.Errors, want)
		}
	})
}

// Ensure that a machine that sleeps is known by a driver that never saw it awake, and does not call its pool,
// to which it has no connection, a backup.
func TestDrivers_KeepTheirPoolAsleep(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if b.bare || !b.driver.Capability().CanPause {
			return
		}
		b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		for b.machine.Body.State().Moving {
			time.Sleep(time.Millisecond)
		}
		b.reopen(device.DefaultTimeout) // as after a restart of the server
		s := b.until("asleep", asleep)
		if s.Pool != "" && s.Pool != "pool.example:3333" || slices.Contains(s.Backups, "pool.example:3333") {
			b.Errorf("asleep its pool is %q, its backups %q", s.Pool, s.Backups)
		}
	})
}

// Ensure that firmware is named once, whether a machine says its name with its version or not.
func TestDrivers_NameFirmwareOnce(t *testing.T) {
	names := map[string]string{
		"antminer": "stock", "avalon": "Avalon", "axeos": "AxeOS", "braiins": "Braiins OS",
		"cgminer": "cgminer", "luxos": "LuxOS", "vnish": "VNish",
		"whatsminer-v2": "WhatsMiner", "whatsminer-v3": "WhatsMiner",
	}
	conform(t, func(b *bench) {
		for _, version := range []string{names[b.kind] + " 7.7", "7.7"} {
			b.machine.Facts.Version = version
			b.reopen(device.DefaultTimeout)
			id, err := b.driver.Identify(b.Context())
			if want := names[b.kind] + " 7.7"; names[b.kind] != "" && (err != nil || id.Firmware != want) {
				b.Errorf("%q is firmware %q, %v: want %q", version, id.Firmware, err, want)
			}
		}
	})
}

// Ensure that an order that came to nothing is written when it is tried again, and then no more.
func TestDrivers_TryAgain(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			return
		}
		s := fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused, Watts: benchSleep}
		b.machine.Fail(devicetest.Defects{Dead: true})
		ctx, cancel := context.WithTimeout(b.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := b.driver.Set(ctx, s); err == nil {
			b.Error("a dead machine took an order")
		}
		b.machine.Fail(devicetest.Defects{})
		limit := time.Now().Add(20 * time.Second)
		for {
			_, err := b.driver.Set(b.Context(), s)
			if err == nil {
				break
			}
			if time.Now().After(limit) { // some drivers pause after a fault
				b.Fatal(err)
			}
		}
		b.until("asleep", asleep)
		if n := b.machine.Orders(); n != 1 {
			b.Errorf("%d orders came, want 1", n)
		}
	})
}

// Ensure that the same order from many sides at a time is written once.
func TestDrivers_WriteAnOrderOnce(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			return
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s := fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused, Watts: benchSleep}
				if _, err := b.driver.Set(b.Context(), s); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if n := b.machine.Orders(); n != 1 {
			b.Errorf("%d orders came, want 1", n)
		}
	})
}

// tap is a way to a machine that keeps what goes there.
type tap struct {
	mu   sync.Mutex
	sent bytes.Buffer // guarded by mu
}

// Write keeps what is sent.
func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent.Write(b)
}

func (p *tap) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent.String()
}

// serve passes connections on to an address.
func (p *tap) serve(to string) func(net.Listener) {
	return func(ln net.Listener) {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go p.pass(conn, to) // ends when either side hangs up
		}
	}
}

func (p *tap) pass(from net.Conn, to string) {
	defer func() { _ = from.Close() }()
	machine, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = machine.Close() }()
	go func() {
		_, _ = io.Copy(machine, io.TeeReader(from, p))
		_ = machine.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(from, machine)
}

// touches is whatever would change pools over any of the interfaces: settings, commands and requests.
var touches = regexp.MustCompile(`(?i)stratum(url|port|user|pass)|(PUT|PATCH|POST|DELETE) \S*pool|` +
	`(add|remove|switch|enable|disable|update_|set\.miner\.)pool|pool(priority|quota)|"param":\s*"?coin|` +
	`(PUT|PATCH) /api/v1/settings|POST /coin`)

// Ensure that no order sends anything that concerns pools. The stock Antminer's is the exception: it takes
// its whole configuration only, and gets its pools as they were.
func TestDrivers_SendNothingAboutPools(t *testing.T) {
	for _, s := range stands() {
		var p tap
		serve := s.serve
		s.serve = func(t *testing.T, m *devicetest.Machine) (string, devicetest.Rebooter) {
			t.Helper()
			address, e := serve(t, m)
			return overTCP(t, p.serve(address)), e
		}
		t.Run(s.kind, func(t *testing.T) {
			b := newBench(t, s)
			b.until("mining", mining)
			for _, mode := range []fleet.Mode{fleet.Paused, fleet.Free, fleet.Capped, fleet.Free} {
				if c := b.driver.Capability(); mode == fleet.Capped && !c.CanCap || !c.CanPause {
					continue
				}
				b.set(mode, 2000)
				if mode == fleet.Free {
					b.until("mining", mining)
				}
				_, _ = b.driver.Probe(t.Context()) // what it answers is looked at elsewhere
			}
			sent := p.String()
			if found := touches.FindString(sent); found != "" || sent == "" {
				t.Errorf("of %d bytes sent: %q", len(sent), found)
			}
			b.poolsStay()
		})
	}
	for _, bad := range []string{
		`{"stratumURL":"x"}`, "POST /api/v1/pools/ HTTP/1.1", `{"command":"switchpool"}`,
		`{"cmd":"update_pools"}`, "PUT /api/v1/pools/batch HTTP/1.1", `{"cmd":"set.miner.pools"}`,
	} {
		if !touches.MatchString(bad) {
			t.Errorf("%q goes unseen", bad)
		}
	}
}

// Ensure that an address without a port means that of the interface, and that one with a port means that.
func TestDrivers_TakeAPort(t *testing.T) {
	for _, s := range stands() {
		own, err := device.Address(s.kind, "Rig-7.example")
		if err != nil || !strings.HasPrefix(own, "rig-7.example:") {
			t.Errorf("%s: %q, %v", s.kind, own, err)
		}
		if at, err := device.Address(s.kind, "10.0.0.7:8080"); err != nil || at != "10.0.0.7:8080" {
			t.Errorf("%s: %q, %v", s.kind, at, err)
		}
	}
	for in, want := range map[string]string{
		"::1": "[::1]:80", "[FD00:0::1]:81": "[fd00::1]:81", "::ffff:10.0.0.7": "10.0.0.7:80",
		"10.0.0.7:080": "10.0.0.7:80", "10.0.0.7:0": "", "": "", "a b": "",
	} {
		if at, err := device.Address("axeos", in); at != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", in, at, err, want)
		}
	}
	if _, err := device.Address("toaster", "10.0.0.7"); err == nil {
		t.Error("a kind that is none has an address")
	}
}
