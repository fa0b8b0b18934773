package fleet

import (
	"context"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Activity is what a machine says that it is doing.
type Activity uint8

// Activities: nothing is known; hashing; asleep by order; on its way between the two, as booting, tuning
// and ramping are; not able to hash, by its own word.
const (
	ActivityUnknown Activity = iota
	ActivityMining
	ActivityAsleep
	ActivityMoving
	ActivityFailed
)

// String is the activity in a word.
func (a Activity) String() string { return spell(activities[:], uint8(a)) }

// MarshalText is String.
func (a Activity) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

var activities = [...]string{"unknown", "mining", "asleep", "moving", "failed"}

// Sighting is what a machine says of itself on its own interface, beside any mining session: a claim,
// for evidence only. A zero field was not said.
type Sighting struct {
	At       time.Time // when the answer came
	Activity Activity
	Watts    unit.Watts // drawn now
	Wattage  Wattage    // how Watts was found
	Target   unit.Watts // that it was set to; 0: none, or not in watts
	Hashrate unit.Hashrate
	Uptime   time.Duration // of its mining software
	Chip     int           // hottest chip, degrees Celsius
	Inlet    int           // air or water that comes in, degrees Celsius
	Pool     string        // active pool as host:port, never with credentials
	Backups  []string      // its other pools, in its order
	Errors   []string      // that it reports, at most MaxErrors
	Firmware string        // name and version
}

// MaxErrors bounds what is kept of a machine's own complaints, and MaxPools of its pools.
const (
	MaxErrors = 8
	MaxPools  = 8
)

// Wattage says how a machine's watts were found.
type Wattage uint8

// Watts not known; from a model of its settings; measured by its power supply.
const (
	WattsUnknown Wattage = iota
	WattsEstimated
	WattsMeasured
)

// String is the wattage in a word.
func (w Wattage) String() string { return spell(wattages[:], uint8(w)) }

// MarshalText is String.
func (w Wattage) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

var wattages = [...]string{"unknown", "estimated", "measured"}

// Probe asks one machine what it is doing, over its own interface. A machine that mines elsewhere is known
// by nothing else and its feeder's meter.
type Probe interface {
	Probe(ctx context.Context) (Sighting, error)
}

// Bounded is a copy with no more of lists and texts than may be kept: machines are not trusted.
func (s Sighting) Bounded() Sighting {
	s.Pool, s.Firmware = clip(s.Pool), clip(s.Firmware)
	s.Backups, s.Errors = clipAll(s.Backups, MaxPools), clipAll(s.Errors, MaxErrors)
	s.Watts, s.Target = clamp(s.Watts), clamp(s.Target)
	if !(s.Hashrate >= 0) || s.Hashrate > maxHashrate {
		s.Hashrate = 0
	}
	return s
}

const (
	maxText = 200           // bytes of a text that is kept
	maxDraw = unit.Megawatt // of one machine
)

func clamp(w unit.Watts) unit.Watts { return min(max(w, 0), maxDraw) }

func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}

func clipAll(all []string, most int) []string {
	var out []string
	for _, s := range all[:min(len(all), most)] {
		out = append(out, clip(s))
	}
	return out
}
