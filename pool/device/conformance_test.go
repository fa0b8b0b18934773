package device_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// secret is planted as every machine's password; it is written otherwise in JSON, in a URL and quoted.
const secret = `hunter2"<of the farm`

// stand is one kind of driver with the emulator of its interface.
type stand struct {
	kind   string
	facts  devicetest.Facts
	serve  func(t *testing.T, m *devicetest.Machine) (address string, as devicetest.Rebooter)
	login  device.Login // empty: the interface has none
	model  string       // as the driver is to spell it
	mute   bool         // it says no watts at all
	bare   bool         // it knows nothing of the machine: a socket
	socket device.Socket
	blind  bool // the interface measures no watts: they are estimated

	sessions bool // it has no login, and sessions that end
}

// stands are all drivers. A driver without one is a fault of the test below.
func stands() []stand {
	return []stand{
		{
			kind: "axeos", serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.AxeOS{Machine: m, Clock: 525}
			}),
			facts: devicetest.Facts{Version: "v2.14.0", MAC: "AA:BB:CC:DD:EE:FF", Host: "bitaxe"},
			model: "Bitaxe Gamma",
		},
		{
			kind: "braiins", login: device.Login{User: "root", Password: secret}, blind: true,
			serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.Braiins{Machine: m, User: "root", Password: secret}
			}),
			facts: devicetest.Facts{
				Model: "Antminer S21 Pro", Version: "2026-04-14-0-912d084c-26.04-plus", Serial: "THQGF",
				MAC: "02:8f:77:EC:e7:e0", Host: "rig1",
			},
			model: "Antminer S21 Pro",
		},
		{
			kind: "vnish", login: device.Login{Password: secret},
			serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.VNish{Machine: m, Password: secret}
			}),
			facts: devicetest.Facts{Model: "Antminer S19j Pro", Version: "1.3.4", MAC: "02:8F:77:ec:e7:e1"},
			model: "Antminer S19j Pro",
		},
		{
			kind: "epic", login: device.Login{Password: secret},
			serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.EPIC{Machine: m, Password: secret}
			}),
			facts: devicetest.Facts{
				Model: "AntMiner S19 XP", Version: "PowerPlay-BMS v1.5.13", MAC: "E6:D4:41:51:64:28",
				Serial: "YNAH",
			},
			model: "Antminer S19 XP",
		},
		{
			kind: "antminer", login: device.Login{User: "root", Password: secret}, blind: true, mute: true,
			serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.Antminer{Machine: m, User: "root", Password: secret}
			}),
			facts: devicetest.Facts{
				Model: "Antminer S21", Version: "FR-1.12(251009-S21)", MAC: "02:55:97:22:3A:72",
				Serial: "THQING",
			},
			model: "Antminer S21",
		},
		{
			kind: "luxos", blind: true, sessions: true,
			serve: overListener(func(m *devicetest.Machine) server { return &devicetest.LuxOS{Machine: m} }),
			facts: devicetest.Facts{
				Model: "Antminer S19k Pro", Version: "2025.4.8.220305-57b389c7", MAC: "62:F7:5e:B7:10:46",
				Serial: "JYZZ", Host: "rig2",
			},
			model: "Antminer S19k Pro",
		},
		{
			kind: "cgminer", blind: true, mute: true,
			serve: overListener(func(m *devicetest.Machine) server {
				return &devicetest.CGMiner{Machine: m}
			}),
			facts: devicetest.Facts{Model: "Antminer S9", Version: "4.9.0"},
			model: "Antminer S9",
		},
		{
			kind: "whatsminer-v3", login: device.Login{User: "super", Password: secret},
			serve: overListener(func(m *devicetest.Machine) server {
				return &devicetest.WhatsMinerV3{Machine: m, User: "super", Password: secret}
			}),
			facts: devicetest.Facts{
				Model: "M60S_VK40", Version: "20251209.16.Rel2", MAC: "CE:02:01:00:8C:36",
				Serial: "BTM3CS40", Host: "WhatsMiner",
			},
			model: "WhatsMiner M60S",
		},
		{
			kind: "avalon",
			serve: overListener(func(m *devicetest.Machine) server {
				return &devicetest.Avalon{Machine: m, Hurry: 100, Skew: -50 * 365 * 24 * time.Hour}
			}),
			facts: devicetest.Facts{
				Model: "AvalonMiner 1466", Version: "1466-150-24041001_08b0955_0196aba",
				Serial: "02010000cbd2fd6d", MAC: "b4a2eb3188ab",
			},
			model: "Avalon A1466",
		},
		{
			kind: "whatsminer-v2", login: device.Login{User: "admin", Password: secret},
			serve: overListener(func(m *devicetest.Machine) server {
				return &devicetest.WhatsMinerV2{Machine: m, Password: secret}
			}),
			facts: devicetest.Facts{
				Model: "M50S_VH50", Version: "20230803.11.REL", MAC: "D4:01:02:03:04:05",
			},
			model: "WhatsMiner M50S",
		},
		{
			kind: "socket-http", bare: true, blind: true, mute: true,
			serve: overHTTP(func(m *devicetest.Machine) handler {
				return &devicetest.HTTPSocket{Machine: m}
			}),
			socket: device.Socket{
				On: "/outlet/1/on", Off: "/outlet/1/off", State: "/outlet/1", Path: "outlet.state", Is: "on",
			},
		},
		{
			kind: "socket-modbus", bare: true, blind: true, mute: true,
			serve: overListener(func(m *devicetest.Machine) server {
				return &devicetest.ModbusSocket{Machine: m, Unit: 3, Coil: 17}
			}),
			socket: device.Socket{Unit: 3, Coil: 17},
		},
	}
}

