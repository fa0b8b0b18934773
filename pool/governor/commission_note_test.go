package governor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// states are what records say, in order.
func states(list []audit.Record) string {
	var all []string
	for _, r := range list {
		all = append(all, r.State)
	}
	return strings.Join(all, " ")
}

// Ensure that machines which are tried one by one are not blamed for a meter that turns out to be wrong, that
// headroom then says why the commissioning stopped, over a restart too, and that the log has each step of it.
func TestCommission_BlamesTheMeterAndNotWhoObeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 6)
		s.unproven()
		s.feeder.Limit = 100_000 // room for all to return
		s.mining.truth = func() unit.Watts { return 60_000 - s.miningTruth() }
		var n notes
		cfg := s.config()
		cfg.Meters, cfg.Audit, cfg.Journal = cfg.Meters[1:], n.take, mem.New()
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		c := s.commission(t.Context(), g, governor.Commissioning{Feeder: "f1", Limit: 4000}, nil)
		if c.err != nil || c.result == nil || len(c.groups) != 2 || len(c.findings) != 1 ||
			c.findings[0].Kind != governor.BadMeter || !strings.Contains(c.groups[0].Verdict, "opposite") {
			t.Fatalf("%+v, groups %+v, found %v, error %v", c.result, c.groups, c.findings, c.err)
		}
		stop()
		s.run(time.Second)
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		if h := headroom(t, g); !strings.Contains(h.Reason, "stopped: the meter is wrong: it is inverted") ||
			h.Command == "" || h.Firm != 0 {
			t.Errorf("after a restart: %+v", h)
		}
		list := n.of(audit.Commission)
		if got := states(list); got != "begun "+strings.Repeat("group ", 2)+"found stopped" {
			t.Fatalf("noted %q", got)
		}
		if b, f := list[0], list[3]; b.Left != 6 || b.Limit != 4000 || f.Worker != "" || !f.Warn ||
			!strings.HasPrefix(f.Text, "meter: feeder f1's meter: it is inverted") {
			t.Errorf("noted %+v and %+v", b, f)
		}
		if e := list[4]; e.Proven != 0 || e.Left != 6 || e.Found != 1 || e.Watts != 0 || !e.Warn ||
			!strings.Contains(e.Text, "the meter is wrong") {
			t.Errorf("noted at the end %+v", e)
		}
	})
}

// Ensure that machines whose step does not show are named all the same where nobody can tell whose fault it
// is, and that the groups in the log are what was seen of them.
func TestCommission_NotesEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 6)
		s.unproven()
		s.feeder.Limit = 100_000 // room for all to return
		s.devices[0].liar = true // its first group's; nobody is proven before
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		c := s.commission(t.Context(), g, governor.Commissioning{Feeder: "f1", Limit: 4000}, nil)
		if c.err != nil || !c.result.Done || len(c.findings) != 1 || c.findings[0].Worker != "a.w00" {
			t.Fatalf("%+v, found %v, error %v", c.result, c.findings, c.err)
		}
		list := n.of(audit.Commission)
		if got := states(list); strings.Count(got, "group") != 6 || strings.Count(got, "found") != 1 ||
			!strings.HasSuffix(got, "done") {
			t.Errorf("noted %q", got)
		}
		groups := 0
		for _, r := range list {
			if r.State != "group" {
				continue
			}
			was := c.groups[groups]
			groups++
			if r.Number != uint64(was.Number) || r.Ordered != was.Ordered || r.Freed != was.Metered ||
				r.Millis != was.Shed.Milliseconds() || r.Back != was.Return.Milliseconds() ||
				(r.Proven == 1) != was.Proven || !strings.HasSuffix(r.Text, fmt.Sprint(was.Workers[0])) {
				t.Errorf("noted %+v of %+v", r, was)
			}
		}
		if e := list[len(list)-1]; e.Proven != 5 || e.Left != 1 || e.Found != 1 || e.Watts <= 0 {
			t.Errorf("noted at the end %+v", e)
		}
	})
}

// Ensure that a commissioning which nobody listens to any more is told of and noted, and that headroom says
// that it was broken off.
func TestCommission_TellsWhenItIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.unproven()
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.commission(ctx, g, governor.Commissioning{Feeder: "f1", Limit: 8000}, func(c *commissioned) {
			if len(c.groups) == 1 {
				cancel()
			}
		})
		s.run(time.Minute)
		list := n.of(audit.Commission)
		if got := states(list); !strings.HasSuffix(got, "group broken off") {
			t.Errorf("noted %q", got)
		}
		if !eventWith(g, "broken off by whoever began it") || one(g).Curtailed > 0 {
			t.Errorf("events %+v, %d asleep", g.Events(0), one(g).Curtailed)
		}
		h := headroom(t, g)
		if !strings.HasPrefix(h.Reason, "its commissioning was broken off; ") || h.Command == "" {
			t.Errorf("headroom %+v", h)
		}
	})
}

// Ensure that prices are noted as what they are: the source and the price when they change, whom a price
// stops with what that saves, and a feed that is lost with why.
func TestGovernor_NotesPricesAndWhomTheyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.pausing()
		feed := &simFeed{}
		least, most := s.breakEvens()
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		cfg.Tariffs = map[fleet.SiteID]governor.Tariff{"s1": {
			Tariff: fleet.Tariff{Flat: 1}, Feed: feed, Every: 10 * time.Second, Stale: time.Minute,
		}}
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(time.Minute)
		feed.set((least+most)/2, nil)
		s.run(3 * time.Minute)
		asleep := len(s.sleeping())
		feed.set(0, errors.New("no answer"))
		s.run(5 * time.Minute)
		list := n.of(audit.Price)
		var at [4]int // of the states below
		for i, r := range list {
			if r.State == "feed" && r.Tariff != (least+most)/2 {
				continue
			}
			for j, state := range []string{"feed", "stops", "feed lost", "runs"} {
				if r.State == state && at[j] == 0 {
					at[j] = i
				}
			}
		}
		if at[0] == 0 || at[1] < at[0] || at[2] < at[1] || at[3] < at[2] {
			t.Fatalf("noted %q", states(list))
		}
		if r := list[at[0]]; r.Tariff != (least+most)/2 || r.Price != simHash || r.Feeder != "" {
			t.Errorf("noted of the feed %+v", r)
		}
		if r := list[at[1]]; r.Feeder != "f1" || r.Reduced != asleep || r.Freed < 1000 || r.Saved <= 0 ||
			r.Text == "" {
			t.Errorf("noted of %d that it stops %+v", asleep, r)
		}
		if r := list[at[2]]; r.Text == "" || !r.Warn {
			t.Errorf("noted of the lost feed %+v", r)
		}
		if r := list[at[3]]; r.Reduced != 0 || r.Freed != 0 {
			t.Errorf("noted of the return %+v", r)
		}
	})
}
