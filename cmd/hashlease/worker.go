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