// overHTTP serves an emulated interface on loopback.
func overHTTP(make func(*devicetest.Machine) handler) func(
	*testing.T, *devicetest.Machine) (string, devicetest.Rebooter) {
	return func(t *testing.T, m *devicetest.Machine) (string, devicetest.Rebooter) {
		t.Helper()
		e := make(m)
		s := httptest.NewServer(e)
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://"), e
	}
}

// handler is an emulated interface over HTTP, server one of a protocol of its own.
type (
	handler interface {
		http.Handler
		devicetest.Rebooter
	}
	server interface {
		Serve(ln net.Listener)
		devicetest.Rebooter
	}
)

func overListener(make func(*devicetest.Machine) server) func(
	*testing.T, *devicetest.Machine) (string, devicetest.Rebooter) {
	return func(t *testing.T, m *devicetest.Machine) (string, devicetest.Rebooter) {
		t.Helper()
		e := make(m)
		return overTCP(t, e.Serve), e
	}
}

// overTCP serves an emulated interface on loopback until the test ends.
func overTCP(t *testing.T, serve func(net.Listener)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go serve(ln) // ends with the listener
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// bench is a driver in front of an emulated machine.
type bench struct {
	*testing.T
	stand
	machine *devicetest.Machine
	address string
	driver  device.Driver
	command uint32

	emulator devicetest.Rebooter
	gate     *device.Gate
	before   []devicetest.Pool
}

var benchCurve = fleet.Curve{
	{Watts: 900, Hashrate: 60e12},
	{Watts: 1500, Hashrate: 90e12},
	{Watts: 2200, Hashrate: 120e12},
	{Watts: 3000, Hashrate: 150e12},
}

const benchSleep = unit.Watts(30)

func newBench(t *testing.T, s stand) *bench {
	t.Helper()
	rig := &devicetest.Rig{
		Curve: benchCurve, Sleep: benchSleep, ShedIn: 30 * time.Millisecond, ReturnIn: 60 * time.Millisecond,
	}
	pools := []devicetest.Pool{
		{URL: "stratum+tcp://pool.example:3333", User: "acct.rig1", Password: "x"},
		{URL: "stratum+tcp://backup.example:3334", User: "acct.rig1", Password: "x"},
	}
	b := &bench{T: t, stand: s, machine: devicetest.NewMachine(s.facts, rig, pools...)}
	b.before, _ = b.machine.Pools()
	// One place: a driver that wants a second connection waits for ever.
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	b.gate = gate
	b.address, b.emulator = s.serve(t, b.machine)
	b.driver, err = device.Open(s.kind, device.Config{
		Address: b.address, Login: s.login, Gate: gate, Curve: benchCurve, Sleep: benchSleep,
		Socket: s.socket,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.driver.Close)
	return b
}

// forgetCurve gives a bench a driver that was told nothing of its machine.
func (b *bench) forgetCurve() {
	b.Helper()
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.driver, err = device.Open(b.kind, device.Config{
		Address: b.address, Login: b.login, Gate: gate, Socket: b.socket,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(b.driver.Close)
}

// set orders with a new command.
func (b *bench) set(mode fleet.Mode, w unit.Watts) fleet.Setpoint {
	b.Helper()
	b.command++
	s := fleet.Setpoint{Term: 1, Command: b.command, Mode: mode, Watts: w}
	if _, err := b.driver.Set(b.Context(), s); err != nil {
		b.Fatalf("setting to %v %v: %v", mode, w, err)
	}
	return s
}

// until probes until what it sees is right.
func (b *bench) until(what string, right func(fleet.Sighting) bool) fleet.Sighting {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	var s fleet.Sighting
	var last error
	for ctx.Err() == nil {
		var err error
		if s, err = b.driver.Probe(ctx); err == nil && right(s) {
			return s
		}
		last = err
	}
	b.Fatalf("never %s: %+v, %v", what, s, last)
	return s
}

// untilError probes until that fails as it should: after a fault some drivers pause.
func (b *bench) untilError(want error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		if _, err = b.driver.Probe(ctx); errors.Is(err, want) {
			return
		}
	}
	b.Fatalf("a probe fails with %v, want %v", err, want)
}

func asleep(s fleet.Sighting) bool { return s.Activity == fleet.ActivityAsleep }
func mining(s fleet.Sighting) bool { return s.Activity == fleet.ActivityMining }

func (b *bench) full(s fleet.Sighting) bool { return mining(s) && (b.bare || s.Hashrate > 149e12) }

// about says that a is within 3 % and 3 W of b.
func about(a, b unit.Watts) bool { return max(a, b)-min(a, b) <= 3+b*3/100 }

// conform runs a test for each driver.
func conform(t *testing.T, f func(b *bench)) {
	t.Helper()
	for _, s := range stands() {
		t.Run(s.kind, func(t *testing.T) {
			f(newBench(t, s))
		})
	}
}

// Every driver stands before an emulator here.
func TestDrivers_AllHaveAnEmulator(t *testing.T) {
	var have []string
	for _, s := range stands() {
		have = append(have, s.kind)
	}
	slices.Sort(have)
	if !slices.Equal(have, device.Kinds()) {
		t.Errorf("emulated: %v, drivers: %v", have, device.Kinds())
	}
}

// A machine says who it is and where it mines.
func TestDrivers_Identify(t *testing.T) {
	conform(t, func(b *bench) {
		id, err := b.driver.Identify(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if b.bare {
			return
		}
		if id.Kind != b.kind || id.Model != b.model || id.Firmware == "" {
			b.Errorf("identity %+v, want model %q and a firmware", id, b.model)
		}
		if plain(id.MAC) != plain(b.facts.MAC) || id.MAC != strings.ToLower(id.MAC) {
			b.Errorf("MAC %q, want %q in lower case with colons", id.MAC, b.facts.MAC)
		}
		if !slices.Contains(id.Workers, "acct.rig1") {
			b.Errorf("workers %q, want acct.rig1", id.Workers)
		}
		s := b.until("mining", mining)
		if s.Pool != "pool.example:3333" || !slices.Equal(s.Backups, []string{"backup.example:3334"}) {
			b.Errorf("pool %q, backups %q", s.Pool, s.Backups)
		}
		if r := s.Hashrate / 150e12; !about(s.Watts, 3000) || r < 0.97 || r > 1.03 {
			b.Errorf("reads %v and %v, want 3 kW and 150 TH/s", s.Watts, s.Hashrate)
		}
		if s.Wattage == fleet.WattsUnknown || b.blind == (s.Wattage == fleet.WattsMeasured) {
			b.Errorf("watts are %v; blind is %v", s.Wattage, b.blind)
		}
	})
}

// plain is a MAC without colons, in lower case.
func plain(mac string) string { return strings.ToLower(strings.ReplaceAll(mac, ":", "")) }

// What a machine can do is nothing until it was seen.
func TestDrivers_DeclareWhatTheyCanDo(t *testing.T) {
	conform(t, func(b *bench) {
		if c := b.driver.Capability(); c != (fleet.Capability{}) {
			b.Errorf("before it was seen it can %+v", c)
		}
		b.until("mining", mining)
		c := b.driver.Capability()
		if c.CanPause && (c.ShedIn <= 0 || c.ReturnIn <= 0) {
			b.Errorf("no times in %+v", c)
		}
		if c.CanCap && (c.Min <= 0 || c.Max <= c.Min) {
			b.Errorf("no range in %+v", c)
		}
		if !c.CanPause && !c.CanCap && b.kind != "cgminer" {
			b.Error("it can do nothing")
		}
	})
}

// Asleep and awake again, by what the machine does and by what it says; repeats write nothing; pools stay.
func TestDrivers_PauseAndResume(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			b.refuses(fleet.Paused, benchSleep)
			return
		}
		sleep := b.set(fleet.Paused, benchSleep)
		s := b.until("asleep", asleep)
		if w := b.machine.Body.State().Watts; !b.bare && w > 300 || s.Watts > 300 || s.Hashrate > 60e12 {
			b.Errorf("asleep it draws %v and says %v, %v", w, s.Watts, s.Hashrate)
		}
		b.repeats(sleep)
		wake := b.set(fleet.Free, 3000)
		b.until("mining at full power", b.full)
		b.repeats(wake)
		b.poolsStay()
	})
}

// A cap is kept as far as the machine's steps go, and never passed; sleep and a cap follow each other.
func TestDrivers_Cap(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		c := b.driver.Capability()
		if !c.CanCap {
			b.refuses(fleet.Capped, 2000)
			return
		}
		low := func(s fleet.Sighting) bool { return mining(s) && !b.machine.Body.State().Moving }
		at := b.set(fleet.Capped, 2000)
		b.until("capped", low)
		if w := b.machine.Body.State().Watts; w > 2000*101/100 || w < 2000-c.Step-40 {
			b.Errorf("capped at 2000 W it draws %v; a step is %v", w, c.Step)
		}
		b.repeats(at)
		if c.CanPause {
			b.set(fleet.Paused, benchSleep)
			b.until("asleep", asleep)
			b.set(fleet.Capped, 2000)
			b.until("capped again", low)
		}
		b.set(fleet.Free, 3000)
		b.until("at full power", b.full)
		b.poolsStay()
	})
}

