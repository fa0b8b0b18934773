package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// maxListed is how many workers of a preview are listed for people.
const maxListed = 20

type siteCmd struct {
	Curtail curtailCmd    `cmd:"" help:"Lower a site's mining for a while, and wait for the meter's proof."`
	Arm     armCmd        `cmd:"" help:"Say what may be done on a feeder: observe, advise or act."`
	Advice  siteAdviceCmd `cmd:"" help:"Show what would have been done where it is not armed."`
	Meters  siteMetersCmd `cmd:"" help:"Show every meter, what it reads and whether it can be believed."`
	Limit   siteLimitCmd  `cmd:"" help:"Caps from outside: a utility's order, a base point, a peak hour."`
	Stop    siteStopCmd   `cmd:"" help:"EMERGENCY: all mining of a site to its minimum, until it is resumed."`
	Price   sitePriceCmd  `cmd:"" help:"Show what power costs, who stops for it, and what that saves."`
	Resume  siteResumeCmd `cmd:"" help:"End a site's emergency stop."`

	Branches   siteBranchesCmd   `cmd:"" help:"Show PDUs, transformers and imports."`
	Commission siteCommissionCmd `cmd:"" help:"Prove a feeder: small groups sleep and wake, the meter tells."`
	Headroom   siteHeadroomCmd   `cmd:"" help:"Show what feeders can deliver to tenants, and why no more."`
	Report     siteReportCmd     `cmd:"" help:"Show what a lease, a curtailment, a limit or a month came to."`
	Verify     siteVerifyCmd     `cmd:"" help:"Check a saved report, without a server."`
}

type curtailCmd struct {
	clientFlags
	Site   string     `arg:"" help:"The site's id."`
	Power  unit.Watts `arg:"" help:"Power by which mining is to fall, as 100kW."`
	For    span       `help:"How long, as 2m." required:"" placeholder:"DURATION"`
	DryRun bool       `help:"Only show workers, cost and leases touched."`
}

// Run previews a curtailment, orders it and follows it to the meter's proof.
func (c *curtailCmd) Run(ctx context.Context, e *env) error {
	if c.Power <= 0 {
		return usagef("power is %v: above 0 is accepted", c.Power)
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	ctx, cancel := context.WithCancel(cl.stream(ctx))
	defer cancel()
	s, err := cl.operator.CurtailSite(ctx, &hashleasev1.CurtailSiteRequest{
		Site: siteName(c.Site), Watts: int64(c.Power),
		Duration: durationpb.New(time.Duration(c.For)), DryRun: c.DryRun,
	})
	if err != nil {
		return fmt.Errorf("asking for the curtailment: %w", err)
	}
	proven, last := false, (*hashleasev1.CurtailProgress)(nil)
	for {
		r, err := s.Recv()
		if ended(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("following the curtailment: %w", err)
		}
		if p := r.GetProgress(); p != nil {
			proven, last = proven || p.GetProven(), p
		}
		if err := c.print(e, r); err != nil {
			return err
		}
	}
	switch {
	case c.DryRun || proven:
		return nil
	case last != nil && last.GetMessage() != "":
		return fmt.Errorf("the meters did not prove it: %s", oneLine(last.GetMessage()))
	}
	return errors.New("the meters did not prove it: see hashlease status")
}

func (c *curtailCmd) print(e *env, r *hashleasev1.CurtailSiteResponse) error {
	if c.JSON {
		return e.jsonLine(r)
	}
	if p := r.GetPreview(); p != nil {
		return c.printPreview(e, p)
	}
	p := r.GetProgress()
	line := fmt.Sprintf("%s  mining %v of %v", p.GetTime().AsTime().Local().Format("15:04:05"),
		unit.Watts(p.GetMiningWatts()), unit.Watts(p.GetBaselineWatts()))
	if m := p.GetMessage(); m != "" {
		line += "  " + oneLine(m)
	}
	if !p.GetProven() {
		e.notef("%s\n", line)
		return nil
	}
	e.printf("%s\nProven: the meters show %v freed, %.1f s after the first order.\n", line,
		unit.Watts(p.GetBaselineWatts()-p.GetMiningWatts()), p.GetSeconds())
	return nil
}

func (c *curtailCmd) printPreview(e *env, p *hashleasev1.CurtailPreview) error {
	t := &table{out: e.stdout}
	if len(p.GetWorkers()) > 0 {
		t.row("WORKER", "FEEDER", "FROM", "TO")
	}
	for i, w := range p.GetWorkers() {
		if i == maxListed {
			t.row(fmt.Sprintf("and %d more", len(p.GetWorkers())-maxListed))
			break
		}
		t.row(w.GetWorker(), short(w.GetFeeder()),
			unit.Watts(w.GetFromWatts()).String(), unit.Watts(w.GetToWatts()).String())
	}
	if err := t.flush(); err != nil {
		return err
	}
	e.printf("%s for %v; mining gives up %s an hour.\n", givers(len(p.GetWorkers()), p.GetFreedWatts()),
		time.Duration(c.For), income(unit.Msat(p.GetCostMsatPerHour())))
	if n := p.GetLeases(); len(n) > 0 {
		e.printf("Leases on the same feeders: %s\n", oneLine(strings.Join(n, ", ")))
	}
	if freed := unit.Watts(p.GetFreedWatts()); freed < c.Power {
		e.notef("That is %v less than asked for: there is no more to curtail.\n", c.Power-freed)
	}
	if c.DryRun {
		e.notef("Nothing was ordered.\n")
	}
	return nil
}

func givers(n int, watts int64) string {
	return plural(n, "worker gives", "workers give") + " " + unit.Watts(watts).String()
}

// income is money for people: satoshi, or bitcoins from a hundredth on.
func income(m unit.Msat) string {
	if m >= unit.Sat*1e6 {
		return bitcoins(int64(m / unit.Sat))
	}
	return m.String()
}

type armCmd struct {
	clientFlags
	Feeder string    `arg:"" help:"The feeder: its id, or SITE/FEEDER."`
	Arm    fleet.Arm `arg:"" help:"observe, advise or act."`
}

// Run sets what may be done on a feeder.
func (c *armCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.feederName(ctx, c.Feeder)
	if err != nil {
		return err
	}
	arm, ok := hashleasev1.Arm_value["ARM_"+strings.ToUpper(c.Arm.String())]
	if !ok {
		return usagef("arm %v: observe, advise or act is accepted", c.Arm)
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.SetArm(call, &hashleasev1.SetArmRequest{Feeder: name, Arm: hashleasev1.Arm(arm)})
	if err != nil {
		return fmt.Errorf("setting the arm: %w", err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	e.printf("%s: %s\n", oneLine(name), armWord(r.GetArm()))
	return nil
}
