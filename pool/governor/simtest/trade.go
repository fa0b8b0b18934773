package simtest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// middling is what a kWh costs in the long run: old machines stop at a little more, new ones at twice that.
const middling = 50_000 * unit.Msat(1)

// feed is the price of power at a site: it wanders, and its source is away now and then. It is guarded by the
// world's mu.
type feed struct {
	w     *world
	rng   *rand.Rand
	price float64
	away  bool
	moved time.Time
}

var (
	_        fleet.PriceFeed = (*feed)(nil)
	errPrice                 = errors.New("price feed does not answer")
)

// Price implements fleet.PriceFeed.
func (f *feed) Price(context.Context) (fleet.Quote, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.away {
		return fleet.Quote{}, errPrice
	}
	return fleet.Quote{Price: unit.Msat(f.price), At: time.Now()}, nil
}

// move lets the price wander.
func (f *feed) move() {
	f.away, f.moved = f.rng.Float64() < 0.05, time.Now()
	f.price *= math.Exp(0.15*f.rng.NormFloat64() + 0.1*math.Log(float64(middling)/f.price))
	f.w.in(5*time.Minute+time.Duration(f.rng.IntN(1e9)), f.move)
}

// tariffs are what sites pay: every other one by a feed, the rest by the clock.
func (w *world) tariffs() map[fleet.SiteID]governor.Tariff {
	all := map[fleet.SiteID]governor.Tariff{}
	for _, s := range w.sites {
		t := governor.Tariff{Tariff: fleet.Tariff{Flat: middling, Windows: []fleet.TariffWindow{{
			Days: [7]bool{true, true, true, true, true, true, true},
			From: 17 * 60, Until: 21 * 60, Price: 2 * middling,
		}}}}
		if s.fed() {
			// Beside the instants at which everything else is looked at.
			t.Feed, t.Every = s.feed, time.Minute+7654321*time.Nanosecond
		}
		all[s.ID] = t
	}
	return all
}

// fed says that the site's price comes from a feed.
func (s *site) fed() bool { return (s.ID[len(s.ID)-1]-'0')%2 == 0 }

// curtailEvery is the mean time between two curtailments of a site by its operator.
const curtailEvery = 2 * time.Hour

// provenIn is after how long a curtailment must show, if nothing else has happened on its site meanwhile.
const provenIn = 6 * time.Minute

// back is how long machines may still be returning from what was there before: the slowest take 20 minutes
// from their order on.
const back = 25 * time.Minute

// curtails has a site's operator curtail it now and then.
func (w *world) curtails(s *site) {
	w.in(time.Duration(s.rng.ExpFloat64()*float64(curtailEvery)), func() {
		if !w.server.dead {
			w.curtail(s)
		}
		w.curtails(s)
	})
}

func (s *site) mining() (sum float64) {
	for _, f := range s.feeders {
		sum += f.mining
	}
	return sum
}

// curtail orders a curtailment, and holds it against the truth later.
func (w *world) curtail(s *site) {
	share, span := 0.05+0.1*s.rng.Float64(), time.Duration(10+s.rng.IntN(30))*time.Minute
	w.orders = append(w.orders, func(g *governor.Governor) {
		w.mu.Lock()
		now, before, stopped := time.Now(), s.mining(), s.stopped
		wish := before * share
		w.mu.Unlock()
		if wish < 1 {
			return // nobody mines
		}
		ctx, hangUp := context.WithCancel(context.Background())
		err := g.Curtail(ctx, governor.Curtailment{Site: s.ID, Watts: unit.Watts(wish), For: span},
			func(governor.CurtailUpdate) error { hangUp(); return nil })
		hangUp()
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case errors.Is(err, context.Canceled):
		case errors.Is(err, governor.ErrShort), errors.Is(err, governor.ErrEarly):
			return
		default:
			w.fault("curtail", "site %s: curtailing %.0f W: %v", s.ID, wish, err)
			return
		}
		w.result.Curtailments++
		w.at(now.Add(provenIn), func() { w.judgeCurtailment(s, now, before, wish, stopped) })
	})
}

// judgeCurtailment holds what was freed against what was wished.
func (w *world) judgeCurtailment(s *site, since time.Time, before, wish float64, stopped int) {
	tolerance := wish / 50
	for _, f := range s.feeders {
		tolerance += f.tolerance()
		if f.blame(time.Now()) != "" || f.turned.After(since.Add(-back)) {
			return
		}
	}
	evening := time.Now().Hour() == 21 // power has just become cheaper
	quiet := since.Add(-back)          // from here on nothing else may have moved
	moved := s.feed.moved.After(quiet) || s.failing.After(quiet) || evening
	if w.server.dead || moved || w.crashed.After(quiet) {
		return
	}
	if freed := before - s.mining(); freed < wish-tolerance {
		w.fault("curtailed", "site %s: %.0f W of %.0f W are freed %v after the order: %.0f W less are "+
			"accepted; the price stopped %d workers then, %d now", s.ID, freed, wish, provenIn, tolerance,
			stopped, s.stopped)
		return
	}
	w.result.Curtailed++
}

// stoppedByPrice counts workers that the price stops now.
func (w *world) stoppedByPrice(g *governor.Governor) {
	prices := g.Prices()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, p := range prices {
		n += p.Stopped
		for _, s := range w.sites {
			if s.ID == p.Site {
				s.stopped = p.Stopped
			}
		}
	}
	w.result.Stopped = max(w.result.Stopped, n)
}
