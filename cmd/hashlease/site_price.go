package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type sitePriceCmd struct {
	clientFlags
	Site string `arg:"" optional:"" help:"Only this one, with its models and who is stopped: its id."`
}

// Run shows what power costs, and whom that stops.
func (c *sitePriceCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListPrices(call, &hashleasev1.ListPricesRequest{})
	if err != nil {
		return fmt.Errorf("asking for prices: %w", err)
	}
	list := r.GetSites()
	if c.Site != "" {
		if list = priceOf(list, siteName(c.Site)); list == nil {
			return usagef("there is no site %q: hashlease site price shows all", c.Site)
		}
	}
	if c.JSON {
		return jsonList(e, list)
	}
	if err := printPrices(e, list); err != nil || c.Site == "" {
		return err
	}
	return printModels(e, list[0])
}

func priceOf(list []*hashleasev1.SitePrice, site string) []*hashleasev1.SitePrice {
	for _, p := range list {
		if p.GetSite() == site {
			return []*hashleasev1.SitePrice{p}
		}
	}
	return nil
}

func printPrices(e *env, list []*hashleasev1.SitePrice) error {
	t := newTable(e.stdout, "SITE", "A KWH COSTS", "BY", "NEXT CHANGE", "RUNNING", "STOPPED", "FREES",
		"SAVES AN HOUR")
	for _, p := range list {
		site := strings.TrimPrefix(p.GetSite(), "sites/")
		if !p.GetKnown() {
			t.row(site, "not known", "", "", fmt.Sprint(p.GetRunning()), "0", "", "")
			continue
		}
		next := "-"
		if p.GetNextTime() != nil {
			next = clock(p.GetNextTime()) + ": " + unit.Msat(p.GetNextMsatPerKwh()).String()
		}
		t.row(site, unit.Msat(p.GetMsatPerKwh()).String(), p.GetSource(), next, fmt.Sprint(p.GetRunning()),
			fmt.Sprint(p.GetStopped()), unit.Watts(p.GetFreedWatts()).String(),
			income(unit.Msat(p.GetSavedMsatPerHour())))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, p := range list {
		site := strings.TrimPrefix(p.GetSite(), "sites/")
		switch {
		case !p.GetKnown():
			e.notef("%s: no tariff is configured, so no price stops a machine: see [site.tariff].\n", site)
		case p.GetFeedFault() != "":
			e.notef("%s: the price feed is lost (%s); the tariff counts: hashlease check asks it.\n",
				site, p.GetFeedFault())
		case p.GetMsatPerExahash() <= 0:
			e.notef("%s: what a hash earns is not known, so nobody is stopped: see the node in "+
				"hashlease status.\n", site)
		}
	}
	return nil
}

func printModels(e *env, p *hashleasev1.SitePrice) error {
	e.printf("\n")
	t := newTable(e.stdout, "MODEL", "WORKERS", "STOPPED", "BREAK-EVEN A KWH")
	for _, m := range p.GetModels() {
		even := unit.Msat(m.GetLeastMsatPerKwh()).String()
		if m.GetMostMsatPerKwh() != m.GetLeastMsatPerKwh() {
			even += " to " + unit.Msat(m.GetMostMsatPerKwh()).String()
		}
		t.row(m.GetModel(), fmt.Sprint(m.GetWorkers()), fmt.Sprint(m.GetStopped()), even)
	}
	if err := t.flush(); err != nil || len(p.GetWorkers()) == 0 {
		return err
	}
	e.printf("\n")
	stopped := newTable(e.stdout, "STOPPED BY THE PRICE")
	for i, w := range p.GetWorkers() {
		if i == maxListed {
			stopped.row(fmt.Sprintf("and %d more", len(p.GetWorkers())-maxListed))
			break
		}
		stopped.row(w)
	}
	return stopped.flush()
}
