package console

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/stratum"
)

// Config is what a Console shows and who may look at it. All rooms and AdminKey are needed.
type Config struct {
	Stratum  *stratum.Server
	Governor *governor.Governor
	Leases   *service.Service
	Shares   *ledger.Shares
	Blocks   *ledger.Blocks
	Relay    *node.Relay
	Watch    *node.Watch

	// AdminKey says whether a key is the operator's. It must compare in constant time.
	AdminKey func(key string) bool
	Version  string
	Network  string // of bitcoin, for people
	// Scale is how many hashes of a simulated device stand behind one that was really ground; 1, or 0,
	// for a real fleet. The page prints it wherever a hashrate is multiplied by it.
	Scale float64
	Log   *slog.Logger // nil: silent
	// Report writes the file of a report from the evidence log; nil: there are none.
	Report Reporter
}

// Validate lists every fault at once.
func (c *Config) Validate() error {
	var errs []error
	need := func(field string, set bool) {
		if !set {
			errs = append(errs, fmt.Errorf("%s is not set", field))
		}
	}
	need("Stratum", c.Stratum != nil)
	need("Governor", c.Governor != nil)
	need("Leases", c.Leases != nil)
	need("Shares", c.Shares != nil)
	need("Blocks", c.Blocks != nil)
	need("Relay", c.Relay != nil)
	need("Watch", c.Watch != nil)
	return errors.Join(append(errs, c.validateAccess())...)
}

func (c *Config) validateAccess() error {
	var errs []error
	if c.AdminKey == nil {
		errs = append(errs, errors.New("AdminKey is not set"))
	}
	if c.Scale != 0 && (!(c.Scale >= 1) || math.IsInf(c.Scale, 0)) {
		errs = append(errs, fmt.Errorf("scale is %v: 1 or more is accepted", c.Scale))
	}
	return errors.Join(errs...)
}
