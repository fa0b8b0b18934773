package device_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// faults are all that emulators do wrong, by name.
var faults = map[string]devicetest.Defects{
	"none":           {},
	"dead":           {Dead: true},
	"deaf":           {Deaf: true},
	"late":           {Late: 10 * time.Millisecond},
	"lying":          {Watts: 1.5},
	"login refused":  {Login: true},
	"session lost":   {Expire: true},
	"login lost":     {Login: true, Expire: true},
	"broken":         {Broken: true},
	"echo":           {Echo: true},
	"flood":          {Flood: true},
	"sent elsewhere": {Away: "http://127.0.0.1:1/"},
	"complaint":      {Fault: "218"},
}

// Ensure that whatever is wrong with a machine, and even if it repeats what it was sent, nothing that a
// driver returns holds the password that it was given, in any spelling.
func TestDrivers_TellNoSecrets(t *testing.T) {
	conform(t, func(b *bench) {
		if b.login == (device.Login{}) {
			b.login = device.Login{User: "op", Password: secret}
		}
		for name, fault := range faults {
			b.machine.Fail(devicetest.Defects{})
			for _, known := range []bool{false, true} { // before and after it was first seen
				b.reopen(60 * time.Millisecond)
				if known {
					b.until("seen", func(fleet.Sighting) bool { return true })
				}
				b.machine.Fail(fault)
				if said := b.sayAll(); strings.Contains(said, "hunter2") {
					b.Errorf("%s: it says\n%s", name, said)
				}
				b.machine.Fail(devicetest.Defects{})
			}
		}
	})
}

// reopen replaces the bench's driver by another one of the same machine.
func (b *bench) reopen(timeout time.Duration) {
	b.Helper()
	b.driver.Close()
	b.command = 0
	var err error
	b.driver, err = device.Open(b.kind, device.Config{
		Address: b.address, Login: b.login, Gate: openGate(b.T, "127.0.0.0/8"), Curve: benchCurve,
		Sleep: benchSleep, Socket: b.socket, Timeout: timeout,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(b.driver.Close)
}

// sayAll is everything that a driver says when everything is asked of it, as it is logged and printed.
func (b *bench) sayAll() string {
	var said bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&said, nil))
	tell := func(what any, err error) {
		log.Info("said", slog.Any("what", what), slog.Any("error", err))
		fmt.Fprintf(&said, "%v %+v %#v %v\n", what, what, what, err)
	}
	tell(b.driver.Identify(b.Context()))
	tell(b.driver.Probe(b.Context()))
	for _, mode := range []fleet.Mode{fleet.Paused, fleet.Capped, fleet.Free} {
		b.command++
		tell(b.driver.Set(b.Context(), fleet.Setpoint{Term: 1, Command: b.command, Mode: mode, Watts: 2000}))
	}
	tell(b.driver.Probe(b.Context()))
	tell(b.driver.Capability(), nil)
	return said.String()
}

// Ensure that the emulators' echo is one: a driver that repeats it repeats what it was sent, without its
// secrets.
func TestDrivers_RepeatWhatMachinesSay(t *testing.T) {
	for kind, want := range map[string]string{"epic": "password", "cgminer": "version", "avalon": "version"} {
		b := newBench(t, standFor(t, kind))
		if kind == "epic" {
			b.until("mining", mining)
		}
		b.machine.Fail(devicetest.Defects{Echo: true})
		if said := b.sayAll(); !strings.Contains(said, want) {
			t.Errorf("%s: an echo does not say %q:\n%s", kind, want, said)
		}
	}
	if url.QueryEscape(secret) == secret || fmt.Sprintf("%q", secret) == `"`+secret+`"` {
		t.Error("the planted password has one spelling only")
	}
}
