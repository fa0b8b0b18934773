package device_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Ensure that the table of docs/devices.md says of every driver what it reads and declares, and no other.
func TestDrivers_DeclareWhatTheDocumentSays(t *testing.T) {
	b, err := os.ReadFile("../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## Declared\n")
	if !ok {
		t.Fatal("docs/devices.md has no section Declared")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	rows := map[string]string{}
	for line := range strings.Lines(text) {
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			kind, _, _ := strings.Cut(row, "`")
			rows[kind] = strings.TrimSpace(line)
		}
	}
	conform(t, func(b *bench) {
		b.machine.Fail(devicetest.Defects{Fault: "218"})
		s := b.until("seen", func(fleet.Sighting) bool { return true })
		if want := declared(b.kind, s, b.driver.Capability()); rows[b.kind] != want {
			b.Errorf("the document says\n%s\nwant\n%s", rows[b.kind], want)
		}
		delete(rows, b.kind)
	})
	if len(rows) > 0 {
		t.Errorf("the document has kinds that are none: %v", rows)
	}
}

// declared is a driver's row: what it reads of the bench's machine, and what it says that the machine can do.
func declared(kind string, s fleet.Sighting, c fleet.Capability) string {
	yes := func(b bool, word string) string {
		if b {
			return word
		}
		return "-"
	}
	capped, sleep := "-", "-"
	if c.CanCap {
		capped = fmt.Sprintf("%d to %d by %d", c.Min, c.Max, c.Step)
	}
	if c.CanPause {
		sleep = fmt.Sprintf("%v / %v", c.ShedIn, c.ReturnIn)
	}
	orders := c.CanCap || c.CanPause
	return fmt.Sprintf("| `%s` | %v | %s | %s | %s | %s | %s | %s | %s | %s | %s |", kind, s.Wattage,
		yes(s.Hashrate > 0, "yes"), yes(s.Chip != 0, "yes"), yes(len(s.Errors) > 0, "yes"),
		yes(s.Pool != "", "yes"), capped, sleep, yes(c.CanCap && c.Restarts, "restarts"),
		yes(orders && !c.Forgets, "yes"),
		yes(orders && c.HoldsAlone, "yes"))
}

// Ensure that what drivers declare of a machine holds together.
func TestDrivers_DeclareWhatCanBe(t *testing.T) {
	cut := []string{"socket-http", "socket-modbus"}
	conform(t, func(b *bench) {
		b.until("mining", mining)
		c := b.driver.Capability()
		full := benchCurve.Full().Watts
		switch {
		case c.Max != full:
			b.Errorf("full power is %v, want the curve's %v", c.Max, full)
		case c.CanCap && (c.Min < benchCurve[0].Watts || c.Min >= c.Max || c.Step < 1 || c.Step > c.Max/5):
			b.Errorf("it is capped to %v to %v by %v", c.Min, c.Max, c.Step)
		case (c.CanCap || c.CanPause) && !c.HoldsAlone:
			b.Error("no interface needs us to hold a reduction")
		case slices.Contains(cut, b.kind) && (c.CanCap || !c.CanPause || c.Forgets):
			b.Errorf("a socket can %+v", c)
		}
		if _, err := device.Open(b.kind, device.Config{Address: b.address}); err == nil {
			b.Error("it opens without a gate")
		}
	})
}
