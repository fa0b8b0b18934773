package shed

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxDevices bounds the fleet: so many connections fit one machine beside a server.
const MaxDevices = 10_000

// Config describes one measurement.
type Config struct {
	Devices    int
	Shed       float64 // of mining's power, 0 to 1
	Fleet      string  // one of Fleets
	Faulty     float64 // of the devices, 0 to 1: deaf, mute, lying and with wrong watts in turn
	KillServer bool    // kill -9 in the middle of the shed, and start again
	NoGovernor bool    // feeders only observe: everything must be missed
	Hold       time.Duration
	Return     time.Duration // longest wait for 90 % of what was shed to come back
	Blip       bool          // in place of an order: every machine loses its power beside a tenant
	Table      bool          // wait until every machine is back, for the times of each firmware
	Goals      Goals

	Server   string // the hashlease program
	Btcd     string // the btcd program
	Dir      string // for everything that is written; it must exist
	Progress io.Writer
}

// Goals are what a measurement must reach.
type Goals struct {
	Half      float64 `json:"half_s,omitempty"`     // order to 50 % at the truth; 0: no goal
	Most      float64 `json:"most_s,omitempty"`     // and to 95 %
	Nearly    float64 `json:"nearly_s,omitempty"`   // and to 99 %
	Commands  float64 `json:"commands_s,omitempty"` // order to the last command at its device
	Error     float64 `json:"error_percent"`        // of mining's power, or one device
	Overshoot float64 `json:"overshoot_percent"`    // of what was ordered, or one device
}

// DefaultGoals are those of the design, for devices that obey at once.
func DefaultGoals() Goals { return Goals{Half: 5, Most: 30, Commands: 1, Error: 1, Overshoot: 2} }

// Validate lists every fault at once.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Devices < 8 || c.Devices > MaxDevices {
		fault("devices is %d: 8 to %d are accepted", c.Devices, MaxDevices)
	}
	if !(c.Shed > 0 && c.Shed <= 0.9) {
		fault("shed is %v %%: above 0 to 90 %% is accepted", 100*c.Shed)
	}
	if _, known := fleetKinds[c.Fleet]; !known {
		fault("fleet %q: one of %s is accepted", c.Fleet, strings.Join(Fleets(), ", "))
	}
	if !(c.Faulty >= 0 && c.Faulty <= 0.5) {
		fault("faulty is %v %%: 0 to 50 %% is accepted", 100*c.Faulty)
	}
	if c.Hold < 10*time.Second || c.Hold > time.Hour {
		fault("hold is %v: 10s to 1h is accepted", c.Hold)
	}
	if c.Return < time.Second || c.Return > time.Hour {
		fault("return is %v: 1s to 1h is accepted", c.Return)
	}
	if c.Blip && (c.KillServer || c.Table) {
		fault("blip: the server is not killed beside it, and there is no table of times")
	}
	return errors.Join(errs...)
}
