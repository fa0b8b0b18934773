package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteStopCmd struct {
	clientFlags
	Site   string `arg:"" help:"The site's id."`
	Reason string `help:"Why, for the log and the console." placeholder:"TEXT"`
}

// Run stops all mining of a site until somebody resumes it.
func (c *siteStopCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.StopSite(call, &hashleasev1.StopSiteRequest{
		Site: siteName(c.Site), Reason: c.Reason,
	})
	if err != nil {
		return fmt.Errorf("stopping site %s: %w", oneLine(c.Site), err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	e.printf("STOPPED: %s to their minimum; mining drew %v and will draw at most %v.\n",
		plural(int(r.GetWorkers()), "worker goes", "workers go"),
		unit.Watts(r.GetMiningWatts()), unit.Watts(r.GetLeftoverWatts()))
	if n := r.GetWorkersAway(); n > 0 {
		e.printf("%s out of reach: told when back.\n", plural(int(n), "worker is", "workers are"))
	}
	if u := r.GetUnarmedFeeders(); len(u) > 0 {
		e.notef("NOT stopped, because not armed to act: %s\n", oneLine(strings.Join(u, ", ")))
	}
	e.notef("It holds over restarts. To let mining return: hashlease site resume %s\n", oneLine(c.Site))
	return nil
}

type siteResumeCmd struct {
	clientFlags
	Site string `arg:"" help:"The site's id."`
}

// Run lets a stopped site mine again.
func (c *siteResumeCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ResumeSite(call, &hashleasev1.ResumeSiteRequest{Site: siteName(c.Site)})
	if err != nil {
		return fmt.Errorf("resuming site %s: %w", oneLine(c.Site), err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	e.printf("%s: mining returns as its feeders have room.\n", oneLine(c.Site))
	return nil
}
