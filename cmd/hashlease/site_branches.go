package main

import (
	"context"
	"fmt"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteBranchesCmd struct{ clientFlags }

// Run shows every branch that has a limit of its own besides feeders.
func (c *siteBranchesCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.GetStatus(call, &hashleasev1.GetStatusRequest{})
	if err != nil {
		return fmt.Errorf("asking for the status: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetBranches())
	}
	if len(r.GetBranches()) == 0 {
		e.notef("No branch is configured: feeders alone have limits.\n")
		return nil
	}
	return printBranches(e, r.GetBranches())
}

func printBranches(e *env, branches []*hashleasev1.BranchStatus) error {
	t := newTable(e.stdout,
		"BRANCH", "KIND", "METERED", "LIMIT", "TOTAL", "BASE", "CLAIMED", "BOUND", "MINING", "STATE")
	for _, b := range branches {
		watts := func(w int64) string { return unit.Watts(w).String() }
		total, mining := watts(b.GetTotalWatts()), watts(b.GetMiningWatts())
		by := "below"
		switch {
		case len(b.GetMeters()) > 0:
			by = "itself"
		case b.GetFeeder() != "": // nothing tells what a PDU without a meter takes
			by, total, mining = "no", "-", "-"
		}
		t.row(short(b.GetBranch()), b.GetKind(), by, watts(b.GetLimitWatts()), total,
			watts(b.GetBaseWatts()), watts(b.GetClaimedWatts()), watts(b.GetBoundWatts()), mining,
			b.GetState())
	}
	return t.flush()
}
