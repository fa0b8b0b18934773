package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	leaseclient "github.com/hashlease/hashlease/lease/client"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// pageSize is how many entries one call of a list asks for.
const pageSize = 500

// leaseCmd is what a tenant does.
//
//nolint:revive // tags are one line
type leaseCmd struct {
	Create leaseCreateCmd `cmd:"" help:"Book power at a site for a while."`
	Get    leaseGetCmd    `cmd:"" help:"Show one lease."`
	List   leaseListCmd   `cmd:"" help:"List your leases, newest first."`
	Watch  leaseWatchCmd  `cmd:"" help:"Follow changes of your leases."`
	Amend  leaseAmendCmd  `cmd:"" help:"Change a lease's power, start or end, all in one or not at all."`
	Cancel leaseCancelCmd `cmd:"" help:"End a lease: a running one gives its power back at once."`
	Run    leaseRunCmd    `cmd:"" help:"Book power, run a command while it is there, and give it back."`

	ConfirmOff confirmOffCmd `cmd:"" help:"Say that the tenant of an ended lease, with no meter, is off (operator)."`
}

// slotFlags say what is to be booked.
//
//nolint:revive // tags are one line
type slotFlags struct {
	Site      string     `help:"The site's id; hashlease capacity lists them." required:"" placeholder:"SITE"`
	Watts     unit.Watts `help:"Power, as 100kW." required:"" placeholder:"POWER"`
	Start     moment     `help:"When it begins: now, +10m, or RFC 3339." default:"now" placeholder:"TIME"`
	For       span       `help:"How long, as 90s or 2h; or --end." placeholder:"DURATION" xor:"end" required:""`
	End       moment     `help:"When it ends, in place of --for." placeholder:"TIME" xor:"end" required:""`
	Feeder    string     `help:"A feeder of the site; without it the server chooses." placeholder:"FEEDER"`
	RequestID string     `help:"UUID of this request: the same request with the same one books nothing twice. To repeat, give --end, and --start unless it is now, as times. Made if absent." placeholder:"UUID"`
}

// request is what asks for the slot.
func (c *slotFlags) request(now time.Time) (*hashleasev1.CreateLeaseRequest, error) {
	if c.Watts <= 0 {
		return nil, usagef("--watts is %v: above 0 is accepted", c.Watts)
	}
	req := &hashleasev1.CreateLeaseRequest{
		Lease:     &hashleasev1.Lease{Site: siteName(c.Site), Watts: int64(c.Watts)},
		RequestId: c.RequestID,
	}
	start := c.Start.from(now)
	if c.Start.isNow() {
		start = now.Truncate(time.Second) // as the server does
	}
	end := start.Add(time.Duration(c.For))
	if c.For == 0 {
		end = c.End.from(now)
	}
	if !end.After(start) {
		return nil, usagef("--end %v: a time after the start %v is accepted", end.Local(), start.Local())
	}
	if !c.Start.isNow() {
		req.Lease.StartTime = timestamppb.New(start)
	}
	req.Lease.EndTime = timestamppb.New(end)
	if c.Feeder != "" {
		req.Lease.Feeder = siteName(c.Site) + "/feeders/" + short(c.Feeder)
		if c.Feeder != short(c.Feeder) && feederWord(req.Lease.Feeder) != feederWord(c.Feeder) {
			return nil, usagef("--feeder %q: a feeder of site %s is accepted", c.Feeder, short(c.Site))
		}
	}
	if req.RequestId == "" {
		req.RequestId = leaseclient.NewRequestID()
	}
	return req, nil
}

type leaseCreateCmd struct {
	clientFlags
	slotFlags
	DryRun bool `help:"Only say whether it would be booked."`
	Wait   bool `help:"Stay until a meter shows the power free."`
}

// Run books a lease.
func (c *leaseCreateCmd) Run(ctx context.Context, e *env) error {
	req, err := c.request(time.Now())
	if err != nil {
		return err
	}
	req.ValidateOnly = c.DryRun
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	return c.book(ctx, e, cl, req)
}

