package governor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// simFeed says what it is told to, or nothing.
type simFeed struct {
	mu    sync.Mutex
	price unit.Msat
	fault error
}

func (f *simFeed) set(price unit.Msat, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.price, f.fault = price, fault
}

func (f *simFeed) Price(context.Context) (fleet.Quote, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fleet.Quote{Price: f.price, At: time.Now()}, f.fault
}

// sleeping are the machines that draw no more than they do asleep, by truth.
func (s *sim) sleeping() map[pool.WorkerID]bool {
	out := map[pool.WorkerID]bool{}
	for _, d := range s.devices {
		d.mu.Lock()
		if d.draws <= d.worker.Sleep {
			out[d.worker.ID] = true
		}
		d.mu.Unlock()
	}
	return out
}

// stops are the machines that a price should stop: those below it by more than 3 %. Machines only pause here.
func (s *sim) pausing() {
	for _, d := range s.devices {
		d.capability.CanCap = false
	}
}

const simHash = 5e-13 // msat that a hash earns

func (s *sim) wantAsleep(what string, price unit.Msat) {
	s.t.Helper()
	asleep := s.sleeping()
	for _, d := range s.devices {
		want := float64(price)*0.97 > float64(d.worker.BreakEven(simHash))
		if asleep[d.worker.ID] != want {
			s.t.Errorf("%s: %s with a break-even of %v asleep: %t", what, d.worker.Model,
				d.worker.BreakEven(simHash), !want)
		}
	}
}

// breakEvens are the least and the most of the fleet.
func (s *sim) breakEvens() (least, most unit.Msat) {
	least = 1e18
	for _, d := range s.devices {
		even := d.worker.BreakEven(simHash)
		least, most = min(least, even), max(most, even)
	}
	return least, most
}

func eventWith(g *governor.Governor, text string) bool {
	for _, e := range g.Events(0) {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// Ensure that machines whose power costs more than they earn stop by themselves, that they stay as they are
// within the hysteresis, that they return when power is cheap, that a lost feed leaves the clock's tariff in
// force and is said, and that a tenant's lease keeps its watts through all of it.
func TestGovernor_StopsBelowBreakEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		s.pausing()
		feed := &simFeed{}
		cfg := s.config()
		least, most := s.breakEvens()
		middle := (least + most) / 2
		cfg.Tariffs = map[fleet.SiteID]governor.Tariff{"s1": {
			Tariff: fleet.Tariff{Flat: 1}, Feed: feed, Every: 10 * time.Second, Stale: time.Minute,
		}}
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		s.run(time.Minute)
		s.wantAsleep("free power", 0)

		feed.set(middle, nil)
		s.until("a stop by price", 40*time.Second, func() bool { return len(s.sleeping()) > 0 })
		s.run(20 * time.Second)
		s.wantAsleep("dear power", middle)
		stopped := len(s.sleeping())
		p := g.Prices()[0]
		if p.Price != middle || p.Source != "feed" || p.Stopped != stopped || len(p.Workers) != stopped ||
			p.Saved <= 0 || p.Freed <= 0 || len(p.Models) == 0 || p.Models[0].Stopped == 0 {
			t.Errorf("prices %+v with %d asleep", p, stopped)
		}
		if !eventWith(g, "earn less and stop") {
			t.Error("nobody was told")
		}

		writes := s.writes()
		for range 10 { // a price that shakes by 2 %
			feed.set(middle*98/100, nil)
			s.run(30 * time.Second)
			feed.set(middle*102/100, nil)
			s.run(30 * time.Second)
		}
		if n := s.writes() - writes; n > stopped*30*10+2 { // refreshes of the dead man only
			t.Errorf("%d orders while the price shook", n)
		}
		asleep := s.sleeping()

		start := time.Now()
		setCaps(t, g, 2, lease("l1", 30_000, start, 20*time.Minute))
		s.policy = func(time.Time) unit.Watts {
			if s.proofs(g); s.proof["l1"].Free && !s.proof["l1"].Gone {
				return 30_000
			}
			return 0
		}
		s.until("the lease's proof", time.Minute, func() bool { return s.drawn > 0 })
		now := s.sleeping()
		for id := range asleep {
			if !now[id] {
				t.Errorf("%s mines at a loss while a lease needs watts", id)
			}
		}
		feed.set(0, errors.New("no answer"))
		s.run(3 * time.Minute)
		if !eventWith(g, "price feed is lost (no answer): the tariff's flat counts") {
			t.Errorf("a lost feed was not said: %+v", g.Events(0))
		}
		if g.Prices()[0].FeedFault != "no answer" || g.Prices()[0].Price != 1 {
			t.Errorf("prices %+v", g.Prices()[0])
		}
		s.run(5 * time.Minute)
		if s.drawn == 0 || len(s.sleeping()) >= len(now) && stopped > 12 {
			t.Errorf("the tenant draws %v, %d asleep", s.drawn, len(s.sleeping()))
		}
		feed.set(most*2, nil)
		s.run(2 * time.Minute)
		if !eventWith(g, "feed is back") || len(s.sleeping()) != len(s.devices) || s.drawn == 0 {
			t.Errorf("%d asleep at twice the best's break-even, tenant draws %v", len(s.sleeping()), s.drawn)
		}
		s.neverOver()
	})
}

