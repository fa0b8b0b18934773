package simtest

import (
	"time"

	"github.com/hashlease/hashlease/pool/governor"
)

// Config describes one run.
type Config struct {
	Seed    uint64
	Workers int
	Sites   int
	Feeders int // of all sites
	Span    time.Duration

	// FaultEvery is the mean time between faults of one control domain on a site: a switch, a PDU, a
	// meter, a tenant that overruns, the server. There is at most one at a time. 0: none.
	FaultEvery time.Duration
	// WideEvery is the same for faults beyond one domain; time past the allowance under them is
	// reported by cause. 0: none.
	WideEvery time.Duration
	// ValidFor is the dead man of orders; long runs take a long one, or refreshes are most of the work.
	ValidFor time.Duration

	// Tick is how often the governor looks at everything. Long runs take a longer one, as it is most of the
	// work; a slower governor keeps to the same rules or not at all.
	Tick time.Duration

	// Defect changes what the governor is told, but not what is true: a check that cannot fail is none.
	Defect func(*governor.Config)
	// NoHold strips every order of its being held without the governor, as a defect would.
	NoHold bool

	// Quiet leaves out tenants, limits from outside and prices by feed: what an operator curtails shows then,
	// and is judged. Beside them it hardly ever is: somebody always yields or returns for another reason.
	Quiet bool

	// Branches puts PDUs below the feeders and a transformer above them. Plans are then made for whole sites:
	// such a story takes several times as long.
	Branches bool

	// Audit is a directory for the evidence log, one for all processes of the story; empty: there is none.
	Audit string

	// Progress is called every simulated Every; false ends the run early.
	Progress func(at time.Duration, r *Result) bool
	Every    time.Duration
}

// Short is a configuration for tests.
func Short(seed uint64, workers int, span time.Duration) Config {
	return Config{
		Seed: seed, Workers: workers, Sites: 2, Feeders: max(3, workers/800), Span: span,
		FaultEvery: 12 * time.Minute, WideEvery: 2 * time.Hour, ValidFor: 2 * time.Minute,
		Tick:  time.Second,
		Every: time.Hour,
	}
}

// Shape of every feeder, in thousandths of its limit.
const (
	fillPermille    = 930 // full mining and base load
	basePermille    = 50
	reservePermille = 40
	overPermille    = 80
	restorePermille = 5 // a second
)

const (
	overFor   = 3 * time.Minute
	notice    = 3 * time.Minute
	recovery  = 15 * time.Minute // after a wide fault, until everything must be well again
	tenants   = 2                // of each feeder, with a meter each
	reportGap = 10               // seconds between two reports of a machine
)
