package simtest

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Result is what was seen of the truth.
type Result struct {
	Seed    uint64        `json:"seed"`
	Workers int           `json:"workers"`
	Feeders int           `json:"feeders"`
	Span    time.Duration `json:"simulated_ns"`

	Over    float64            `json:"over_limit_s"`       // within the allowance or not, of all feeders
	Most    float64            `json:"most_over"`          // share of the limit
	Outside float64            `json:"outside_s"`          // the allowance, one domain failing at most
	Wide    map[string]float64 `json:"outside_by_cause_s"` // the same under wider faults
	Joules  float64            `json:"joules"`

	BranchOver float64 `json:"branches_over_limit_s"` // PDUs and transformers, within the allowance or not

	Leases       int            `json:"leases"`
	Served       int            `json:"leases_served"`
	Proofs       int            `json:"proofs"`
	Orders       int            `json:"orders"`
	Story        uint64         `json:"story"`         // digest of all orders as they were obeyed, in order
	Records      int            `json:"audit_records"` // verified at the end
	Curtailments int            `json:"curtailments"`
	Curtailed    int            `json:"curtailments_proven"`
	Stopped      int            `json:"stopped_by_price"` // workers, at most at a time
	Limits       int            `json:"limits"`
	LimitSeconds int            `json:"limit_s"`      // under limits from outside, beyond their grace
	LimitOver    int            `json:"limit_over_s"` // of these above the limit
	Faults       map[string]int `json:"faults"`

	// Failed are what must not be, by kind; Failures are the first of them in words.
	Failed   map[string]int `json:"failed"`
	Failures []string       `json:"failures"`
}

// note counts an order that was obeyed, and takes it into the digest (FNV-1a).
func (r *Result) note(at time.Duration, sp *fleet.Setpoint) {
	r.Orders++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, r.Story, at, sp.Worker, sp.Command, sp.Mode, sp.Watts) // never fails
	r.Story = h.Sum64()
}

// Err names what failed, with the seed that shows it again.
func (r *Result) Err() error {
	if len(r.Failed) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d, %d workers: %v\n%s", r.Seed, r.Workers, r.Failed,
		strings.Join(r.Failures, "\n"))
}

// Line is the result so far in one line.
func (r *Result) Line() string {
	return fmt.Sprintf("%9.0f s simulated, %d leases, %d proofs, %d orders, %.0f s over a limit, "+
		"%.1f s outside, by wider faults %.1f s", r.Span.Seconds(), r.Leases, r.Proofs, r.Orders, r.Over,
		r.Outside, sum(r.Wide))
}

func sum(m map[string]float64) (s float64) {
	for _, v := range m {
		s += v
	}
	return s
}

// Add sums two runs up.
func (r *Result) Add(o *Result) {
	r.Span += o.Span
	r.Over += o.Over
	r.Most = max(r.Most, o.Most)
	r.Outside += o.Outside
	r.Joules += o.Joules
	r.BranchOver += o.BranchOver
	r.Leases, r.Served, r.Proofs = r.Leases+o.Leases, r.Served+o.Served, r.Proofs+o.Proofs
	r.Orders, r.Limits = r.Orders+o.Orders, r.Limits+o.Limits
	r.Records, r.Stopped = r.Records+o.Records, max(r.Stopped, o.Stopped)
	r.Curtailments, r.Curtailed = r.Curtailments+o.Curtailments, r.Curtailed+o.Curtailed
	r.LimitSeconds, r.LimitOver = r.LimitSeconds+o.LimitSeconds, r.LimitOver+o.LimitOver
	for k, v := range o.Wide {
		r.Wide[k] += v
	}
	for k, v := range o.Faults {
		r.Faults[k] += v
	}
	for k, v := range o.Failed {
		r.Failed[k] += v
	}
	r.Failures = append(r.Failures, o.Failures...)
}

// Text is the result for people, as Markdown.
func (r *Result) Text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	b.WriteString("| | |\n|---|---:|\n")
	line("simulated seconds", "%.0f", r.Span.Seconds())
	line("workers, feeders", "%d, %d", r.Workers, r.Feeders)
	line("seconds outside an overload allowance, one control domain failing at most (goal 0)",
		"%.1f", r.Outside)
	line("seconds above a limit and within the allowance", "%.1f", r.Over-r.Outside-sum(r.Wide))
	line("highest draw above a limit", "%.2f %%", 100*r.Most)
	for _, k := range slices.Sorted(maps.Keys(r.Wide)) {
		line("seconds outside under: "+k, "%.1f", r.Wide[k])
	}
	line("seconds of PDUs and transformers above a limit, within the allowance", "%.1f", r.BranchOver)
	line("leases, served", "%d, %d", r.Leases, r.Served)
	line("proofs of freed watts held against the truth, denied by it (goal 0)", "%d, %d",
		r.Proofs, r.Failed["proof"])
	line("limits from outside", "%d", r.Limits)
	line("operators' curtailments, held against what was freed", "%d, %d", r.Curtailments, r.Curtailed)
	line("workers stopped by price, at most at a time", "%d", r.Stopped)
	line("records of the evidence log, verified", "%d", r.Records)
	line("orders obeyed", "%d", r.Orders)
	for _, k := range slices.Sorted(maps.Keys(r.Faults)) {
		line("faults: "+k, "%d", r.Faults[k])
	}
	return b.String()
}