func (c *leaseCreateCmd) book(
	ctx context.Context, e *env, cl *client, req *hashleasev1.CreateLeaseRequest,
) error {
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.leases.CreateLease(call, req)
	if err != nil {
		return unsure(fmt.Errorf("booking the lease: %w", err), c.again(req))
	}
	if c.DryRun {
		e.notef("It would be booked. Nothing was.\n")
	}
	if c.JSON && (!c.Wait || c.DryRun) {
		return e.jsonLine(l)
	}
	if !c.Wait || c.DryRun {
		return printLease(e, l)
	}
	w := watcher{
		cl: cl, env: e, json: c.JSON, name: l.GetName(),
		until: hashleasev1.LeaseState_LEASE_STATE_ACTIVE,
	}
	return w.run(ctx)
}

// again is the command that asks for exactly the same: a start of now stays now, times become
// absolute.
func (c *leaseCreateCmd) again(r *hashleasev1.CreateLeaseRequest) string {
	l := r.GetLease()
	start := "now"
	if at := l.GetStartTime(); at != nil {
		start = at.AsTime().Format(time.RFC3339)
	}
	line := fmt.Sprintf("hashlease lease create --site %s --watts %dW --start %s --end %s",
		short(l.GetSite()), l.GetWatts(), start, l.GetEndTime().AsTime().Format(time.RFC3339))
	if f := l.GetFeeder(); f != "" {
		line += " --feeder " + short(f)
	}
	return line + " --request-id " + r.GetRequestId()
}

// unsure adds how to repeat a change whose answer was lost.
func unsure(err error, again string) error {
	if code := status.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded {
		return fmt.Errorf("%w\nIf it was sent it may have happened. To repeat it safely:\n  %s", err, again)
	}
	return err
}

type leaseGetCmd struct {
	clientFlags
	Name string `arg:"" help:"The lease: its id, or tenants/TENANT/leases/ID."`
}

