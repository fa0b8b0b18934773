package main

import (
	"context"
	"fmt"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteMetersCmd struct{ clientFlags }

// Run shows every meter of every feeder.
func (c *siteMetersCmd) Run(ctx context.Context, e *env) error {
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
	var meters []*hashleasev1.MeterStatus
	for _, f := range r.GetFeeders() {
		meters = append(meters, f.GetMeters()...)
	}
	if c.JSON {
		return jsonList(e, meters)
	}
	t := newTable(e.stdout, "FEEDER", "METER", "READS", "AT", "STATE", "DETAIL")
	for _, f := range r.GetFeeders() {
		for _, m := range f.GetMeters() {
			role := m.GetRole()
			if m.GetTenant() != "" {
				role += " " + m.GetTenant()
			}
			t.row(feederWord(f.GetFeeder()), role, unit.Watts(m.GetWatts()).String(),
				clock(m.GetReadingTime()), m.GetState(), m.GetDetail())
		}
	}
	return t.flush()
}
