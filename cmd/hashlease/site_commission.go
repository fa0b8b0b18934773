package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteCommissionCmd struct {
	clientFlags
	Feeder string     `arg:"" help:"The feeder: its id, or SITE/FEEDER."`
	Limit  unit.Watts `help:"Moved at once at most; else 2 % of the limit, or a miner." placeholder:"POWER"`
	DryRun bool       `help:"Only say what would be tried."`

	planned bool // the server only said what it would try
}

// Run proves a feeder's workers and its meter, group by group. Ctrl-C stops it: all return.
func (c *siteCommissionCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	name, err := cl.feederName(ctx, c.Feeder)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cl.stream(ctx))
	defer cancel()
	s, err := cl.operator.CommissionFeeder(ctx, &hashleasev1.CommissionFeederRequest{
		Feeder: name, LimitWatts: int64(c.Limit), DryRun: c.DryRun,
	})
	if err != nil {
		return fmt.Errorf("asking for the commissioning: %w", err)
	}
	var last *hashleasev1.CommissionResult
	for {
		r, err := s.Recv()
		if ended(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("commissioning feeder %s: %w", oneLine(c.Feeder), err)
		}
		if r.GetResult() != nil {
			last = r.GetResult()
		}
		if err := c.print(e, r); err != nil {
			return err
		}
	}
	switch {
	case last == nil:
		return errors.New("the commissioning was broken off: see hashlease site headroom")
	case !last.GetDone() && last.GetMessage() != "":
		return fmt.Errorf("the commissioning stopped: %s", oneLine(last.GetMessage()))
	}
	return nil
}

func (c *siteCommissionCmd) print(e *env, r *hashleasev1.CommissionFeederResponse) error {
	if c.JSON {
		return e.jsonLine(r)
	}
	switch ev := r.GetEvent().(type) {
	case *hashleasev1.CommissionFeederResponse_Plan:
		return c.printPlan(e, ev.Plan)
	case *hashleasev1.CommissionFeederResponse_Note:
		e.notef("%s\n", oneLine(ev.Note))
	case *hashleasev1.CommissionFeederResponse_Group:
		printGroup(e, ev.Group)
	case *hashleasev1.CommissionFeederResponse_Finding:
		e.printf("FOUND  %s\n", oneLine(ev.Finding.GetMessage()))
	case *hashleasev1.CommissionFeederResponse_Result:
		if !c.planned { // a dry run has proven nothing
			return printCommissioned(e, ev.Result)
		}
	}
	return nil
}

func (c *siteCommissionCmd) printPlan(e *env, p *hashleasev1.CommissionPlan) error {
	c.planned = p.GetDryRun()
	e.printf("%s in %d groups of about %v, at most %v at once; the meter's noise is %v.\n",
		workersWord(int(p.GetWorkers())), p.GetGroups(), unit.Watts(p.GetStepWatts()),
		unit.Watts(p.GetLimitWatts()), unit.Watts(p.GetNoiseWatts()))
	for _, x := range p.GetSkipped() {
		e.printf("Not tried: %s: %s\n", workersWord(int(x.GetWorkers())), oneLine(x.GetReason()))
	}
	switch {
	case p.GetDryRun() && p.GetReason() != "":
		e.notef("Nothing is ordered: %s\n", oneLine(p.GetReason()))
	case p.GetDryRun():
		e.notef("Nothing is ordered.\n")
	default:
		e.notef("Ctrl-C stops it, and all return.\n")
	}
	return nil
}

func printGroup(e *env, g *hashleasev1.CommissionGroup) {
	workers := strings.Join(g.GetWorkers()[:min(3, len(g.GetWorkers()))], ", ")
	if n := len(g.GetWorkers()); n > 3 {
		workers += fmt.Sprintf(" and %d more", n-3)
	}
	e.printf("%4d  %s: %v of %v in %s, back in %s: %s (%s; %d to come)\n", g.GetNumber(),
		oneLine(strings.TrimSpace(g.GetModel()+" "+g.GetFirmware())), unit.Watts(g.GetMeteredWatts()),
		unit.Watts(g.GetOrderedWatts()), shortTime(g.GetShedSeconds()), shortTime(g.GetReturnSeconds()),
		oneLine(g.GetVerdict()), oneLine(workers), g.GetLeft())
}

// shortTime is a measured time, "-" if there is none.
func shortTime(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return strconv.FormatFloat(seconds, 'f', 1, 64) + " s"
}

func printCommissioned(e *env, r *hashleasev1.CommissionResult) error {
	h := r.GetHeadroom()
	e.printf("%s proven, %d not, %s, after %v.\n", plural(int(r.GetProven()), "worker", "workers"),
		r.GetUnproven(), plural(len(r.GetFindings()), "finding", "findings"),
		time.Duration(r.GetElapsedSeconds()*float64(time.Second)).Round(time.Second))
	e.printf("%s can deliver %v at a notice of %v.\n", feederWord(h.GetFeeder()),
		unit.Watts(h.GetFirmWatts()), h.GetNotice().AsDuration())
	return nil
}