// Run shows a lease.
func (c *leaseGetCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.leaseName(c.Name)
	if err != nil {
		return err
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.leases.GetLease(call, &hashleasev1.GetLeaseRequest{Name: name})
	if err != nil {
		return fmt.Errorf("asking for the lease: %w", err)
	}
	if c.JSON {
		return e.jsonLine(l)
	}
	return printLease(e, l)
}

type leaseListCmd struct {
	clientFlags
	Limit int `help:"At most this many." default:"100"`
}

// Run lists leases.
func (c *leaseListCmd) Run(ctx context.Context, e *env) error {
	if c.Limit < 1 || c.Limit > 1_000_000 {
		return usagef("--limit is %d: 1 to 1000000 is accepted", c.Limit)
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	var all []*hashleasev1.Lease
	token := ""
	for len(all) < c.Limit {
		call, cancel := cl.call(ctx)
		r, err := cl.leases.ListLeases(call, &hashleasev1.ListLeasesRequest{
			PageSize: int32(min(pageSize, c.Limit-len(all))), PageToken: token,
		})
		cancel()
		if err != nil {
			return fmt.Errorf("listing leases: %w", err)
		}
		all = append(all, r.GetLeases()...)
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return jsonList(e, all)
	}
	t := newTable(e.stdout, "LEASE", "FEEDER", "POWER", "START", "END", "STATE", "REASON")
	for _, l := range all {
		t.row(cl.shortLease(l.GetName()), feederWord(l.GetFeeder()), unit.Watts(l.GetWatts()).String(),
			clock(l.GetStartTime()), clock(l.GetEndTime()), stateWord(l.GetState()), l.GetStateReason())
	}
	return t.flush()
}

type leaseCancelCmd struct {
	clientFlags
	Name      string `arg:"" help:"The lease: its id, or tenants/TENANT/leases/ID."`
	RequestID string `help:"UUID of this request. Made if absent." placeholder:"UUID"`
}

// Run ends a lease.
func (c *leaseCancelCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.leaseName(c.Name)
	if err != nil {
		return err
	}
	if c.RequestID == "" {
		c.RequestID = leaseclient.NewRequestID()
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.leases.CancelLease(call, &hashleasev1.CancelLeaseRequest{Name: name, RequestId: c.RequestID})
	if err != nil {
		return unsure(fmt.Errorf("cancelling the lease: %w", err),
			fmt.Sprintf("hashlease lease cancel %s --request-id %s", name, c.RequestID))
	}
	if c.JSON {
		return e.jsonLine(l)
	}
	return printLease(e, l)
}

type confirmOffCmd struct {
	clientFlags
	Name string `arg:"" help:"The lease: tenants/TENANT/leases/ID."`
}

// Run takes the operator's word for a tenant without a meter.
func (c *confirmOffCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.leaseName(c.Name)
	if err != nil {
		return err
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	l, err := cl.operator.ConfirmLeaseOff(call, &hashleasev1.ConfirmLeaseOffRequest{Name: name})
	if err != nil {
		return fmt.Errorf("confirming that the tenant is off: %w", err)
	}
	if c.JSON {
		return e.jsonLine(l)
	}
	return printLease(e, l)
}

var leaseForm = regexp.MustCompile(`^tenants/[^/]+/leases/[^/]+$`)

// leaseName is a lease's resource name: an id alone is one of the key's own tenant.
func (c *client) leaseName(s string) (string, error) {
	switch tenant := c.tenant(); {
	case leaseForm.MatchString(s):
		return s, nil
	case s == "" || strings.Contains(s, "/"):
		return "", usagef("lease %q: its id, or tenants/TENANT/leases/ID is accepted", s)
	case tenant == "" || tenant == leaserpc.Admin:
		return "", usagef("lease %q: with this key the full name tenants/TENANT/leases/ID is needed", s)
	default:
		return "tenants/" + tenant + "/leases/" + s, nil
	}
}

// shortLease is the shortest form that leaseName understands with the same key.
func (c *client) shortLease(name string) string {
	if strings.HasPrefix(name, "tenants/"+c.tenant()+"/leases/") {
		return short(name)
	}
	return name
}

// stateWord is a state without the enum's prefix.
func stateWord(s hashleasev1.LeaseState) string {
	return strings.TrimPrefix(s.String(), "LEASE_STATE_")
}

// printLease prints one lease, a line for each thing that is known.
func printLease(e *env, l *hashleasev1.Lease) error {
	t := &table{out: e.stdout}
	if l.GetName() != "" { // a dry run's lease is in no state yet
		t.row("lease", l.GetName())
		t.row("state", stateWord(l.GetState())+reasonOf(l))
	}
	t.row("feeder", feederWord(l.GetFeeder()))
	t.row("power", unit.Watts(l.GetWatts()).String())
	if w := l.GetGrantedWatts(); w != 0 && w != l.GetWatts() {
		t.row("may be drawn now", unit.Watts(w).String())
	}
	t.row("start", clock(l.GetStartTime()))
	t.row("end", clock(l.GetEndTime()))
	for _, at := range []struct {
		what string
		when *timestamppb.Timestamp
	}{{"first order", l.GetOrderTime()}, {"proven free", l.GetActiveTime()}, {"seen off", l.GetGoneTime()}} {
		if at.when != nil {
			t.row(at.what, clock(at.when))
		}
	}
	if w := l.GetFreedWatts(); w != 0 {
		t.row("freed at the meter", unit.Watts(w).String())
	}
	if j := l.GetDeliveredJoules(); j != 0 {
		t.row("delivered", unit.Joules(j).String())
	}
	if j := l.GetOverrunJoules(); j != 0 {
		t.row("overrun", unit.Joules(j).String()+" beyond what was held")
	}
	if s := l.GetShortfallSeconds(); s != 0 {
		t.row("not proven free for", (time.Duration(s) * time.Second).String())
	}
	return t.flush()
}

func reasonOf(l *hashleasev1.Lease) string {
	if l.GetStateReason() == "" {
		return ""
	}
	return " (" + l.GetStateReason() + ")"
}

// parseState reads a state's word, in any case.
func parseState(s string) (hashleasev1.LeaseState, error) {
	v, ok := hashleasev1.LeaseState_value["LEASE_STATE_"+strings.ToUpper(s)]
	if !ok || v == 0 {
		return 0, errors.New("scheduled, preparing, active, degraded, ending, completed, cancelled " +
			"or failed is accepted")
	}
	return hashleasev1.LeaseState(v), nil
}
