package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteAdviceCmd struct {
	clientFlags
	Feeder string `arg:"" optional:"" help:"Only this one, with its workers: its id, or SITE/FEEDER."`
}

// Run shows what would have been done where that is not armed.
func (c *siteAdviceCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	only := ""
	if c.Feeder != "" {
		if only, err = cl.feederName(ctx, c.Feeder); err != nil {
			return err
		}
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListAdvice(call, &hashleasev1.ListAdviceRequest{})
	if err != nil {
		return fmt.Errorf("asking for advice: %w", err)
	}
	var list []*hashleasev1.Advice
	for _, a := range r.GetFeeders() {
		if only == "" || a.GetFeeder() == only {
			list = append(list, a)
		}
	}
	if c.JSON {
		return jsonList(e, list)
	}
	if len(list) == 0 {
		e.notef("Nothing to advise: what is asked for is armed to act.\n")
		return nil
	}
	if err := printAdvice(e, list); err != nil || only == "" {
		return err
	}
	return printAdvised(e, list[0].GetWorkers())
}

func printAdvice(e *env, list []*hashleasev1.Advice) error {
	t := newTable(e.stdout, "FEEDER", "ARM", "SINCE", "WOULD TELL", "FREES", "COSTS AN HOUR",
		"ORDERS SO FAR", "ENERGY SAVED", "INCOME GIVEN UP", "ABOVE BOUND FOR")
	for _, a := range list {
		above := (time.Duration(a.GetOverSeconds()) * time.Second).String()
		if w := a.GetOverWatts(); w > 0 {
			above += ", up to " + unit.Watts(w).String()
		}
		t.row(feederWord(a.GetFeeder()), armWord(a.GetArm()), clock(a.GetSinceTime()),
			workersWord(len(a.GetWorkers())), unit.Watts(a.GetFreedWatts()).String(),
			income(unit.Msat(a.GetCostMsatPerHour())), strconv.FormatUint(a.GetOrders(), 10),
			unit.Joules(a.GetSavedJoules()).String(), income(unit.Msat(a.GetForegoneMsat())), above)
	}
	return t.flush()
}

func workersWord(n int) string { return plural(n, "worker", "workers") }

func printAdvised(e *env, workers []*hashleasev1.CurtailedWorker) error {
	if len(workers) == 0 {
		return nil
	}
	e.printf("\n")
	t := newTable(e.stdout, "WORKER", "FROM", "TO")
	for i, w := range workers {
		if i == maxListed {
			t.row(fmt.Sprintf("and %d more", len(workers)-maxListed))
			break
		}
		t.row(w.GetWorker(), unit.Watts(w.GetFromWatts()).String(), unit.Watts(w.GetToWatts()).String())
	}
	return t.flush()
}
