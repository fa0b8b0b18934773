package governor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Owners of the machines of a story of terms, and what a kWh costs by day and in the evening.
const (
	storyCycles = 2
	storyHours  = 2 * time.Hour
	storyLeast  = 8
	storyFlat   = 5
	storyDear   = 12
)

// evening says that power is dear.
func evening(at time.Time) bool { h := at.UTC().Hour(); return h >= 17 && h < 21 }

// owned is a fleet of four owners with terms of their own: none, pauses a day, hours a month, a least price.
func owned(t *testing.T, seed uint64) (*sim, governor.Config) {
	t.Helper()
	s := newSim(t, 24)
	accounts := []string{"free", "cycles", "hours", "price"}
	for i, d := range s.devices {
		s.disconnect(d)
		d.worker.ID = pool.WorkerID(fmt.Sprintf("%s.w%02d", accounts[i%4], i))
		d.worker.MinRun, d.worker.MinOff = 10*time.Minute, 5*time.Minute
		s.connect(d)
	}
	for _, m := range []*simMeter{s.total, s.mining, s.tenant} {
		m.plain = true // its counter is for looks in every twentieth of a second
	}
	cfg := s.config()
	cfg.Journal, cfg.Tick, cfg.MeterEvery, cfg.Stale = mem.New(), 5*time.Second, 5*time.Second, 15*time.Second
	cfg.Owners = map[string]governor.Owner{
		"cycles": {Cycles: storyCycles}, "hours": {Hours: storyHours}, "price": {Least: storyLeast},
	}
	cfg.Tariffs = map[fleet.SiteID]governor.Tariff{"s1": {Tariff: fleet.Tariff{
		Flat: storyFlat, Windows: []fleet.TariffWindow{{
			Days: [7]bool{true, true, true, true, true, true, true},
			From: 17 * 60, Until: 21 * 60, Price: storyDear,
		}},
	}}}
	cfg.Term = uint32(seed) + 1
	return s, cfg
}

// broken counts anew, from the orders that a machine has taken alone, which of its owner's terms they break.
// A machine may be reduced for a while longer than it may: returns have a ramp.
func broken(d *device, until time.Time) (faults []string) {
	const late = 10 * time.Minute
	account, _, _ := strings.Cut(string(d.worker.ID), ".")
	var pauses []time.Time
	used := map[time.Month]time.Duration{}
	mode := fleet.Free
	for i, o := range d.set {
		at, end := d.setAt[i], until
		if i+1 < len(d.set) {
			end = d.setAt[i+1]
		}
		if o.Mode == fleet.Paused && mode != fleet.Paused {
			pauses = append(pauses, at)
			n := len(pauses) - 1 - storyCycles
			const day = 24*time.Hour - 10*time.Second // orders take a while
			if account == "cycles" && n >= 0 && at.Sub(pauses[n]) < day {
				faults = append(faults, fmt.Sprintf("pause %d within 24 h at %v", storyCycles+1, at))
			}
		}
		if o.Mode != fleet.Free && account == "price" {
			if mode == fleet.Free && !evening(at) || !evening(end.Add(-late)) && end.Sub(at) > late {
				faults = append(faults, fmt.Sprintf("reduced while power is cheap, %v to %v", at, end))
			}
		}
		for o.Mode != fleet.Free && at.Before(end) { // by the month of each of its parts
			next := at.AddDate(0, 1, -at.Day()+1).Truncate(24 * time.Hour)
			part := min(next.Sub(at), end.Sub(at))
			used[at.Month()] += part
			at = at.Add(part)
		}
		mode = o.Mode
	}
	for m, span := range used {
		if account == "hours" && span > storyHours+late {
			faults = append(faults, fmt.Sprintf("reduced for %v in %v", span, m))
		}
	}
	return faults
}

// Ensure that over days of curtailments, dear evenings, restarts and the end of a month no machine is ever
// reduced against its owner's terms, by a count of its orders alone, and that each of them binds.
func TestGovernor_KeepsOwnersTermsOverDays(t *testing.T) {
	for seed := range uint64(testSeeds(3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 31))
				const nearly = 29 * 24 * time.Hour // of January: it ends meanwhile
				time.Sleep(nearly + time.Duration(r.IntN(24))*time.Hour)
				s, cfg := owned(t, seed)
				g, stop := s.start(cfg)
				setCaps(t, g, 1)
				end := time.Now().Add(3 * 24 * time.Hour)
				order, crash := time.Now().Add(time.Minute), time.Now().Add(8*time.Hour)
				for i := 0; time.Now().Before(end); i++ {
					time.Sleep(5 * time.Second)
					s.look(time.Now(), 20*i)
					if now := time.Now(); now.After(order) {
						span := time.Duration(5+r.IntN(60)) * time.Minute
						order = now.Add(span + time.Duration(5+r.IntN(60))*time.Minute)
						wished(t, g, s.fullMining()*unit.Watts(5+r.IntN(55))/100, span)
					}
					if now := time.Now(); now.After(crash) {
						crash = now.Add(time.Duration(4+r.IntN(12)) * time.Hour)
						stop()
						cfg.Term++
						g, stop = s.start(cfg)
						setCaps(t, g, 1)
					}
				}
				stop()
				most := map[string]time.Duration{}
				for _, d := range s.devices {
					for _, fault := range broken(d, end) {
						t.Errorf("%s: %s", d.worker.ID, fault)
					}
					account, _, _ := strings.Cut(string(d.worker.ID), ".")
					most[account] = max(most[account], reducedFor(d, end))
				}
				t.Logf("reduced for, at most: %v", most)
				for account, span := range most {
					if span == 0 || account != "free" && span > most["free"]*97/100 {
						t.Errorf("%s: reduced for %v, with no terms for %v: they do not bind",
							account, span, most["free"])
					}
				}
			})
		})
	}
}

// wished has an operator ask for watts, whoever is left to give way.
func wished(t *testing.T, g *governor.Governor, watts unit.Watts, span time.Duration) {
	t.Helper()
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	err := g.Curtail(ctx, governor.Curtailment{Site: "s1", Watts: watts, For: span},
		func(governor.CurtailUpdate) error { hangUp(); return nil })
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, governor.ErrShort) &&
		!errors.Is(err, governor.ErrEarly) {
		t.Error(err)
	}
}

// reducedFor is how long a machine was told to be reduced.
func reducedFor(d *device, until time.Time) (sum time.Duration) {
	for i, o := range d.set {
		end := until
		if i+1 < len(d.set) {
			end = d.setAt[i+1]
		}
		if o.Mode != fleet.Free {
			sum += end.Sub(d.setAt[i])
		}
	}
	return sum
}
