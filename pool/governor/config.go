package governor

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// MaxMeters bounds the meters of one governor.
const MaxMeters = 10_000

// Config is what a Governor is made from. Start from DefaultConfig: every duration and rate there
// has a reason.
type Config struct {
	Sites     []fleet.Site
	Workers   []fleet.Worker
	Registry  *fleet.Registry                  // ties to sessions: in-band actuators and evidence
	Actuators map[pool.WorkerID]fleet.Actuator // out-of-band actuators; they go before in-band ones
	Probes    map[pool.WorkerID]fleet.Probe    // machines' own interfaces: a word beside a session's
	Meters    []Meter
	Journal   storage.Journal // the book's journal; nil: nothing survives a restart
	Term      uint32          // fencing epoch of this process, carried by every order
	Log       *slog.Logger

	// Audit takes a record of everything that was done and of every reading that mattered; nil: nobody does.
	// It is called under the governor's lock and must not block.
	Audit func(audit.Record)

	// MsatPerHash is what one hash earns now, from the live template; nil or 0: unknown, and
	// workers are ranked by hashrate alone. It is called on every tick and must not block.
	MsatPerHash func() float64
	Tariffs     map[fleet.SiteID]Tariff // what sites pay for power; optional
	Owners      map[string]Owner        // terms of the owners of machines, by account; optional
	LeasePrice  unit.Msat               // a kWh that tenants pay for new leases; 0: nothing
	// HashScale is real hashes per hash of the curves: 1 but for simulated fleets that grind
	// at a declared scale. What is expected of sessions is scaled by it.
	HashScale float64

	Tick         time.Duration // between two looks at everything
	MeterEvery   time.Duration // between two reads of one meter
	MeterTimeout time.Duration // for one read
	Stale        time.Duration // a reading older than this counts for nothing new
	Lost         time.Duration // a reading older than this is no reading any more
	SendTimeout  time.Duration // for one order to one device
	Sends        int           // orders on their way at once
	Spread       time.Duration // over which a bulk of orders is spread
	ValidFor     time.Duration // dead man of a reduction, up to twice this; refreshed at a third of it
	ShedGrace    time.Duration // beyond twice the declared time before a worker counts as stuck
	RetryStuck   time.Duration // before a stuck worker is tried again
	Reoptimise   time.Duration // after the last proof, from sleeping to the cheapest mix
	ProbeEvery   time.Duration // between two questions to a machine at rest, on its own interface
	ProbeFast    time.Duration // the same while an order is on its way or holds it down
	ProbeTimeout time.Duration // for one question
	ProbesAtOnce int           // questions on their way at once
	ProofAge     time.Duration // that what was measured of machines counts: commissioning, or dispatch since
	StartGrace   time.Duration // for workers to come back after a start before capacity is declared

	MarginPermille  int64 // control margin below the bound, thousandths of the limit
	KeepPermille    int64 // a fitting plan is kept unless this much is to be regained
	RestorePermille int64 // restored a second per feeder, thousandths of the limit
	DeratePermille  int64 // of sheddable watts that FIRM capacity does not count on
	// ElsewherePermille is what FIRM capacity takes off, beside all else, of what machines free that have no
	// session here: nothing but their own word and the feeder's meter tells what they do.
	ElsewherePermille int64
	DispatchShares    float64 // shares a minute while a worker is reduced: evidence within seconds
	History           int     // seconds of figures kept per feeder
}

// Meter is one metered branch of a feeder, or all that a PDU, a transformer or an import takes.
type Meter struct {
	Name   string // for people
	Feeder fleet.FeederID
	Branch fleet.BranchID // in place of Feeder, for the role Total
	Role   fleet.Role
	Tenant string // whose branch, for the role Tenant
	// Group is a name that meters of one feeder, role and tenant share which measure the same and stand in
	// for each other: the higher of those that can be believed counts. Others of one role add up.
	Group string
	Meter fleet.Meter
	// Words says that it adds up what machines say of themselves (SumOfDevices). Where no meter of the whole
	// is beside it, nothing is sold of the feeder, unless the operator says that their words suffice.
	Words, Suffices bool
}

// DefaultConfig has every rate and duration set, and no site.
func DefaultConfig() Config {
	return Config{
		HashScale: 1,
		Tick:      250 * time.Millisecond, MeterEvery: 250 * time.Millisecond,
		MeterTimeout: time.Second, Stale: 3 * time.Second, Lost: time.Minute,
		SendTimeout: 5 * time.Second, Sends: 128, Spread: 300 * time.Millisecond,
		ValidFor: 30 * time.Second, ShedGrace: 5 * time.Second, RetryStuck: time.Minute,
		Reoptimise: 5 * time.Minute, StartGrace: 30 * time.Second,
		ProbeEvery: 30 * time.Second, ProbeFast: 5 * time.Second, ProbeTimeout: 10 * time.Second,
		ProbesAtOnce:   256,
		ProofAge:       30 * 24 * time.Hour,
		MarginPermille: 3, KeepPermille: 5, RestorePermille: 10, DeratePermille: 30,
		ElsewherePermille: 100,
		DispatchShares:    20, History: 3600,
	}
}

