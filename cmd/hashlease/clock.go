package main

import (
	"context"
	"fmt"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type clockCmd struct {
	Accept clockAcceptCmd `cmd:"" help:"Let leases go on by the server's clock. Look at it first."`
}

type clockAcceptCmd struct{ clientFlags }

// Run takes the operator's word that the server's clock is right.
func (c *clockAcceptCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.AcceptClock(call, &hashleasev1.AcceptClockRequest{})
	if err != nil {
		return fmt.Errorf("accepting the clock: %w", err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	e.printf("The clock is accepted: leases go on from %s.\n", clock(r.GetTime()))
	return nil
}
