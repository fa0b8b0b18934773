package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

//nolint:revive // tags are one line
type capacityCmd struct {
	clientFlags
	Site  string `arg:"" optional:"" help:"A site's id: shows its free power over time. Without it: all sites."`
	Start moment `help:"From when: now, +10m, or RFC 3339." default:"now" placeholder:"TIME"`
	For   span   `help:"How far to look; ${default} if absent." default:"24h" placeholder:"DURATION"`
}

// Run shows the sites, or one site's free power over time.
func (c *capacityCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	if c.Site != "" {
		return c.window(ctx, e, cl)
	}
	sites, err := cl.sites(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return jsonList(e, sites)
	}
	t := newTable(e.stdout, "SITE", "FEEDER", "LIMIT", "LEASABLE", "NOTICE", "BASIS")
	for _, s := range sites {
		for _, f := range s.GetFeeders() {
			t.row(short(s.GetName()), short(f.GetName()), unit.Watts(f.GetLimitWatts()).String(),
				atMost(f.GetLeasableWatts()), f.GetNotice().AsDuration().String(), f.GetBasis())
		}
	}
	return t.flush()
}

func (c *capacityCmd) window(ctx context.Context, e *env, cl *client) error {
	start := c.Start.from(time.Now())
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.capacity.QueryAvailability(call, &hashleasev1.QueryAvailabilityRequest{
		Site: siteName(c.Site), StartTime: timestamppb.New(start),
		EndTime: timestamppb.New(start.Add(time.Duration(c.For))),
	})
	if err != nil {
		return fmt.Errorf("asking for free power: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetFeeders())
	}
	t := newTable(e.stdout, "FEEDER", "FROM", "FREE")
	for _, f := range r.GetFeeders() {
		for _, s := range f.GetSteps() {
			t.row(short(f.GetFeeder()), clock(s.GetStartTime()), atMost(s.GetFreeWatts()))
		}
		if f.GetTruncated() {
			t.row(short(f.GetFeeder()), "there is more: ask with a later --start")
		}
	}
	return t.flush()
}

// atMost is power rounded down to three digits: what it says can be asked for.
func atMost(watts int64) string {
	step := int64(1)
	for watts/step >= 1000 {
		step *= 10
	}
	return unit.Watts(watts / step * step).String()
}
