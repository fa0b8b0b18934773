package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashlease/hashlease/pool/vardifftest"
)

// vardiffCmd sets the pool's difficulty rule beside those of others.
type vardiffCmd struct {
	Runs            int     `default:"1000" help:"Miners for each line."`
	SharesPerMinute float64 `default:"20" help:"Wanted of a miner."`
	Seed            uint64  `default:"1" help:"Of all randomness."`
	JSON            bool    `help:"Print one JSON object for each line, nothing for people."`
}

// Run prints a line for each scenario and rule.
func (c *vardiffCmd) Run(ctx context.Context, e *env) error {
	if c.Runs < 1 || c.Runs > 1_000_000 {
		return &usageError{fmt.Errorf("--runs is %d: 1 to 1000000 is accepted", c.Runs)}
	}
	if !(c.SharesPerMinute >= 0.1 && c.SharesPerMinute <= 6000) {
		return &usageError{
			fmt.Errorf("--shares-per-minute is %v: 0.1 to 6000 is accepted", c.SharesPerMinute),
		}
	}
	p := &printer{w: e.stdout, quiet: c.JSON}
	p.line("%-36s %-10s  %17s  %11s  %7s %6s %9s  %9s %9s", "", "", "right after s",
		"moves after", "in 60 s", "missed", "overshoot", "changes", "windows")
	p.line("%-36s %-10s  %5s %5s %5s  %5s %5s  %7s %6s %9s  %9s %9s", "scenario", "rule", "p50", "p90", "p99",
		"p50", "p90", "%", "%", "x", "in 10 min", "above 1 %")
	out := json.NewEncoder(e.stdout)
	changes := 0.0 // of ours, in ten minutes at constant hashrate
	for _, s := range vardifftest.Scenarios() {
		for _, rule := range vardifftest.Rules() {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := vardifftest.Measure(s, rule, c.SharesPerMinute, c.Runs, c.Seed)
			if c.JSON {
				if err := out.Encode(r); err != nil {
					return err
				}
				continue
			}
			c.print(p, s.Steady, &r)
			if rule.Name == "ours" && s.Name == "constant" {
				changes = r.Changes
			}
		}
	}
	return c.bounds(p, out, changes)
}

// bounds prints how soon a change could be noticed at all, by a test that changes the target without
// need as often as ours does, or in one direction half as often.
func (c *vardiffCmd) bounds(p *printer, out *json.Encoder, changes float64) error {
	p.line("")
	p.line("%-36s %-10s  %17s  %5s %5s  %25s  %9s",
		"a test that is told the hashrate", "", "", "p50", "p90", "", "alarms")
	for _, factor := range []float64{0.5, 0.1, 2} {
		for _, alarms := range []float64{changes, changes / 2} {
			b := vardifftest.Best(factor, c.SharesPerMinute, alarms, c.Runs, c.Seed)
			if c.JSON {
				if err := out.Encode(b); err != nil {
					return err
				}
				continue
			}
			name := fmt.Sprintf("and looks for %+.0f %% alone", 100*(factor-1))
			p.line("%-36s %-10s  %17s  %5.0f %5.0f  %25s  %9.2f",
				name, "optimal", "", b.P50, b.P90, "", alarms)
		}
	}
	return p.err
}

func (c *vardiffCmd) print(p *printer, steady bool, r *vardifftest.Result) {
	if steady {
		p.line("%-36s %-10s  %66s  %9.2f %9.1f", r.Scenario, r.Rule, "", r.Changes, 100*r.Busy)
		return
	}
	p.line("%-36s %-10s  %5.0f %5.0f %5.0f  %5.0f %5.0f  %7.1f %6.1f %9.1f", r.Scenario, r.Rule,
		r.P50, r.P90, r.P99, r.First, r.First90, 100*r.Within, 100*r.Missed, r.Overshoot)
}
