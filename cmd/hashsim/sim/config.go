package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// Defaults of a simulation.
const (
	DefaultScale = 4e10  // 200 TH/s are 5 kH/s
	DefaultClass = 0.001 // of the meters: 0.1 %
)

// Config describes a simulation.
type Config struct {
	Plan   Plan
	Pool   stratumtest.Endpoint // may be set later by SetPool: until then miners wait
	Meters string               // where the HTTP interface listens; port 0 takes any
	Scale  float64              // hashes of a device for one really ground; 0 is DefaultScale
	Class  float64              // largest relative error of the meters; 0 is DefaultClass, below 0 none
	Seed   uint64               // of the meters' errors
	Faults map[pool.WorkerID]Fault
	// Extended lets every n-th miner open an extended channel instead of a standard one; 0 none.
	Extended int
	Dialects Dialects // what the miners speak; empty: all Stratum V2
	// Firmware is what machines of a model run; nil: what is usual for it, as fast as in the demonstration.
	Firmware func(model string) Firmware
	// Vendor lets machines take orders over their own vendors' interfaces, emulated, in place of the in-band
	// extension; see Interfaces.
	Vendor bool
	// Elsewhere lets every n-th of the machines with such an interface mine at another pool; 0 none.
	Elsewhere int
	// OnePort lets all those interfaces listen on one port, on addresses of their own from 127.1.0.1 on: a
	// site with more machines than a process may open files.
	OnePort bool
	// Ordered is told of every new order as it reaches a machine, obeyed or not. It must not block,
	// nor call the simulation.
	Ordered func(pool.WorkerID)
	Tenants []TenantConfig
	Log     *slog.Logger // nil: silent
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	if c.Scale == 0 {
		c.Scale = DefaultScale
	}
	if c.Class == 0 {
		c.Class = DefaultClass
	}
	c.Class = max(c.Class, 0)
	if c.Meters == "" {
		c.Meters = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate lists every fault at once.
func (c Config) Validate() error {
	errs := []error{c.Plan.Validate()}
	if !(c.Scale >= 1) || math.IsInf(c.Scale, 0) {
		errs = append(errs, fmt.Errorf("scale is %v: 1 or more is accepted", c.Scale))
	}
	if !(c.Class < 0.1) {
		errs = append(errs, fmt.Errorf("meter class is %v: below 0.1 is accepted", c.Class))
	}
	if c.Extended < 0 {
		errs = append(errs, fmt.Errorf("extended is %d: 0 or more is accepted", c.Extended))
	}
	if c.Elsewhere < 0 || c.Elsewhere > 0 && !c.Vendor {
		errs = append(errs, fmt.Errorf(
			"elsewhere is %d: 0 or more is accepted, above 0 with vendors' interfaces", c.Elsewhere))
	}
	errs = append(errs, c.Dialects.Validate())
	for _, t := range c.Tenants {
		errs = append(errs, t.Validate())
	}
	return errors.Join(errs...)
}