// refuses says that the driver declines what it cannot do, and writes nothing.
func (b *bench) refuses(mode fleet.Mode, w unit.Watts) {
	b.Helper()
	b.command++
	_, err := b.driver.Set(b.Context(), fleet.Setpoint{Term: 1, Command: b.command, Mode: mode, Watts: w})
	if !errors.Is(err, device.ErrCannot) || b.machine.Orders() != 0 {
		b.Errorf("%v: %v after %d orders, want ErrCannot and none", mode, err, b.machine.Orders())
	}
}

// repeats says that the same order again writes nothing.
func (b *bench) repeats(s fleet.Setpoint) {
	b.Helper()
	n := b.machine.Orders()
	if _, err := b.driver.Set(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	if got := b.machine.Orders(); got != n {
		b.Errorf("%v repeated: %d orders more", s.Mode, got-n)
	}
}

// poolsStay says that no order touched the pools.
func (b *bench) poolsStay() {
	b.Helper()
	if now, _ := b.machine.Pools(); !reflect.DeepEqual(now, b.before) {
		b.Errorf("pools are %+v after orders, were %+v", now, b.before)
	}
}

// A machine that was rebooted in the middle is told again when its order is repeated, if it has forgotten.
func TestDrivers_TellAgainAfterAReboot(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			return
		}
		s := b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		b.machine.Body.Reboot(fleet.Free, 0)
		b.until("mining by itself", mining)
		n := b.machine.Orders()
		if _, err := b.driver.Set(b.Context(), s); err != nil {
			b.Fatal(err)
		}
		if b.machine.Orders() == n {
			b.Error("it was not told again")
		}
		b.until("asleep again", asleep)
	})
}

