package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteLimitCmd struct {
	Set   limitSetCmd   `cmd:"" help:"Cap what a site or a feeder takes, for a while."`
	List  limitListCmd  `cmd:"" help:"Show the limits that are not over."`
	Clear limitClearCmd `cmd:"" help:"End a limit."`
}

type limitSetCmd struct {
	clientFlags
	On     string     `arg:"" help:"The site's id, or SITE/FEEDER."`
	Power  unit.Watts `arg:"" help:"All that it may take, tenants and base load too, as 2MW."`
	From   moment     `help:"When it begins: now, +10m, or RFC 3339." default:"now"`
	For    span       `help:"How long, as 1h." xor:"end" required:"" placeholder:"DURATION"`
	Until  *moment    `help:"Until when, in place of --for." xor:"end" required:"" placeholder:"TIME"`
	Reason string     `help:"Why, for the log and the console." placeholder:"TEXT"`
}

// Run sets a limit and says what it comes to.
func (c *limitSetCmd) Run(ctx context.Context, e *env) error {
	if c.Power < 0 {
		return usagef("power is %v: 0 or more is accepted", c.Power)
	}
	now := time.Now()
	l := &hashleasev1.Limit{On: limitOn(c.On), Watts: int64(c.Power), Reason: c.Reason}
	start := now
	if !c.From.isNow() {
		start = c.From.from(now)
		l.StartTime = timestamppb.New(start)
	}
	end := start.Add(time.Duration(c.For))
	if c.Until != nil {
		end = c.Until.from(now)
	}
	l.EndTime = timestamppb.New(end)
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.CreateLimit(call, &hashleasev1.CreateLimitRequest{Limit: l})
	if err != nil {
		return fmt.Errorf("setting the limit: %w", err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	if err := printLimits(e, []*hashleasev1.Limit{r}); err != nil {
		return err
	}
	if over := r.GetFixedWatts() - r.GetWatts(); over > 0 {
		e.notef("Base load and tenants alone hold %v more than that; they do not give way to a limit.\n",
			unit.Watts(over))
	}
	return nil
}

// limitOn is the resource name of SITE or SITE/FEEDER.
func limitOn(s string) string {
	if strings.HasPrefix(s, "sites/") {
		return s
	}
	if site, feeder, ok := strings.Cut(s, "/"); ok {
		return "sites/" + site + "/feeders/" + feeder
	}
	return "sites/" + s
}

type limitListCmd struct{ clientFlags }

// Run shows limits.
func (c *limitListCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListLimits(call, &hashleasev1.ListLimitsRequest{})
	if err != nil {
		return fmt.Errorf("asking for limits: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetLimits())
	}
	if len(r.GetLimits()) == 0 {
		e.notef("No limit is set.\n")
		return nil
	}
	return printLimits(e, r.GetLimits())
}

func printLimits(e *env, list []*hashleasev1.Limit) error {
	t := newTable(e.stdout,
		"LIMIT", "ON", "POWER", "FROM", "UNTIL", "STATE", "TAKEN", "CANNOT YIELD", "REASON")
	for _, l := range list {
		state := "to come"
		if l.GetInForce() {
			state = "kept"
			switch {
			case !l.GetFresh():
				state = "no fresh reading"
			case l.GetMeteredWatts() > l.GetWatts():
				state = "above it"
			}
		}
		t.row(strings.TrimPrefix(l.GetName(), "limits/"), feederWord(l.GetOn()),
			unit.Watts(l.GetWatts()).String(), clock(l.GetStartTime()), clock(l.GetEndTime()), state,
			unit.Watts(l.GetMeteredWatts()).String(), unit.Watts(l.GetFixedWatts()).String(), l.GetReason())
	}
	return t.flush()
}

type limitClearCmd struct {
	clientFlags
	Limit uint64 `arg:"" help:"Its number, as site limit list shows it."`
}

// Run ends a limit.
func (c *limitClearCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.DeleteLimit(call, &hashleasev1.DeleteLimitRequest{
		Name: "limits/" + strconv.FormatUint(c.Limit, 10),
	})
	if err != nil {
		return fmt.Errorf("clearing limit %d: %w", c.Limit, err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	e.printf("limit %d is over.\n", c.Limit)
	return nil
}