// Ensure that the clock's windows stop and start machines to the minute, and that a hash price that is away
// for a moment lets nobody return.
func TestGovernor_FollowsTimeOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.pausing()
		cfg := s.config()
		_, most := s.breakEvens()
		days := [7]bool{true, true, true, true, true, true, true}
		cfg.Tariffs = map[fleet.SiteID]governor.Tariff{"s1": {Tariff: fleet.Tariff{
			Windows: []fleet.TariffWindow{{Days: days, From: 30, Until: 60, Price: 2 * most}},
		}}}
		var mu sync.Mutex
		hash := simHash
		cfg.MsatPerHash = func() float64 { mu.Lock(); defer mu.Unlock(); return hash }
		var noted []audit.Record
		cfg.Audit = func(r audit.Record) {
			if r.Kind == audit.Price && r.Feeder == "" {
				noted = append(noted, r)
			}
		}
		g, stop := s.start(cfg)
		defer stop()
		setCaps(t, g, 1)
		midnight := time.Now().UTC().Truncate(24 * time.Hour)
		s.run(30*time.Minute - 2*time.Second - time.Since(midnight))
		if p := g.Prices()[0]; len(s.sleeping()) > 0 || !p.Next.Equal(midnight.Add(30*time.Minute)) ||
			p.NextPrice != 2*most {
			t.Errorf("%d asleep before the window, next %v", len(s.sleeping()), p.Next)
		}
		s.run(30 * time.Second)
		if n := len(s.sleeping()); n != len(s.devices) {
			t.Errorf("%d of %d asleep in the window", n, len(s.devices))
		}
		mu.Lock()
		hash = 0
		mu.Unlock()
		s.run(10 * time.Minute)
		if n := len(s.sleeping()); n != len(s.devices) {
			t.Errorf("%d of %d asleep while the price of a hash is away", n, len(s.devices))
		}
		s.run(time.Hour - time.Since(midnight) - time.Second)
		mu.Lock()
		hash = simHash
		mu.Unlock()
		if n := len(s.sleeping()); n != len(s.devices) {
			t.Errorf("%d of %d asleep at the end of the window", n, len(s.devices))
		}
		s.until("all to return", 3*time.Minute, func() bool { return len(s.sleeping()) == 0 })
		stop()
		if len(noted) != 3 || noted[1].Tariff != 2*most || noted[2].Tariff != 0 || noted[1].Price != simHash {
			t.Errorf("noted %+v", noted)
		}
		s.neverOver()
	})
}

// Ensure that owners' terms hold against price and leases: kept machines, must-run ones, hours of a month and
// cycles of a day over a restart, the least price; that capacity counts what they allow; and that the limit
// breaks them by name.
func TestGovernor_KeepsOwnersTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.pausing()
		cfg := s.config()
		cfg.Journal = mem.New()
		_, most := s.breakEvens()
		feed := &simFeed{price: 2 * most}
		cfg.Tariffs = map[fleet.SiteID]governor.Tariff{"s1": {Feed: feed, Every: time.Second}}
		for i := range cfg.Workers {
			account := map[int]string{0: "kept", 1: "hours", 2: "cycles", 3: "dear"}[i]
			if account == "" {
				continue
			}
			d := s.devices[i]
			s.disconnect(d)
			d.worker.ID = pool.WorkerID(account + ".w")
			cfg.Workers[i].ID = d.worker.ID
			s.connect(d)
		}
		cfg.Workers[4].MustRun = true
		run := cfg.Workers[4].ID
		cfg.Owners = map[string]governor.Owner{
			"kept": {Kept: true}, "hours": {Hours: 30 * time.Minute}, "cycles": {Cycles: 2},
			"dear": {Least: 4 * most},
		}
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		check := func(what string, awake ...pool.WorkerID) {
			t.Helper()
			asleep := s.sleeping()
			for _, id := range awake {
				if asleep[id] {
					t.Errorf("%s: %s is asleep", what, id)
				}
			}
			if n := len(s.devices) - len(asleep); n != len(awake) {
				t.Errorf("%s: %d awake, want %v", what, n, awake)
			}
		}
		s.run(time.Minute)
		check("dear power", "kept.w", run, "dear.w")
		awake := unit.Watts(0)
		for _, i := range []int{0, 3, 4} {
			awake += s.devices[i].worker.Curve.Full().Watts
		}
		s.run(20 * time.Minute)
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		setCaps(t, g, 2)
		s.run(15 * time.Minute)
		check("the hours of the month are used up", "kept.w", run, "dear.w", "hours.w")

		feed.set(5*most, nil)
		s.run(time.Minute)
		check("the least price is reached", "kept.w", run, "hours.w")
		for range 2 {
			feed.set(0, nil)
			s.run(3 * time.Minute)
			if n := len(s.sleeping()); n > 0 {
				t.Errorf("%d asleep with free power", n)
			}
			feed.set(5*most, nil)
			s.run(2 * time.Minute)
		}
		check("two cycles are used up", "kept.w", run, "hours.w", "cycles.w")
		stop()
		cfg.Term = 3
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 3)
		s.run(3 * time.Minute)
		check("after another restart", "kept.w", run, "hours.w", "cycles.w")

		if _, err := g.SetLimit(t.Context(), governor.Limit{
			Site: "s1", Watts: s.base + awake/3, Until: time.Now().Add(time.Hour),
		}); err != nil {
			t.Fatal(err)
		}
		s.run(2 * time.Minute)
		if s.truth() > s.base+awake/3 || !eventWith(g, "the limit breaks owners' terms of") {
			t.Errorf("%v drawn under a limit of %v, events %+v", s.truth(), s.base+awake/3, g.Events(0))
		}
		s.neverOver()
	})
}

