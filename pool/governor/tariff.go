package governor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// hashPriceKept is how long what a hash earned last counts while it is not known: machines that a price
	// has stopped must not all return because a node is away for a moment.
	hashPriceKept = time.Hour
	// feedTimeout bounds one question to a price feed.
	feedTimeout = 30 * time.Second
	// sayEvery is the least time between two events about prices, or about broken terms, of one feeder.
	sayEvery = time.Minute
)

// Tariff is what a site pays for power. A feed's price goes before the clock's; while the feed is lost
// the clock's counts, and that is said.
type Tariff struct {
	fleet.Tariff

	Feed   fleet.PriceFeed // nil: none
	Every  time.Duration   // between two questions to it; 0: a minute
	Stale  time.Duration   // how old its last answer may be; 0: ten minutes
	Stands time.Duration   // how long a price of its is expected to stand; 0: an hour
}

// PriceStatus is what power costs at a site now, and what that does.
type PriceStatus struct {
	Site      fleet.SiteID
	Known     bool      // a tariff is configured
	Price     unit.Msat // a kWh now
	Source    string    // for people: "flat", "time of use", "feed"
	Next      time.Time // when the clock's tariff changes; zero: never, or a feed tells
	NextPrice unit.Msat
	FeedAt    time.Time // of the feed's last answer; zero before the first
	FeedFault string    // why there is no newer one

	HashPrice float64    // msat a hash; 0: unknown, and nobody is stopped
	Running   int        // workers that the price lets run
	Stopped   int        // workers that it stops, claims or not; where nothing is ordered, that it would
	Freed     unit.Watts // by that
	Saved     unit.Msat  // msat an hour that this saves
	Models    []ModelPrice
	Workers   []pool.WorkerID // the stopped ones; by Prices only
}

// ModelPrice is at which price machines of a model stop earning.
type ModelPrice struct {
	Model       string
	Workers     int
	Stopped     int
	Least, Most unit.Msat // break-even of the worst and of the best of them, msat a kWh
}

// tariff is a site's with what its feed has said. The configuration is immutable, the rest guarded by mu.
type tariff struct {
	Tariff
	known bool

	quote     fleet.Quote
	fault     error
	lost      bool // it was said that the feed is lost
	price     unit.Msat
	source    string
	stands    time.Duration
	next      time.Time
	nextPrice unit.Msat
	nextFrom  time.Time // when next was found

	noted       unit.Msat // price that is in the log
	notedSource string
}

// validateTariffs lists every fault of the sites' tariffs and owners' terms.
func (c *Config) validateTariffs() error {
	var errs []error
	known := map[fleet.SiteID]bool{}
	for i := range c.Sites {
		known[c.Sites[i].ID] = true
	}
	for id, t := range c.Tariffs {
		if !known[id] {
			errs = append(errs, fmt.Errorf("tariff of site %q: no such site", id))
		}
		if err := t.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("tariff of site %q: %w", id, err))
		}
		for i, d := range []time.Duration{t.Every, t.Stale, t.Stands} {
			if d != 0 && (d < time.Second || d > day) {
				errs = append(errs, fmt.Errorf("tariff of site %q: %s is %v: 1s to 24h is accepted",
					id, [...]string{"every", "stale", "stands"}[i], d))
			}
		}
	}
	for account, o := range c.Owners {
		if err := o.validate(); err != nil {
			errs = append(errs, fmt.Errorf("terms of owner %q: %w", account, err))
		}
	}
	return errors.Join(errs...)
}

func newTariff(t Tariff, known bool) tariff {
	t.Every = cmp.Or(t.Every, time.Minute)
	t.Stale = cmp.Or(t.Stale, 10*time.Minute)
	t.Stands = cmp.Or(t.Stands, time.Hour)
	return tariff{Tariff: t, known: known}
}

