package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of meters that answer in a layout of their own.
const (
	MaxMeterJSON = 64 << 10 // bytes of an answer that are read
	MaxSecret    = 4096     // bytes of a header's value
	maxHeader    = 100      // bytes of its name
	maxSummed    = 16       // numbers that are added up to one
	maxScale     = 1e6
)

// powerUnits are watts a unit, energyUnits joules a unit.
var (
	powerUnits  = map[string]float64{"mW": 1e-3, "W": 1, "kW": 1e3, "MW": 1e6}
	energyUnits = map[string]float64{
		"J": 1, "kJ": 1e3, "MJ": 1e6, "Wm": 60, "Wh": 3600, "kWh": 3.6e6, "MWh": 3.6e9,
	}
)

// JSONLayout says where a meter's JSON has its numbers. A path is names and places from 0 with dots
// between, as "emeters.0.power"; "-1" is the last place of a list. Several paths are summed: one a phase.
type JSONLayout struct {
	Watts      []string // needed
	WattsUnit  string   // mW, W, kW or MW; W if empty
	Energy     []string // counts up; none: the meter has no counter, or it is left out
	EnergyUnit string   // J, kJ, MJ, Wm, Wh, kWh or MWh; kWh if empty
	// Scale multiplies both, as for current transformers that the meter does not know of; below 0 they look
	// the other way, which energy counters do not mind. 0: 1.
	Scale float64
	Time  string // when it was measured, RFC 3339 with a zone or Unix time; empty: when its answer came
}

// Validate lists every fault at once.
func (l *JSONLayout) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(l.Watts) == 0 {
		fault("watts is missing: a path, or a list of them, is accepted")
	}
	errs = append(errs, validateSummed("watts", l.Watts), validateSummed("energy", l.Energy))
	if !validPath(l.Time) {
		fault("time: path %.40q: up to %d bytes of names and places with single dots between are accepted",
			l.Time, maxPath)
	}
	if l.WattsUnit != "" && powerUnits[l.WattsUnit] == 0 {
		fault("watts_unit: %.20q: one of %s is accepted", l.WattsUnit, unitNames(powerUnits))
	}
	switch {
	case l.EnergyUnit != "" && energyUnits[l.EnergyUnit] == 0:
		fault("energy_unit: %.20q: one of %s is accepted", l.EnergyUnit, unitNames(energyUnits))
	case l.EnergyUnit != "" && len(l.Energy) == 0:
		fault("energy_unit: it is accepted only with energy")
	}
	if math.IsNaN(l.Scale) || math.Abs(l.Scale) > maxScale {
		fault("scale is %v: up to %v either way is accepted", l.Scale, maxScale)
	}
	return errors.Join(errs...)
}

func validateSummed(name string, paths []string) error {
	var errs []error
	if len(paths) > maxSummed {
		errs = append(errs, fmt.Errorf("%s has %d paths: at most %d are accepted",
			name, len(paths), maxSummed))
	}
	for _, p := range paths {
		if p == "" || !validPath(p) {
			errs = append(errs, fmt.Errorf("%s: path %.40q: 1 to %d bytes of names and places with "+
				"single dots between are accepted, as emeters.0.power", name, p, maxPath))
		}
	}
	return errors.Join(errs...)
}

func unitNames(units map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(units), func(a, b string) int {
		if units[a] < units[b] {
			return -1
		}
		return 1
	})
	return strings.Join(names, ", ")
}

// Decode reads a meter's answer that came at now. Whatever is not as laid out is refused with its path.
func (l *JSONLayout) Decode(b []byte, now time.Time) (fleet.Reading, error) {
	if len(b) > MaxMeterJSON {
		return fleet.Reading{}, fmt.Errorf("%w: more than %d bytes", ErrReading, MaxMeterJSON)
	}
	v, err := decodeJSON(b)
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("%w: %w", ErrReading, err)
	}
	watts, err := sumAt(v, l.Watts)
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("%w: watts: %w", ErrReading, err)
	}
	scale := l.Scale
	if scale == 0 {
		scale = 1
	}
	r := fleet.Reading{At: now}
	r.Watts, err = shownWatts(watts * scale * unitOf(powerUnits, l.WattsUnit, "W"))
	if err != nil {
		return fleet.Reading{}, err
	}
	if len(l.Energy) > 0 {
		joules, err := sumAt(v, l.Energy)
		joules = math.Round(joules * math.Abs(scale) * unitOf(energyUnits, l.EnergyUnit, "kWh"))
		switch {
		case err != nil:
			return fleet.Reading{}, fmt.Errorf("%w: energy: %w", ErrReading, err)
		case !(joules >= 0 && joules <= float64(maxEnergy)):
			return fleet.Reading{}, fmt.Errorf("%w: energy is %g J: 0 to %d J is accepted",
				ErrReading, joules, maxEnergy)
		}
		r.Energy = unit.Joules(joules)
	}
	if l.Time != "" {
		if r.At, err = timeAt(v, l.Time); err != nil {
			return fleet.Reading{}, fmt.Errorf("%w: time: %w", ErrReading, err)
		}
	}
	return r, nil
}

func unitOf(units map[string]float64, name, usual string) float64 {
	if name == "" {
		name = usual
	}
	return units[name]
}

// sumAt adds up the numbers that paths lead to.
func sumAt(v any, paths []string) (sum float64, err error) {
	for _, p := range paths {
		n, err := numberAt(v, p)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// millis is the least number that is taken for milliseconds since 1970: as seconds it is past the year 5000.
const millis = 1e11

// timeAt is the time that a path leads to: RFC 3339 with a zone, or a number of seconds or milliseconds
// since 1970.
func timeAt(v any, path string) (time.Time, error) {
	found, err := follow(v, path)
	if err != nil {
		return time.Time{}, err
	}
	text := ""
	switch t := found.(type) {
	case json.Number:
		text = t.String()
	case string:
		text = strings.TrimSpace(t)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		seconds, bad := strconv.ParseFloat(text, 64)
		if seconds >= millis {
			seconds /= 1e3
		}
		if bad == nil && seconds >= 0 && seconds < millis {
			at, err = time.UnixMicro(int64(seconds*1e6)), nil
		}
	}
	if at = at.UTC(); err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%.40q at path %q: RFC 3339 with a zone, or seconds or milliseconds "+
			"since 1970, from the year 2000 on, is accepted", text, path)
	}
	return at, nil
}

// validHeader says whether a header may have this name. Those that the connection itself needs may not.
func validHeader(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
		if !letter {
			return false
		}
	}
	for _, own := range []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept"} {
		if strings.EqualFold(name, own) {
			return false
		}
	}
	return len(name) <= maxHeader
}

// validSecret says whether a header may have this value.
func validSecret(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(text) <= MaxSecret && text == strings.TrimSpace(text)
}