// Validate lists every fault at once.
func (c *Config) Validate() error {
	errs := []error{fleet.Validate(c.Sites, c.Workers)}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Registry == nil {
		fault("registry is missing")
	}
	for _, d := range []struct {
		name     string
		v        time.Duration
		min, max time.Duration
	}{
		{"tick", c.Tick, time.Millisecond, 10 * time.Second},
		{"meter_every", c.MeterEvery, time.Millisecond, time.Minute},
		{"meter_timeout", c.MeterTimeout, time.Millisecond, time.Minute},
		{"stale", c.Stale, time.Millisecond, 10 * time.Minute},
		{"lost", c.Lost, c.Stale, 24 * time.Hour},
		{"send_timeout", c.SendTimeout, time.Millisecond, time.Minute},
		{"spread", c.Spread, 0, time.Minute},
		{"valid_for", c.ValidFor, time.Second, time.Hour},
		{"shed_grace", c.ShedGrace, 0, time.Hour},
		{"retry_stuck", c.RetryStuck, time.Second, 24 * time.Hour},
		{"reoptimise", c.Reoptimise, 0, 24 * time.Hour},
		{"proof_age", c.ProofAge, time.Minute, 366 * 24 * time.Hour},
		{"probe_every", c.ProbeEvery, time.Second, time.Hour},
		{"probe_fast", c.ProbeFast, time.Second, c.ProbeEvery},
		{"probe_timeout", c.ProbeTimeout, 100 * time.Millisecond, time.Minute},
		{"start_grace", c.StartGrace, 0, time.Hour},
	} {
		if d.v < d.min || d.v > d.max {
			fault("%s is %v: %v to %v is accepted", d.name, d.v, d.min, d.max)
		}
	}
	for _, p := range []struct {
		name        string
		v, min, max int64
	}{
		{"margin_permille", c.MarginPermille, 0, 200},
		{"keep_permille", c.KeepPermille, 0, 200},
		{"restore_permille", c.RestorePermille, 1, 1000},
		{"derate_permille", c.DeratePermille, 0, 1000},
		{"elsewhere_permille", c.ElsewherePermille, 0, 1000},
		{"probes_at_once", int64(c.ProbesAtOnce), 1, 10_000},
		{"sends", int64(c.Sends), 1, 10_000},
		{"history", int64(c.History), 1, 100_000},
	} {
		if p.v < p.min || p.v > p.max {
			fault("%s is %d: %d to %d is accepted", p.name, p.v, p.min, p.max)
		}
	}
	if !(c.HashScale > 0) || c.HashScale > 1 {
		fault("hash_scale is %v: above 0, at most 1 is accepted", c.HashScale)
	}
	if !(c.DispatchShares >= 0) || c.DispatchShares > 600 {
		fault("dispatch_shares is %v: 0 to 600 a minute is accepted", c.DispatchShares)
	}
	errs = append(errs, c.validateMeters(), c.validateActuators(), c.validateProbes(), c.validateTariffs())
	return errors.Join(errs...)
}

func (c *Config) validateMeters() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Meters) > MaxMeters {
		fault("%d meters: at most %d are accepted", len(c.Meters), MaxMeters)
	}
	feeders := map[fleet.FeederID]bool{}
	for _, s := range c.Sites {
		for _, f := range s.Feeders {
			feeders[f.ID] = true
		}
	}
	for i, m := range c.Meters {
		name := fmt.Sprintf("meter %d (%s)", i+1, m.Name)
		if m.Meter == nil {
			fault("%s has nothing to read from", name)
		}
		if m.Branch != "" {
			errs = append(errs, c.validateBranchMeter(name, &m))
		} else if !feeders[m.Feeder] {
			fault("%s: feeder %q is not one of a site's", name, m.Feeder)
		}
		switch {
		case m.Role > fleet.Tenant:
			fault("%s: role %d: total, mining, base or tenant is accepted", name, m.Role)
		case m.Role == fleet.Tenant && m.Tenant == "":
			fault("%s: a tenant's branch needs the tenant's name", name)
		case m.Role != fleet.Tenant && m.Tenant != "":
			fault("%s: only a tenant's branch has a tenant", name)
		}
	}
	return errors.Join(append(errs, c.validateGroups())...)
}

func (c *Config) validateActuators() error {
	known := make(map[pool.WorkerID]bool, len(c.Workers))
	for i := range c.Workers {
		known[c.Workers[i].ID] = true
	}
	var errs []error
	for w, a := range c.Actuators {
		if !known[w] {
			errs = append(errs, fmt.Errorf("actuator of %q: no such worker", w))
		}
		if a == nil {
			errs = append(errs, fmt.Errorf("actuator of %q is missing", w))
		}
	}
	return errors.Join(errs...)
}
