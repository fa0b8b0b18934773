package shed

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxDevices bounds the fleet: so many connections fit one machine beside a server.
const MaxDevices = 10_000

// Config describes one measurement.
type Config struct {
	Devices    int
	Shed       float64 // of mining's power, 0 to 1
	Fleet      string  // InBand or Vendor
	Faulty     float64 // of the devices, 0 to 1: deaf, mute, lying and with wrong watts in turn
	KillServer bool    // kill -9 in the middle of the shed, and start again
	NoGovernor bool    // feeders only observe: everything must be missed
	Hold       time.Duration
	Return     time.Duration // longest wait for 90 % of what was shed to come back
	Goals      Goals

	Server   string // the hashlease program
	Btcd     string // the btcd program
	Dir      string // for everything that is written; it must exist
	Progress io.Writer
}

// Fleets that Config.Fleet names.
const (
	InBand = "in-band" // an upper bound: no such device is on sale
	Vendor = "vendor"  // machines with the times of today's firmware, over the same wire
)

// Goals are what a measurement must reach.
type Goals struct {
	Half      float64 `json:"half_s"`            // order to 50 % at the truth
	Most      float64 `json:"most_s"`            // and to 95 %
	Commands  float64 `json:"commands_s"`        // order to the last command at its device
	Error     float64 `json:"error_percent"`     // of mining's power, or one device
	Overshoot float64 `json:"overshoot_percent"` // of what was ordered, or one device
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
	if c.Fleet != InBand && c.Fleet != Vendor {
		fault("fleet %q: %s or %s is accepted", c.Fleet, InBand, Vendor)
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
	return errors.Join(errs...)
}
