package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
)

// printer writes what the program says. The first error stays.
type printer struct {
	w     io.Writer
	quiet bool // one JSON object at the end, and nothing else
	err   error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) begin(s *sim.Sim, cfg sim.Config) {
	if p.quiet {
		return
	}
	full := 200 * unit.TeraHash
	p.line("%d ASICs on %d feeders, mining at %s",
		len(cfg.Plan.Workers), len(s.Truth().Feeders), cfg.Pool.Address)
	p.line("%s", s.Spoken())
	p.line("scale 1 : %.3g (a device of %v really grinds %v)", s.Scale(), full, full/unit.Hashrate(s.Scale()))
	p.line("meters http://%s/v1/meters/FEEDER/{total,mining,base,tenant/NAME}, truth at /v1/truth", s.Addr())
	p.line("")
	p.line("%8s %9s %10s %10s %9s %9s %8s %6s  %s", "time", "mining", "hashrate", "power",
		"submitted", "acked", "rejected", "blocks", "feeders, % of limit")
}

func (p *printer) progress(s *sim.Sim) {
	if p.quiet {
		return
	}
	st, truth := s.Stats(), s.Truth()
	var rejected uint64
	for _, n := range st.Rejected {
		rejected += n
	}
	var load strings.Builder
	for _, f := range truth.Feeders {
		fmt.Fprintf(&load, " %.1f", 100*f.Watts/float64(f.Limit))
	}
	mining := fmt.Sprintf("%d/%d", st.Mining, st.Miners)
	p.line("%7.0fs %9s %10v %10v %9d %9d %8d %6d %s", truth.Seconds, mining, st.Hashrate,
		st.Watts, st.Submitted, st.Acked, rejected, st.Blocks, load.String())
}

// result is what --json prints.
type result struct {
	Scale  float64           `json:"scale"`
	Fleet  sim.Stats         `json:"fleet"`
	Truth  sim.Truth         `json:"truth"`
	Leases []sim.LeaseReport `json:"leases"`
}

func (p *printer) end(s *sim.Sim) {
	truth := s.Truth()
	if p.quiet {
		if p.err == nil {
			p.err = json.NewEncoder(p.w).Encode(result{s.Scale(), s.Stats(), truth, s.Leases()})
		}
		return
	}
	p.progress(s)
	p.line("\n%-10s %10s %10s %12s %10s", "feeder", "limit", "highest", "over limit", "energy")
	for _, f := range truth.Feeders {
		p.line("%-10s %10v %10v %10.2f s %10v",
			f.Feeder, f.Limit, unit.Watts(f.MaxWatts), f.SecondsOverLimit, unit.Joules(f.Energy))
	}
	for _, l := range s.Leases() {
		p.line("lease %s of %v: %s, ACTIVE %.1f s after its start", l.Name, l.Watts, l.State, l.ToActive)
	}
}