// Ensure that capacity for tenants counts only what terms allow and leaves the least heat.
func TestGovernor_SellsWhatTermsAllow(t *testing.T) {
	firm := func(change func(*governor.Config)) (firm unit.Watts) {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 10)
			cfg := s.config()
			change(&cfg)
			g, stop := s.start(cfg)
			defer stop()
			setCaps(t, g, 1)
			s.run(30 * time.Second)
			cs, err := g.Capacity(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			firm = cs[0].Firm
		})
		return firm
	}
	all := firm(func(*governor.Config) {})
	for name, change := range map[string]func(*governor.Config){
		"kept":     func(c *governor.Config) { c.Owners = map[string]governor.Owner{"a": {Kept: true}} },
		"too dear": func(c *governor.Config) { c.Owners = map[string]governor.Owner{"a": {Least: 10}} },
		"must run": func(c *governor.Config) {
			for i := range c.Workers {
				c.Workers[i].MustRun = true
			}
		},
	} {
		if got := firm(change); got > all/10 {
			t.Errorf("%s: %v is sold, %v without", name, got, all)
		}
	}
	paid := firm(func(c *governor.Config) {
		c.Owners, c.LeasePrice = map[string]governor.Owner{"a": {Least: 10}}, 10
	})
	heat := firm(func(c *governor.Config) { c.Sites[0].Feeders[0].Heat = 10_000 })
	if paid != all || heat >= all-8_000 {
		t.Errorf("%v sold, %v for the least price, %v with 10 kW of heat", all, paid, heat)
	}
}

// Ensure that a worker pinned at run time returns while a lease holds, that others make room for it, that the
// pin survives a restart, and that it can be taken off.
func TestGovernor_PinsAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.pausing()
		cfg := s.config()
		cfg.Journal = mem.New()
		g, stop := s.start(cfg)
		start := time.Now().Add(time.Minute)
		setCaps(t, g, 1, lease("l1", 20_000, start, time.Hour))
		s.policy = func(time.Time) unit.Watts {
			if s.proofs(g); s.proof["l1"].Free {
				return 20_000
			}
			return 0
		}
		s.until("the lease", 2*time.Minute, func() bool { return s.drawn > 0 })
		var id pool.WorkerID
		for id = range s.sleeping() {
			break
		}
		if err := g.SetPin(t.Context(), id, true); err != nil {
			t.Fatal(err)
		}
		s.until("the pinned worker to return", time.Minute, func() bool { return !s.sleeping()[id] })
		stop()
		cfg.Term = 2
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 2, lease("l1", 20_000, start, time.Hour))
		s.run(2 * time.Minute)
		ps := g.Pins()
		if len(ps) != 1 || ps[0].Worker != id || !ps[0].ByHand || s.sleeping()[id] || s.drawn == 0 {
			t.Errorf("pins %+v, asleep %t, tenant draws %v", ps, s.sleeping()[id], s.drawn)
		}
		if err := g.SetPin(t.Context(), id, false); err != nil || len(g.Pins()) > 0 {
			t.Errorf("unpinning: %v, pins %+v", err, g.Pins())
		}
		if err := g.SetPin(t.Context(), id, false); !errors.Is(err, governor.ErrState) {
			t.Errorf("unpinning again: %v", err)
		}
		if err := g.SetPin(t.Context(), "a.none", true); !errors.Is(err, governor.ErrUnknown) {
			t.Errorf("pinning nobody: %v", err)
		}
		s.neverOver()
	})
}
