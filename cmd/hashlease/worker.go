package main

import (
	"context"
	"fmt"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type workerCmd struct {
	Pin   workerPinCmd   `cmd:"" help:"Leave a machine alone: only an emergency stop reduces it."`
	Unpin workerUnpinCmd `cmd:"" help:"Let a machine give way again."`
	Pins  workerPinsCmd  `cmd:"" help:"Show the machines that are left alone."`

	Quarantined workerQuarantinedCmd `cmd:"" help:"Show the machines that somebody else has set three times."`
	Release     workerReleaseCmd     `cmd:"" help:"Let those take part again that are quarantined or liars."`
}

type workerPinCmd struct {
	clientFlags
	Worker string `arg:"" help:"Its id, account.worker."`
}

// Run pins a worker.
func (c *workerPinCmd) Run(ctx context.Context, e *env) error {
	err := c.setPin(ctx, c.Worker, true)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.jsonLine(&hashleasev1.Pin{Worker: c.Worker, ByHand: true})
	}
	e.printf("%s is left alone, over restarts too. If it gives way now, it returns once others make room.\n",
		c.Worker)
	return nil
}

type workerUnpinCmd struct {
	clientFlags
	Worker string `arg:"" help:"Its id, account.worker."`
}

// Run takes a pin off.
func (c *workerUnpinCmd) Run(ctx context.Context, e *env) error {
	if err := c.setPin(ctx, c.Worker, false); err != nil {
		return err
	}
	if c.JSON {
		return e.jsonLine(&hashleasev1.SetPinResponse{})
	}
	e.printf("%s may give way again.\n", c.Worker)
	return nil
}

// setPin asks the server to leave a worker alone, or no longer.
func (f *clientFlags) setPin(ctx context.Context, worker string, pinned bool) error {
	cl, err := f.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	_, err = cl.operator.SetPin(call, &hashleasev1.SetPinRequest{Worker: worker, Pinned: pinned})
	if err != nil {
		return fmt.Errorf("setting the pin: %w", err)
	}
	return nil
}

type workerPinsCmd struct{ clientFlags }

// Run lists pins.
func (c *workerPinsCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListPins(call, &hashleasev1.ListPinsRequest{})
	if err != nil {
		return fmt.Errorf("asking for pins: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetPins())
	}
	if len(r.GetPins()) == 0 {
		e.notef("No worker is pinned.\n")
		return nil
	}
	t := newTable(e.stdout, "WORKER", "FEEDER", "PINNED BY")
	for _, p := range r.GetPins() {
		by := "configuration"
		if p.GetByHand() {
			by = "operator"
		}
		t.row(p.GetWorker(), feederWord(p.GetFeeder()), by)
	}
	return t.flush()
}

type workerQuarantinedCmd struct{ clientFlags }

// Run lists quarantined workers.
func (c *workerQuarantinedCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListQuarantined(call, &hashleasev1.ListQuarantinedRequest{})
	if err != nil {
		return fmt.Errorf("asking for quarantined workers: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetWorkers())
	}
	if len(r.GetWorkers()) == 0 {
		e.notef("No worker is quarantined.\n")
		return nil
	}
	t := newTable(e.stdout, "WORKER", "FEEDER", "SINCE", "WHY")
	for _, q := range r.GetWorkers() {
		t.row(q.GetWorker(), feederWord(q.GetFeeder()), clock(q.GetTime()), q.GetWhy())
	}
	return t.flush()
}

type workerReleaseCmd struct {
	clientFlags
	Workers []string `arg:"" help:"Their ids, account.worker."`
}

// Run releases workers.
func (c *workerReleaseCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	for _, id := range c.Workers {
		call, cancel := cl.call(ctx)
		r, err := cl.operator.ReleaseWorker(call, &hashleasev1.ReleaseWorkerRequest{Worker: id})
		cancel()
		if err != nil {
			return fmt.Errorf("releasing %s: %w", oneLine(id), err)
		}
		if c.JSON {
			if err := e.jsonLine(r); err != nil {
				return err
			}
			continue
		}
		e.printf("%s takes part again, and is told what the plan wants of it.\n", oneLine(id))
	}
	return nil
}
