package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/stratum"
)

// demoResult is what an unattended demo prints: every figure is measured in that run.
type demoResult struct {
	Seconds         float64           `json:"seconds"`
	Miners          int               `json:"miners"`
	Scale           float64           `json:"scale"`
	BlocksSubmitted uint64            `json:"blocks_submitted"`
	BlocksAccepted  uint64            `json:"blocks_accepted"` // by btcd's own word, on its best chain
	SharesSubmitted uint64            `json:"shares_submitted"`
	SharesAccepted  uint64            `json:"shares_accepted"`
	SharesRejected  map[string]uint64 `json:"shares_rejected"`
	LeasesAsked     int               `json:"leases_asked"`
	Leases          map[string]int    `json:"leases"` // by final state
	Slots           []slotResult      `json:"slots"`
	LeasesProven    int               `json:"leases_proven"`          // free at the meter, ordered or not
	WattsOrdered    int64             `json:"watts_ordered"`          // sum over leases
	WattsFreed      int64             `json:"watts_freed_at_meter"`   // of these
	OrderToProof    []float64         `json:"seconds_order_to_proof"` // of those that needed an order
	StartToActive   []float64         `json:"seconds_start_to_active"`
	OverLimit       float64           `json:"seconds_over_limit"`
	Ungoverned      float64           `json:"seconds_over_limit_ungoverned"`
	StepSeconds     float64           `json:"integration_step_seconds"`
	FilledPercent   float64           `json:"full_mining_and_base_percent_of_limit"`
	TipToLastJob    latencyResult     `json:"tip_to_last_job_ms"`
	ShareToAck      latencyResult     `json:"share_to_ack_ms"`
	Faults          []string          `json:"faults"` // what was not as it must be; empty if all was

	// Dialects are the miners that speak Stratum V1 and V2, and their shares; Firmware is what V1
	// firmware would not have taken.
	Dialects map[sim.Dialects]sim.DialectStats `json:"dialects"`
	// Steered are the machines by their own interface, as they truly were.
	Steered  map[string]sim.Steered `json:"steered"`
	Firmware []string               `json:"firmware_faults"`
}

type latencyResult struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// slotResult is one lease's story.
type slotResult struct {
	Feeder        string  `json:"feeder"`
	Watts         int64   `json:"watts"`
	Freed         int64   `json:"freed_watts"`
	State         string  `json:"state"`
	OrderToProof  float64 `json:"order_to_proof_s"`
	StartToActive float64 `json:"start_to_active_s"`
	Delivered     int64   `json:"delivered_joules"`
}

func millis(l stratum.Latency) latencyResult {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return latencyResult{l.Count, ms(l.P50), ms(l.P99)}
}

// newDemoResult collects the figures of the governed run.
func newDemoResult(d *demo) *demoResult {
	steered := d.sim.Steered()
	st, fleetStats, truth := d.server.stratum.Stats(), d.sim.Stats(), d.sim.MarkTruth()
	r := &demoResult{
		Seconds: time.Since(d.began).Seconds(), Miners: fleetStats.Miners, Scale: d.sim.Scale(),
		Steered:         steered,
		SharesSubmitted: fleetStats.Submitted, SharesAccepted: st.Durable, SharesRejected: st.Rejected,
		Dialects: fleetStats.Dialects, Firmware: append([]string{}, fleetStats.Faults...),
		OverLimit: truth.SecondsOverLimit, StepSeconds: truth.StepSeconds, FilledPercent: d.filled(),
		TipToLastJob: millis(st.TipToLastJob), ShareToAck: millis(st.ShareToAck),
		LeasesAsked: len(d.demands()), Leases: map[string]int{}, Faults: []string{},
	}
	for _, l := range d.server.leases.Leases(1000) {
		r.addLease(l)
	}
	for _, l := range d.tenant.Reports() {
		if l.State == sim.Refused {
			r.Leases[l.State]++
		}
	}
	return r
}

func (r *demoResult) addLease(l *lease.Lease) {
	s := slotResult{
		Feeder: string(l.Feeder), Watts: int64(l.Watts), Freed: int64(l.Freed),
		State: l.State.String(), Delivered: int64(l.Delivered),
	}
	if !l.ActiveAt.IsZero() {
		s.StartToActive = max(0, l.ActiveAt.Sub(l.Slot.Start).Seconds())
		r.StartToActive = append(r.StartToActive, s.StartToActive)
	}
	if !l.ProvenAt.IsZero() {
		r.LeasesProven++
	}
	// A small feeder may have slept a machine for its own limit already: then there is room without an order.
	if !l.ProvenAt.IsZero() && !l.OrderedAt.IsZero() {
		s.OrderToProof = l.ProvenAt.Sub(l.OrderedAt).Seconds()
		r.OrderToProof = append(r.OrderToProof, s.OrderToProof)
	}
	r.Leases[s.State]++
	r.WattsOrdered += s.Watts
	r.WattsFreed += s.Freed
	r.Slots = append(r.Slots, s)
}

// filled is how full the limits are when everything mines.
func (d *demo) filled() float64 {
	var used, limit float64
	for _, f := range d.feeders() {
		used += float64(f.Full + f.Base)
		limit += float64(f.Limit)
	}
	return 100 * used / limit
}