// askPrices asks a site's feed now and then, until ctx ends.
func (g *Governor) askPrices(ctx context.Context, st *site) {
	tick := time.NewTicker(st.tariff.Every)
	defer tick.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, feedTimeout)
		q, err := st.tariff.Feed.Price(call)
		cancel()
		if err == nil && (q.Price > fleet.MaxTariff || q.Price < -fleet.MaxTariff) {
			err = fmt.Errorf("price is %d msat a kWh: up to %d either way is accepted",
				int64(q.Price), int64(fleet.MaxTariff))
		}
		g.mu.Lock()
		st.tariff.fault = err
		if err == nil {
			st.tariff.quote = q
		}
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookAtPrices finds what power costs at every site now, and what a hash earns.
func (g *Governor) lookAtPrices(now time.Time) {
	if p := g.price(); p > 0 {
		g.hashPrice, g.hashPriceAt = p, now
	} else if now.Sub(g.hashPriceAt) > hashPriceKept {
		g.hashPrice = 0
	}
	for _, st := range g.sites {
		if st.tariff.known {
			g.lookAtPrice(st, now)
			g.notePrice(st, now)
		}
	}
}

// notePrice writes a new price down.
func (g *Governor) notePrice(st *site, now time.Time) {
	t := &st.tariff
	if t.price == t.noted && t.source == t.notedSource {
		return
	}
	t.noted, t.notedSource = t.price, t.source
	g.note(audit.Record{
		At: now, Kind: audit.Price, Site: st.ID, State: t.source, Tariff: t.price, Price: g.hashPrice,
	})
}

// noteStopped writes down how many workers of a feeder the price stops now, and what that comes to.
func (g *Governor) noteStopped(f *feeder, now time.Time) {
	r := audit.Record{
		At: now, Kind: audit.Price, Site: f.Site, Feeder: f.ID, State: "runs", Reduced: len(f.plan.Stopped),
		Tariff: f.site.tariff.price, Price: g.hashPrice, Saved: f.plan.Saved, Text: someOf(f.plan.Stopped),
	}
	for _, id := range f.plan.Stopped {
		w := g.byWorker[id]
		r.State, r.Freed = "stops", r.Freed+w.full()-w.want.Watts
	}
	g.note(r)
}

func (g *Governor) lookAtPrice(st *site, now time.Time) {
	t := &st.tariff
	fresh := !t.quote.At.IsZero() && now.Sub(t.quote.At) <= t.Stale
	if t.Feed == nil || !fresh {
		t.readClock(st.Zone, now)
	}
	switch {
	case t.Feed == nil:
	case fresh:
		t.price, t.source, t.stands = t.quote.Price, "feed", t.Stands
		if t.lost {
			t.lost = false
			g.event(now, Event{Site: st.ID, Message: "the price feed is back: it says " + kwhPrice(t.price)})
		}
	case !t.lost && !(t.quote.At.IsZero() && now.Sub(g.started) <= t.Stale):
		t.lost = true
		g.note(audit.Record{
			At: now, Kind: audit.Price, Site: st.ID, State: "feed lost", Text: t.words(now), Read: t.quote.At,
			Tariff: t.price, Price: g.hashPrice, Warn: true,
		})
		g.event(now, Event{Level: Warn, Site: st.ID, Message: fmt.Sprintf(
			"the price feed is lost (%s): the tariff's %s counts, %s", t.words(now), t.source,
			kwhPrice(t.price))})
	}
}

// readClock takes the price by the clock on the wall, and when it changes.
func (t *tariff) readClock(zone *time.Location, now time.Time) {
	over := !t.next.IsZero() && !now.Before(t.next)
	if t.nextFrom.IsZero() || over || now.Before(t.nextFrom) || now.Sub(t.nextFrom) > day {
		t.next, t.nextPrice = t.Tariff.Next(now, zone)
		t.nextFrom = now
	}
	t.price, t.source = t.At(now, zone), "flat"
	if len(t.Windows) > 0 {
		t.source = "time of use"
	}
	t.stands = day
	if !t.next.IsZero() {
		t.stands = max(t.next.Sub(now), time.Minute)
	}
}

// words is why the feed does not count.
func (t *tariff) words(now time.Time) string {
	switch {
	case t.fault != nil:
		return t.fault.Error()
	case t.quote.At.IsZero():
		return "it has said nothing yet"
	}
	return fmt.Sprintf("its last price is %v old", now.Sub(t.quote.At).Round(time.Second))
}

func kwhPrice(m unit.Msat) string { return m.String() + " a kWh" }