type siteHeadroomCmd struct {
	clientFlags
	Site string `arg:"" optional:"" help:"The site's id; all sites if absent."`
}

// Run shows what feeders can deliver, term by term.
func (c *siteHeadroomCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	req := &hashleasev1.GetHeadroomRequest{}
	if c.Site != "" {
		req.Site = siteName(c.Site)
	}
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.GetHeadroom(call, req)
	if err != nil {
		return fmt.Errorf("asking for headroom: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetFeeders())
	}
	return printHeadroom(e, r.GetFeeders())
}

// headroomTerms are the rows of the table, in the order in which they are taken off.
var headroomTerms = []struct {
	name string
	of   func(*hashleasev1.Headroom) int64
}{
	{"limit", (*hashleasev1.Headroom).GetLimitWatts},
	{"- reserve", (*hashleasev1.Headroom).GetReserveWatts},
	{"- margin", (*hashleasev1.Headroom).GetMarginWatts},
	{"- base load", (*hashleasev1.Headroom).GetBaseWatts},
	{"- not counted on", (*hashleasev1.Headroom).GetNotCountedWatts},
	{"- asleep", (*hashleasev1.Headroom).GetAsleepWatts},
	{"- not freed", (*hashleasev1.Headroom).GetNotFreedWatts},
	{"- source of watts", (*hashleasev1.Headroom).GetSourceWatts},
	{"- failures", (*hashleasev1.Headroom).GetFailureWatts},
	{"- mined elsewhere", (*hashleasev1.Headroom).GetElsewhereWatts},
	{"- kept for heat", (*hashleasev1.Headroom).GetHeatWatts},
	{"- N-1", (*hashleasev1.Headroom).GetDomainWatts},
	{"= FIRM", (*hashleasev1.Headroom).GetFirmWatts},
}

func printHeadroom(e *env, list []*hashleasev1.Headroom) error {
	head := []string{"TERM"}
	for _, h := range list {
		head = append(head, feederWord(h.GetFeeder()))
	}
	t := newTable(e.stdout, head...)
	row := func(name string, of func(*hashleasev1.Headroom) string) {
		cells := []string{name}
		for _, h := range list {
			cells = append(cells, of(h))
		}
		t.row(cells...)
	}
	for _, term := range headroomTerms {
		row(term.name, func(h *hashleasev1.Headroom) string { return unit.Watts(term.of(h)).String() })
	}
	row("notice", func(h *hashleasev1.Headroom) string { return h.GetNotice().AsDuration().String() })
	row("workers counted on", func(h *hashleasev1.Headroom) string {
		return fmt.Sprintf("%d of %d", h.GetWorkersCounted(), h.GetWorkers())
	})
	row("state", (*hashleasev1.Headroom).GetState)
	if err := t.flush(); err != nil {
		return err
	}
	for _, h := range list {
		printHeadroomWords(e, h)
	}
	return printResponses(e, list)
}

// printHeadroomWords says why a feeder can deliver no more, and what to run.
func printHeadroomWords(e *env, h *hashleasev1.Headroom) {
	name := feederWord(h.GetFeeder())
	if h.GetReason() != "" {
		line := name + ": " + h.GetReason()
		if h.GetCommand() != "" {
			line += ": " + h.GetCommand()
		}
		e.printf("%s\n", oneLine(line))
	}
	if h.GetWorkersCounted() > 0 {
		e.printf("%s: N-1 stands in for %s\n", name, oneLine(h.GetDomain()))
	}
	for _, x := range h.GetExcluded() {
		e.printf("%s: %s not counted on: %s\n", name,
			workersWord(int(x.GetWorkers())), oneLine(x.GetReason()))
	}
	for _, f := range h.GetFindings() {
		e.printf("%s: found: %s\n", name, oneLine(f.GetMessage()))
	}
}

// printResponses shows what was measured of each model and firmware, once.
func printResponses(e *env, list []*hashleasev1.Headroom) error {
	seen := map[string]bool{}
	t := &table{out: e.stdout}
	for _, h := range list {
		for _, r := range h.GetResponses() {
			key := r.GetModel() + "\x00" + r.GetFirmware()
			if seen[key] {
				continue
			}
			if len(seen) == 0 {
				t.row("MODEL", "FIRMWARE", "SAMPLES", "FREES", "SHED", "RETURN", "BY", "ORDERS", "FAILED")
			}
			seen[key] = true
			by := "device"
			if r.GetMetered() {
				by = "meter"
			}
			t.row(r.GetModel(), r.GetFirmware(), strconv.Itoa(int(r.GetSamples())),
				fmt.Sprintf("%.0f %%", 100*r.GetFreed()), shortTime(r.GetShedSeconds()),
				shortTime(r.GetReturnSeconds()), by, strconv.FormatUint(r.GetOrders(), 10),
				strconv.FormatUint(r.GetFailures(), 10))
		}
	}
	return t.flush()
}