// askNodes asks btcd for every found block by its hash: the server's own word does not count.
func (r *demoResult) askNodes(ctx context.Context, d *demo) {
	for _, b := range d.server.blocks.List() {
		r.BlocksSubmitted++
		if confirmed(ctx, d.nodes[0], b.Hash.String()) {
			r.BlocksAccepted++
		}
	}
}

// confirmed asks a node whether it has a block on its best chain. One that does not know the block, or does
// not answer, has not.
func confirmed(ctx context.Context, n *node.Child, hash string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := n.Call(ctx, "getblock", hash, 1)
	var block struct {
		Confirmations int64 `json:"confirmations"`
	}
	return err == nil && json.Unmarshal(answer, &block) == nil && block.Confirmations >= 1
}

// judge lists what is not as it must be.
func (r *demoResult) judge() {
	must := func(ok bool, format string, args ...any) {
		if !ok {
			r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
		}
	}
	completed := r.Leases[lease.Completed.String()]
	must(r.BlocksAccepted >= 1, "no block is on btcd's best chain")
	must(10*r.BlocksAccepted >= 9*r.BlocksSubmitted,
		"btcd has only %d of %d blocks", r.BlocksAccepted, r.BlocksSubmitted)
	must(r.SharesAccepted > 0 && r.SharesAccepted <= r.SharesSubmitted,
		"%d shares are durable of %d submitted", r.SharesAccepted, r.SharesSubmitted)
	for code, n := range r.SharesRejected {
		must(code == "stale-share" || n == 0, "%d shares were rejected as %s", n, code)
	}
	for dialect, d := range r.Dialects {
		must(d.Acked > 0, "no share of the %d miners that speak %s was acknowledged", d.Miners, dialect)
	}
	for kind, s := range r.Steered {
		must(r.Miners < demoUsual || s.Curtailed > 0, "none of %d machines of %s gave way", s.Machines, kind)
	}
	must(len(r.Firmware) == 0, "firmware does not take what the pool sends: %v", r.Firmware)
	must(completed >= 1 && completed == r.LeasesAsked,
		"of %d leases asked for, these ended: %v: all must be COMPLETED", r.LeasesAsked, r.Leases)
	must(r.LeasesProven == completed, "only %d leases were proven at the meter", r.LeasesProven)
	must(len(r.OrderToProof) >= 1, "no lease needed an order: the way from order to proof was not measured")
	must(r.WattsFreed > 0, "no watts were freed at the meter")
	must(r.OverLimit == 0, "the limit was passed for %.2f s", r.OverLimit)
	must(r.Ungoverned > 0, "without the governor the limit was not passed: the measure proves nothing")
	must(r.FilledPercent >= 98,
		"full mining and base load are %.1f %% of the limit: 98 is asked for", r.FilledPercent)
	must(r.TipToLastJob.Count > 0 && r.ShareToAck.Count > 0, "no latency was measured")
}

// steered is how many machines of each interface gave way and came back.
func (r *demoResult) steered() string {
	parts := make([]string, 0, len(r.Steered))
	for _, kind := range slices.Sorted(maps.Keys(r.Steered)) {
		s := r.Steered[kind]
		parts = append(parts, fmt.Sprintf("%s %d of %d (%d are back)", kind, s.Curtailed, s.Machines, s.Back))
	}
	return strings.Join(parts, ", ")
}

// report prints the results and fails if any is not as it must be.
func (d *demo) report(r *demoResult) error {
	r.judge()
	if d.cmd.JSON {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		d.env.printf("%s\n", b)
	} else {
		d.env.printf("%s", r.table())
	}
	if len(r.Faults) > 0 {
		for _, f := range r.Faults {
			d.env.notef("not as it must be: %s\n", f)
		}
		return errReported
	}
	return nil
}

// dialects is how many miners speak what, and their part of the acknowledged shares.
func (r *demoResult) dialects() string {
	var total uint64
	for _, d := range r.Dialects {
		total += d.Acked
	}
	parts := make([]string, 0, 2)
	for _, name := range slices.Sorted(maps.Keys(r.Dialects)) {
		d := r.Dialects[name]
		parts = append(parts, fmt.Sprintf("%d miners speak %s: %d shares acknowledged (%.0f %%)",
			d.Miners, strings.ToUpper(string(name)), d.Acked, 100*float64(d.Acked)/max(1, float64(total))))
	}
	return strings.Join(parts, "; ")
}

func (r *demoResult) table() string {
	return fmt.Sprintf(`
%.0f s with %d ASICs at 1:%.0e, limits filled to %.1f %%
blocks      %d found, %d on btcd's best chain
shares      %d submitted, %d durable, rejected %v
dialects    %s
leases      %v, %d W ordered, %d W freed at the meter
gave way    %s
proof       %d proven, order to proof %.2f s, start to ACTIVE %.2f s
over limit  %.2f s governed, %.2f s in the control run without the governor
latency ms  tip to last job p50 %.1f p99 %.1f, share to ack p50 %.0f p99 %.0f
`, r.Seconds, r.Miners, r.Scale, r.FilledPercent, r.BlocksSubmitted, r.BlocksAccepted,
		r.SharesSubmitted, r.SharesAccepted, r.SharesRejected, r.dialects(),
		r.Leases, r.WattsOrdered, r.WattsFreed, r.steered(),
		r.LeasesProven, r.OrderToProof, r.StartToActive, r.OverLimit, r.Ungoverned,
		r.TipToLastJob.P50, r.TipToLastJob.P99, r.ShareToAck.P50, r.ShareToAck.P99)
}