// An older order than the newest is refused.
func TestDrivers_RefuseOlderOrders(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			return
		}
		old := b.set(fleet.Paused, benchSleep)
		b.set(fleet.Free, 3000)
		n := b.machine.Orders()
		if _, err := b.driver.Set(b.Context(), old); err == nil || b.machine.Orders() != n {
			b.Errorf("an old order: %v, %d orders more", err, b.machine.Orders()-n)
		}
	})
}

// A deaf machine is seen to go on mining; one with wrong watts is read as it says.
func TestDrivers_SeeMachinesThatDoNotObey(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		b.machine.Fail(devicetest.Defects{Deaf: true, Watts: 1.2})
		if b.driver.Capability().CanPause {
			b.set(fleet.Paused, benchSleep)
		}
		s := b.until("still mining", mining)
		if want := unit.Watts(3600); !b.mute && !about(s.Watts, want) {
			b.Errorf("reads %v, want %v as it says", s.Watts, want)
		}
	})
}

// Nobody answers, or with rubbish, or late: an error with a name, in time.
func TestDrivers_BoundWhatMachinesDo(t *testing.T) {
	conform(t, func(b *bench) {
		b.until("mining", mining)
		b.machine.Fail(devicetest.Defects{Dead: true})
		ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := b.driver.Probe(ctx); err == nil {
			b.Error("a dead machine was read")
		}
		b.machine.Fail(devicetest.Defects{Broken: true})
		b.untilError(device.ErrAnswer)
		b.machine.Fail(devicetest.Defects{Late: 20 * time.Millisecond})
		b.until("mining", mining)
	})
}

