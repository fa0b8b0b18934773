package device_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// kept is what a machine has after a reboot of what it was told before.
type kept struct{ sleep, capped bool }

// documented is what docs/devices.md says that each kind keeps, by the words of its table.
func documented(t *testing.T) map[string]kept {
	t.Helper()
	b, err := os.ReadFile("../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]kept{
		"yes": {sleep: true, capped: true}, "no": {}, "not known": {}, "": {},
		"the clock, not the sleep":                {capped: true},
		"the target, not the pause":               {capped: true},
		"the limit; of the sleep it is not known": {capped: true},
		"the watts; of the sleep it is not known": {capped: true},
		"the PDU's matter":                        {sleep: true}, "the relay's matter": {sleep: true},
	}
	all, column := map[string]kept{}, 0
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
			if cells[i] == "kept over a reboot" {
				column = i
			}
		}
		switch {
		case len(cells) < 2 && column > 0 && len(all) > 0:
			return all
		case column == 0 || len(cells) <= column || !strings.HasPrefix(cells[1], "`"):
			continue
		}
		k, ok := words[cells[column]]
		if !ok {
			t.Errorf("%s keeps %q: no test knows what that means", cells[1], cells[column])
		}
		all[strings.Trim(cells[1], "`")] = k
	}
	return all
}

// settled says that a machine mines and is on its way nowhere.
func (b *bench) settled(s fleet.Sighting) bool { return mining(s) && !b.machine.Body.State().Moving }

// tellAgain repeats an order, and says whether that wrote anything.
func (b *bench) tellAgain(s fleet.Setpoint) bool {
	b.Helper()
	n := b.machine.Orders()
	if _, err := b.driver.Set(b.Context(), s); err != nil {
		b.Fatalf("repeating %v: %v", s.Mode, err)
	}
	return b.machine.Orders() > n
}

// Ensure that a machine which its driver declares to survive a reboot sleeps on after one, and that one which
// it declares to forget wakes by itself; that the document says the same; and that the order, repeated, is
// written exactly where it was lost.
func TestDrivers_KeepSleepOverARebootAsDeclared(t *testing.T) {
	says := documented(t)
	conform(t, func(b *bench) {
		want, ok := says[b.kind]
		if !ok {
			b.Fatal("the document does not say what it keeps")
		}
		b.until("mining", mining)
		c := b.driver.Capability()
		if !c.CanPause {
			return
		}
		if c.Forgets == want.sleep {
			b.Errorf("it is declared to forget: %v, and the document has %+v", c.Forgets, want)
		}
		order := b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		b.emulator.Reboot()
		if c.Forgets {
			b.until("mining by itself", b.full)
		} else {
			b.until("asleep after the reboot", asleep)
			if s := b.machine.Body.State(); s.Target != benchSleep {
				b.Errorf("asleep by its own word, it is on its way to %v", s.Target)
			}
		}
		if told := b.tellAgain(order); told != c.Forgets {
			b.Errorf("repeated, the order was written: %v; the machine forgets: %v", told, c.Forgets)
		}
		b.until("asleep in the end", asleep)
		b.poolsStay()
	})
}

// Ensure that a cap is there after a reboot exactly where the document says so, also under a sleep that is
// forgotten, and that it is written again exactly where it was lost.
func TestDrivers_KeepACapOverARebootAsDocumented(t *testing.T) {
	says := documented(t)
	conform(t, func(b *bench) {
		b.until("mining", mining)
		c := b.driver.Capability()
		if !c.CanCap {
			return
		}
		keeps := says[b.kind].capped
		if !c.Forgets && !keeps {
			b.Error("it is declared to forget nothing, and the document has no cap kept")
		}
		order := b.set(fleet.Capped, 2000)
		b.until("capped", b.settled)
		b.rebootsTo(keeps)
		if told := b.tellAgain(order); told == keeps {
			b.Errorf("repeated, the cap was written: %v; the machine keeps it: %v", told, keeps)
		}
		b.until("capped again", b.settled)
		if w := b.machine.Body.State().Watts; w > 2020 {
			b.Errorf("told again, it draws %v", w)
		}
		if !c.CanPause || !c.Forgets {
			return
		}
		b.set(fleet.Paused, benchSleep)
		b.until("asleep", asleep)
		b.rebootsTo(keeps)
	})
}

// rebootsTo reboots a machine that was capped to 2 kW, and says whether that should be so afterwards.
func (b *bench) rebootsTo(capped bool) {
	b.Helper()
	b.emulator.Reboot()
	b.until("mining after the reboot", b.settled)
	if w := b.machine.Body.State().Watts; capped != (w <= 2020) {
		b.Errorf("after a reboot it draws %v; the cap is kept: %v", w, capped)
	}
}

// Ensure that an Avalon goes to sleep at the moment that it was told, not before and not much later, though
// the server that told it is gone by then and so is the network.
func TestAvalon_SleepsAtItsMomentThoughTheServerIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, standOf(t, "avalon", func(m *devicetest.Machine) server {
		return &devicetest.Avalon{Machine: m, Skew: -50 * 365 * 24 * time.Hour} // its clock begins in 1976
	}))
	b.until("mining", mining)
	told := time.Now()
	b.set(fleet.Paused, benchSleep)
	if s := b.machine.Body.State(); s.Mode != fleet.Free {
		t.Fatalf("told to sleep in some seconds, it is %v at once", s.Mode)
	}
	b.driver.Close()
	b.machine.Fail(devicetest.Defects{Dead: true}) // nobody reaches it, and it answers nobody
	down := told
	for deadline := told.Add(30 * time.Second); b.machine.Body.State().Mode != fleet.Paused; {
		if down = time.Now(); down.After(deadline) {
			t.Fatal("it never went to sleep")
		}
		time.Sleep(time.Millisecond) // its moment is by the clock of the machine
	}
	// The moment is three whole seconds after the second in which its clock was read.
	if took := down.Sub(told); took < 1900*time.Millisecond || took > 6*time.Second {
		t.Errorf("it went to sleep after %v, want 2 to 3 s", took)
	}
	if n := b.machine.Orders(); n != 1 {
		t.Errorf("%d orders came, want 1", n)
	}
	server := fleet.Setpoint{Term: 2, Command: 1, Mode: fleet.Paused, Watts: benchSleep}
	again, err := device.Open("avalon", device.Config{
		Address: b.address, Gate: b.gate, Curve: benchCurve, Sleep: benchSleep,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for b.machine.Body.State().Moving {
		time.Sleep(time.Millisecond) // 30 ms in all
	}
	b.machine.Fail(devicetest.Defects{})
	if _, err := again.Set(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	if s, err := again.Probe(t.Context()); err != nil || !asleep(s) || b.machine.Orders() != 1 {
		t.Errorf("a server that came back finds %+v, %v after %d orders; want it asleep and none more",
			s, err, b.machine.Orders())
	}
}
