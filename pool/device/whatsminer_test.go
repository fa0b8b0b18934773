package device_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// A firmware that takes no watts yet sleeps and wakes; one that is switched to reading does nothing.
func TestWhatsMinerV3_DoesWhatItsFirmwareCan(t *testing.T) {
	emulate := func(w *devicetest.WhatsMinerV3) func(*devicetest.Machine) server {
		return func(m *devicetest.Machine) server {
			w.Machine, w.User, w.Password = m, "super", secret
			return w
		}
	}
	old := newBench(t, standOf(t, "whatsminer-v3", emulate(&devicetest.WhatsMinerV3{Old: true, Fast: true})))
	old.until("mining", mining)
	if c := old.driver.Capability(); c.CanCap || !c.CanPause || c.ReturnIn.Minutes() > 1 {
		t.Errorf("with API 3.0.2 and fast boot it can %+v", c)
	}
	old.refuses(fleet.Capped, 2000)
	old.set(fleet.Paused, benchSleep)
	old.until("asleep", asleep)

	locked := newBench(t, standOf(t, "whatsminer-v3", emulate(&devicetest.WhatsMinerV3{Locked: true})))
	locked.until("mining", mining)
	if c := locked.driver.Capability(); c.CanCap || c.CanPause {
		t.Errorf("switched to reading it can %+v", c)
	}
	locked.refuses(fleet.Paused, benchSleep)
}

// Watts that are not kept are an error, not a reduction that nobody sees.
func TestWhatsMinerV3_ReadsBack(t *testing.T) {
	b := newBench(t, standOf(t, "whatsminer-v3", func(m *devicetest.Machine) server {
		return &devicetest.WhatsMinerV3{Machine: m, User: "super", Password: secret, Beats: true}
	}))
	b.until("mining", mining)
	b.machine.Fail(devicetest.Defects{Deaf: true})
	_, err := b.driver.Set(t.Context(), fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Capped, Watts: 2000})
	if !errors.Is(err, device.ErrRefused) {
		t.Errorf("a deaf machine: %v, want ErrRefused", err)
	}
}

// A wrong password, and an API that is switched to reading, are refused logins; passwords are not named.
func TestWhatsMinerV2_SaysWhatItWants(t *testing.T) {
	for name, w := range map[string]*devicetest.WhatsMinerV2{
		"wrong password": {Password: "another"}, "switched off": {Password: secret, Locked: true},
	} {
		b := newBench(t, standOf(t, "whatsminer-v2", func(m *devicetest.Machine) server {
			w.Machine = m
			return w
		}))
		b.until("mining", mining)
		_, err := b.driver.Set(t.Context(), fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused})
		named := err != nil && strings.Contains(err.Error(), "hunter2")
		if !errors.Is(err, device.ErrLogin) || named || b.machine.Orders() > 0 {
			t.Errorf("%s: %v after %d orders, want ErrLogin and none", name, err, b.machine.Orders())
		}
	}
}

// A token is used as long as it is good: a machine gives out 32 in half an hour.
func TestWhatsMinerV2_KeepsItsToken(t *testing.T) {
	b := newBench(t, standFor(t, "whatsminer-v2"))
	b.until("mining", mining)
	for range 20 {
		b.set(fleet.Paused, benchSleep)
		b.set(fleet.Free, 3000)
	}
	if n := b.machine.Orders(); n != 40 {
		t.Errorf("%d orders came, want 40", n)
	}
}