// A refused login is named without the password; a session that ends is begun anew.
func TestDrivers_LogIn(t *testing.T) {
	conform(t, func(b *bench) {
		if b.login == (device.Login{}) && !b.sessions {
			return
		}
		b.until("mining", mining)
		b.machine.Fail(devicetest.Defects{Expire: true})
		b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		b.machine.Fail(devicetest.Defects{Login: true, Expire: true})
		b.command++
		_, err := b.driver.Set(b.Context(), fleet.Setpoint{Term: 1, Command: b.command, Watts: 3000})
		want := device.ErrLogin
		if b.sessions {
			want = device.ErrRefused
		}
		if !errors.Is(err, want) || strings.Contains(err.Error(), "hunter2") {
			b.Errorf("a refused login: %v, want %v without the password", err, want)
		}
	})
}

// Many may ask at a time; the machine hears one after the other, over one connection.
func TestDrivers_TakeTurns(t *testing.T) {
	conform(t, func(b *bench) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := b.driver.Probe(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// Machines of which no curve is known sleep and wake, and are seen to.
func TestDrivers_NeedNoCurveToSleep(t *testing.T) {
	conform(t, func(b *bench) {
		b.forgetCurve()
		b.until("mining", mining)
		if !b.driver.Capability().CanPause {
			return
		}
		b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		b.set(fleet.Free, 3000)
		b.until("mining again", mining)
	})
}

// A machine on its backup pool says so.
func TestDrivers_SeeWhoMinesElsewhere(t *testing.T) {
	conform(t, func(b *bench) {
		if b.bare {
			return
		}
		b.machine.Escape(1)
		s := b.until("seen", func(fleet.Sighting) bool { return true })
		if s.Pool != "backup.example:3334" || !slices.Equal(s.Backups, []string{"pool.example:3333"}) {
			b.Errorf("pool %q, backups %q", s.Pool, s.Backups)
		}
	})
}
