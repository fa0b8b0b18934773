package audit

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of what a report lists one by one; its figures count all.
const (
	maxSubjects = 500
	maxWorkers  = 2000
)

// Rules is the version of the rules that figures are worked out by. It grows when the same records come to
// other figures, so that a bundle of an older program still verifies.
const Rules = 2

// Report is what the records of a query come to. It is a function of the records and of the rules alone.
type Report struct {
	Query    Query     `json:"query"`
	Rules    int       `json:"rules"`
	Figures  []Figure  `json:"figures"`  // of all that was asked for
	Subjects []Subject `json:"subjects"` // one by one
	Workers  []Worker  `json:"workers"`  // that were ordered something
	More     int       `json:"more"`     // workers that are not listed
	Missing  uint64    `json:"missing"`  // records that could not be kept, as the log says
	Restarts int       `json:"restarts"` // of the server in the window
	Readings int       `json:"readings"` // that the figures are from
}

// Subject is one claim, limit or span on one feeder with its figures.
type Subject struct {
	Kind    string         `json:"kind"` // claim, limit, span (the window) or episode (anything in force)
	Name    string         `json:"name"`
	Feeder  fleet.FeederID `json:"feeder"`
	Tenant  string         `json:"tenant,omitempty"`
	Watts   unit.Watts     `json:"watts"`
	Begin   time.Time      `json:"begin"` // ordering began
	From    time.Time      `json:"from"`
	Until   time.Time      `json:"until"`
	Figures []Figure       `json:"figures"`
}

// Figure is one number with how it was found.
type Figure struct {
	Name   string  `json:"name"`
	Known  bool    `json:"known"` // false: it cannot be told; an input says why
	Value  int64   `json:"value"`
	Unit   string  `json:"unit"`
	Method string  `json:"method"`
	Inputs []Input `json:"inputs,omitempty"`
}

// Input is what a figure was found from.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Worker is what was ordered of a worker in the window.
type Worker struct {
	Worker   pool.WorkerID  `json:"worker"`
	Feeder   fleet.FeederID `json:"feeder"`
	Orders   int            `json:"orders"`
	Failures int            `json:"failures"`
	Evidence string         `json:"evidence"` // the strongest of its orders
	Stuck    int            `json:"stuck"`    // times that it did not do as ordered
	Stable   int64          `json:"stable"`   // measured hashrate before the first order, H/s; 0: none was
}

// Names of figures.
const (
	FreedMeter   = "energy_freed_meter"
	FreedDays    = "energy_freed_10in10"
	Foregone     = "income_foregone"
	HashesLost   = "hashes_foregone"
	Mined        = "energy_mining"
	NotBought    = "energy_not_bought"
	Compliance   = "setpoint_compliance"
	SetpointMean = "setpoint_error"
	OverLimit    = "over_limit"
	Covered      = "covered"
	Delivered    = "energy_delivered"
	Overrun      = "energy_overrun"
)

// Methods in words; docs/audit.md has them in full.
const (
	methodMeter = "meter-before/meter-after: mean metered mining of the 5 minutes before, " +
		"less metered mining since"
	methodDays = "10-in-10: mean of the same quarters of an hour of the last 10 days of the same kind " +
		"without any event, adjusted by the day's own morning (0.8 to 1.2), less metered mining"
	methodForegone = "shares: work of reduced workers at their last stable measured hashrate, less the " +
		"work they did, at the price of the moment; faulty and unmeasured workers are left out"
	methodCompliance = "share of the covered time, since the power had to be free, with metered mining " +
		"at most its bound and 0.5 % of the limit"
	methodLimit = "share of the covered time with all that was metered at most the limit from outside " +
		"and 0.5 %"
	methodError = "mean of metered mining less what the orders in force lead to"
	methodOver  = "seconds that the readings show the feeder above its own limit"
	methodMined = "metered mining, trapezoids between readings"
	methodPrice = "energy freed by meter-before/meter-after at the tariff of the moment"
	methodCover = "seconds between fresh readings that are at most 90 s apart"
	methodProof = "the governor's newest proof, from the tenant's meter"
)

func known(name string, v float64, u, method string, inputs ...Input) Figure {
	return Figure{Name: name, Known: true, Value: rounded(v), Unit: u, Method: method, Inputs: inputs}
}

func unknown(name, u, method, why string) Figure {
	return Figure{Name: name, Unit: u, Method: method, Inputs: []Input{{"why", why}}}
}

func in(name, format string, args ...any) Input { return Input{name, fmt.Sprintf(format, args...)} }

// Figure finds a figure of the whole report by its name.
func (r *Report) Figure(name string) (Figure, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}