// notePrices tells people who is stopped by the price, and whose terms the limit breaks.
func (g *Governor) notePrices(f *feeder, now time.Time) {
	if f.arm != fleet.Act || f.site.stop != nil || !g.returned.done {
		return
	}
	p := &f.plan
	if n := len(p.Stopped); n != f.saidStopped && now.Sub(f.saidStoppedAt) >= sayEvery {
		f.saidStopped, f.saidStoppedAt = n, now
		m := fmt.Sprintf("power costs %s: everybody earns more", kwhPrice(f.site.tariff.price))
		if n > 0 {
			m = fmt.Sprintf("power costs %s: %d of %d workers earn less and stop, which saves %v an hour",
				kwhPrice(f.site.tariff.price), n, len(f.workers), p.Saved)
		}
		g.event(now, Event{Feeder: f.ID, Message: m})
		g.noteStopped(f, now)
	}
	if n := len(p.Broken); n != f.saidBroken && now.Sub(f.saidBrokenAt) >= sayEvery {
		f.saidBroken, f.saidBrokenAt = n, now
		if n > 0 {
			g.event(now, Event{Level: Warn, Feeder: f.ID, Worker: p.Broken[0], Message: fmt.Sprintf(
				"the limit breaks owners' terms of %s: nobody else is left to give way", someOf(p.Broken))})
		} else {
			g.event(now, Event{Feeder: f.ID, Message: "owners' terms are kept again"})
		}
	}
	cold := f.Heat > 0 && p.Planned < f.Heat
	if cold != f.saidCold {
		f.saidCold = cold
		if cold {
			g.event(now, Event{Level: Warn, Feeder: f.ID, Message: fmt.Sprintf(
				"the limit leaves %v of mining for heat, %v are to be kept", p.Planned, f.Heat)})
		} else {
			g.event(now, Event{Feeder: f.ID, Message: "the least heat is kept again"})
		}
	}
}

// someOf names a few workers.
func someOf(ids []pool.WorkerID) string {
	s := ""
	for i, id := range ids {
		if i == 5 {
			return s + fmt.Sprintf(" and %d more", len(ids)-i)
		}
		if i > 0 {
			s += ", "
		}
		s += string(id)
	}
	return s
}

// Prices is what power costs at every site and what that does, with models and who is stopped.
func (g *Governor) Prices() []PriceStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]PriceStatus, 0, len(g.sites))
	for _, st := range g.sites {
		s := g.priceStatus(st)
		stopped := make(map[pool.WorkerID]bool, s.Stopped)
		for _, f := range st.feeders {
			s.Workers = append(s.Workers, f.plan.Stopped...)
		}
		for _, id := range s.Workers {
			stopped[id] = true
		}
		s.Models = g.modelPrices(st, stopped)
		out = append(out, s)
	}
	return out
}

// priceStatus is the sums alone.
func (g *Governor) priceStatus(st *site) PriceStatus {
	t := &st.tariff
	s := PriceStatus{
		Site: st.ID, Known: t.known, Price: t.price, Source: t.source, FeedAt: t.quote.At,
		HashPrice: g.hashPrice,
	}
	if t.known && t.source != "feed" {
		s.Next, s.NextPrice = t.next, t.nextPrice
	}
	if t.Feed != nil && t.source != "feed" {
		s.FeedFault = t.words(time.Now())
	}
	for _, f := range st.feeders {
		s.Stopped += len(f.plan.Stopped)
		s.Running += len(f.workers) - len(f.plan.Stopped)
		s.Saved += f.plan.Saved
		for _, id := range f.plan.Stopped {
			w := g.byWorker[id]
			s.Freed += w.full() - w.want.Watts
		}
	}
	return s
}

func (g *Governor) modelPrices(st *site, stopped map[pool.WorkerID]bool) []ModelPrice {
	byModel := map[string]*ModelPrice{}
	for _, f := range st.feeders {
		for _, w := range f.workers {
			even := w.BreakEven(g.hashPrice)
			m := byModel[w.Model]
			if m == nil {
				m = &ModelPrice{Model: w.Model, Least: even, Most: even}
				byModel[w.Model] = m
			}
			m.Workers++
			if stopped[w.ID] {
				m.Stopped++
			}
			m.Least, m.Most = min(m.Least, even), max(m.Most, even)
		}
	}
	out := make([]ModelPrice, 0, len(byModel))
	for _, m := range byModel {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b ModelPrice) int {
		return cmp.Or(cmp.Compare(a.Least, b.Least), cmp.Compare(a.Model, b.Model))
	})
	return out
}
