package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteMetersCmd struct{ clientFlags }

// Run shows every meter of every branch and feeder.
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
	for _, b := range r.GetBranches() {
		meters = append(meters, b.GetMeters()...)
	}
	for _, f := range r.GetFeeders() {
		meters = append(meters, f.GetMeters()...)
	}
	if c.JSON {
		return jsonList(e, meters)
	}
	t := newTable(e.stdout, "ON", "METER", "READS", "AT", "STATE", "DETAIL")
	list := func(on string, meters []*hashleasev1.MeterStatus) {
		for _, m := range meters {
			_, name, named := strings.Cut(m.GetName(), " ") // after what it is on
			if !named {
				name = m.GetRole()
			}
			t.row(on, name, unit.Watts(m.GetWatts()).String(), clock(m.GetReadingTime()), m.GetState(),
				m.GetDetail())
		}
	}
	for _, b := range r.GetBranches() {
		list(short(b.GetBranch()), b.GetMeters())
	}
	for _, f := range r.GetFeeders() {
		list(feederWord(f.GetFeeder()), f.GetMeters())
	}
	return t.flush()
}
