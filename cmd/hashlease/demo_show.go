package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// show waits until everything is up, says where to look, and follows the demo to its end. It returns
// the results of an unattended run, nil if the demo was interrupted.
func (d *demo) show(ctx context.Context) (*demoResult, error) {
	d.say("Starting %d simulated ASICs: every hash of theirs stands for %.0e (200 TH/s are %v).",
		len(d.plan.Workers), d.sim.Scale(), unit.Hashrate(200e12/d.sim.Scale()))
	d.say("%s.", d.sim.Spoken())
	if err := d.waitForMining(ctx); err != nil {
		return nil, err
	}
	if err := d.addTenant(); err != nil {
		return nil, err
	}
	d.tenantRun()
	d.began = time.Now()
	d.sim.MarkTruth() // what was before everything was up does not count
	d.say("%s", d.instructions())
	if d.cmd.For == 0 {
		d.follow(ctx, time.Time{})
		return nil, nil
	}
	end := d.began.Add(d.cmd.For - demoControl)
	if !d.follow(ctx, end) || !d.waitForLeases(ctx) {
		return nil, nil
	}
	result := newDemoResult(d)
	result.askNodes(ctx, d)
	result.Ungoverned = d.control(ctx)
	return result, nil
}

// waitForMining returns when nearly all miners have work.
func (d *demo) waitForMining(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		st := d.sim.Stats()
		if st.Mining*100 >= (st.Miners-st.Away)*98 && d.server.ready() && d.server.sells() {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("starting up: %d of %d miners have work, feeders with capacity: %t; node: %s",
				st.Mining, st.Miners, d.server.sells(), d.server.watch.State())
		}
	}
}

func (d *demo) instructions() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("Console   %s", d.server.loginURL())
	line("          (works once; the certificate is signed by this demo's own authority, SHA-256 %s)",
		fingerprint(d.server.tls.CA))
	line("Stratum   %s", d.server.stratumURL())
	line("Lease power yourself:")
	line("  %s", d.leaseCommand())
	line("Operator  go run ./cmd/hashlease status --server %s --ca %s --key %s",
		d.server.grpcAt.Addr(), d.caFile(), d.keys.admin)
	line("")
	line("Hashes are real and scaled by %.0e; blocks come every few seconds; Ctrl-C ends everything.",
		d.sim.Scale())
	return b.String()
}

// leaseCommand is a line to paste into a shell.
func (d *demo) leaseCommand() string {
	site := d.plan.Sites[0].ID
	return fmt.Sprintf("go run ./cmd/hashlease lease create --server %s --ca %s --key %s "+
		"--site %s --watts 30kW --start +15s --for 60s",
		d.server.grpcAt.Addr(), d.caFile(), d.keys.tenant, site)
}

// follow prints a line of progress now and then, until end or until ctx is over; then it returns
// false. A zero end is never.
func (d *demo) follow(ctx context.Context, end time.Time) bool {
	tick := time.NewTicker(demoStatus)
	defer tick.Stop()
	for {
		until := demoStatus
		if !end.IsZero() {
			until = time.Until(end)
		}
		if until <= 0 {
			return true
		}
		timer := time.NewTimer(until)
		select {
		case <-tick.C:
			d.say("%s", d.progress())
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// progress is one line about now.
func (d *demo) progress() string {
	st, rs := d.server.stratum.Stats(), d.server.relay.Stats()
	var mining, tenants, limit unit.Watts
	curtailed := 0
	for _, f := range d.feeders() {
		mining, tenants, limit = mining+f.Mining, tenants+f.Tenant, limit+f.Limit
		curtailed += f.Curtailed
	}
	states := map[string]int{}
	for _, l := range d.tenant.Reports() {
		states[l.State]++
	}
	leases := make([]string, 0, len(states))
	for s, n := range states {
		leases = append(leases, fmt.Sprintf("%d %s", n, strings.ToLower(s)))
	}
	slices.Sort(leases)
	return fmt.Sprintf("%4.0fs  height %d  blocks %d/%d  shares %d  "+
		"mining %v + leased %v of %v  curtailed %d  leases: %s",
		time.Since(d.began).Seconds(), d.server.watch.Stats().Height, rs.Accepted, rs.Found, st.Durable,
		mining, tenants, limit, curtailed, strings.Join(leases, ", "))
}

func (d *demo) feeders() (all []governor.FeederStatus) {
	for _, s := range d.server.governor.Status().Sites {
		all = append(all, s.Feeders...)
	}
	return all
}

// waitForLeases returns true when every lease has reached its last state.
func (d *demo) waitForLeases(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, demoSettle)
	defer cancel()
	for {
		live := func(l sim.LeaseReport) bool { return !finalState(l.State) }
		if !slices.ContainsFunc(d.tenant.Reports(), live) {
			return true
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return errors.Is(context.Cause(ctx), context.DeadlineExceeded) // the report will tell of it
		}
	}
}

func finalState(s string) bool {
	return s == "COMPLETED" || s == "CANCELLED" || s == "FAILED" || s == sim.Refused
}

// control is the run that shows what the governor is for: with it off, the tenant draws what it
// drew before, and nobody makes room. It must go over the limit, or the measure of the main run
// could not fail either.
func (d *demo) control(ctx context.Context) float64 {
	d.say("Control run: %v with the governor off and the tenant drawing: now the limit is passed.",
		demoControl)
	d.setArms(ctx, fleet.Observe)
	d.sim.MarkTruth()
	d.setLoads(d.plan.Sites[0].Feeders[0].Limit / 4)
	select {
	case <-time.After(demoControl):
	case <-ctx.Done():
	}
	over := d.sim.MarkTruth().SecondsOverLimit
	d.setLoads(0)
	d.setArms(ctx, fleet.Act)
	return over
}

func (d *demo) setArms(ctx context.Context, a fleet.Arm) {
	for _, f := range d.plan.Sites[0].Feeders {
		if err := d.server.governor.SetArm(ctx, f.ID, a); err != nil {
			d.say("Setting feeder %s to %s: %v", f.ID, a, err)
		}
	}
}

func (d *demo) setLoads(w unit.Watts) {
	for _, f := range d.plan.Sites[0].Feeders {
		if err := d.sim.SetTenantLoad(f.ID, demoTenant, w); err != nil {
			d.say("Setting the tenant's load on %s: %v", f.ID, err)
		}
	}
}
