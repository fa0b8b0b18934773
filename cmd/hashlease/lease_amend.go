package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	leaseclient "github.com/hashlease/hashlease/lease/client"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

//nolint:revive // tags are one line
type leaseAmendCmd struct {
	clientFlags
	Name      string     `arg:"" help:"The lease: its id, or tenants/TENANT/leases/ID."`
	Watts     unit.Watts `help:"The power that it holds, as 120kW." placeholder:"POWER"`
	Start     *moment    `help:"When it begins: +10m, or RFC 3339. Only while it is SCHEDULED." placeholder:"TIME"`
	End       *moment    `help:"When it ends: +2h from now, or RFC 3339." placeholder:"TIME" xor:"end"`
	Longer    span       `help:"How much later than now agreed it ends, as 30m." placeholder:"DURATION" xor:"end"`
	DryRun    bool       `help:"Only say what it would become."`
	RequestID string     `help:"UUID of this request. Made if absent." placeholder:"UUID"`
}

// Run changes a lease.
func (c *leaseAmendCmd) Run(ctx context.Context, e *env) error {
	if c.Watts < 0 || c.Longer < 0 {
		return usagef("--watts %v, --longer %v: above 0 is accepted", c.Watts, time.Duration(c.Longer))
	}
	if c.Watts == 0 && c.Start == nil && c.End == nil && c.Longer == 0 {
		return usagef("nothing would change: --watts, --start, --end or --longer is needed")
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.leaseName(c.Name)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, cl, name)
	if err != nil {
		return err
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.leases.AmendLease(call, req)
	if err != nil {
		return unsure(fmt.Errorf("amending the lease: %w", err), amendAgain(req))
	}
	if c.DryRun {
		e.notef("It would become this. Nothing was changed.\n")
	}
	if c.JSON {
		return e.jsonLine(l)
	}
	return printLease(e, l)
}

// request has absolute times only, so that it can be repeated.
func (c *leaseAmendCmd) request(
	ctx context.Context, cl *client, name string,
) (*hashleasev1.AmendLeaseRequest, error) {
	now := time.Now()
	req := &hashleasev1.AmendLeaseRequest{
		Name: name, Watts: int64(c.Watts), RequestId: c.RequestID, ValidateOnly: c.DryRun,
	}
	if req.GetRequestId() == "" {
		req.RequestId = leaseclient.NewRequestID()
	}
	if c.Start != nil {
		req.StartTime = timestamppb.New(c.Start.from(now))
	}
	if c.End != nil {
		req.EndTime = timestamppb.New(c.End.from(now))
	}
	if c.Longer == 0 {
		return req, nil
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.leases.GetLease(call, &hashleasev1.GetLeaseRequest{Name: name})
	if err != nil {
		return nil, fmt.Errorf("asking for the lease's end: %w", err)
	}
	req.EndTime = timestamppb.New(l.GetEndTime().AsTime().Add(time.Duration(c.Longer)))
	return req, nil
}

// amendAgain is the command that asks for exactly the same.
func amendAgain(r *hashleasev1.AmendLeaseRequest) string {
	line := "hashlease lease amend " + r.GetName()
	if w := r.GetWatts(); w != 0 {
		line += fmt.Sprintf(" --watts %dW", w)
	}
	if at := r.GetStartTime(); at != nil {
		line += " --start " + at.AsTime().Format(time.RFC3339)
	}
	if at := r.GetEndTime(); at != nil {
		line += " --end " + at.AsTime().Format(time.RFC3339)
	}
	return line + " --request-id " + r.GetRequestId()
}
