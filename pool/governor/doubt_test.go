package governor_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// crooked is a fleet under a lease of which some machines say that they sleep and draw on. Their shares tell
// nothing: they mine elsewhere.
type crooked struct {
	*sim
	g      *governor.Governor
	claim  unit.Watts
	size   unit.Watts // of the largest machine
	liars  map[pool.WorkerID]bool
	before unit.Watts // mining before the newest trial
	spared unit.Watts // that gave way for a trial, at most
	named  map[pool.WorkerID]time.Duration
	wrong  map[pool.WorkerID]bool
}

// newCrooked is a random fleet with some liars, whose curves and meters are a little off.
func newCrooked(t *testing.T, seed uint64) *crooked {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	c := &crooked{
		sim: newSim(t, 15+r.IntN(26)), liars: map[pool.WorkerID]bool{},
		named: map[pool.WorkerID]time.Duration{}, wrong: map[pool.WorkerID]bool{},
	}
	for i, d := range c.devices {
		d.shed = time.Duration(500+r.IntN(3500)) * time.Millisecond
		d.wake = time.Duration(2000+r.IntN(10_000)) * time.Millisecond
		d.factor, d.noise = 0.98+0.03*r.Float64(), 0.01*r.Float64()
		d.phase = 40 * r.Float64()
		d.capability.ShedIn, d.capability.ReturnIn = d.shed, d.wake
		d.step(time.Now())
		d.draws = d.factored(d.draws)
		d.next = d.draws
		c.size = max(c.size, d.worker.Curve.Full().Watts)
		if i < 1+int(seed%4) {
			d.liar = true
			c.liars[d.worker.ID] = true
		}
	}
	r.Shuffle(len(c.devices), func(i, j int) { c.devices[i], c.devices[j] = c.devices[j], c.devices[i] })
	c.claim = c.fullMining() * unit.Watts(15+r.IntN(25)) / 100
	return c
}

// hidden is what liars who are not named draw and say that they do not.
func (c *crooked) hidden() (sum unit.Watts) {
	for _, d := range c.devices {
		o := d.orders()
		if _, known := c.named[d.worker.ID]; d.liar && !known && len(o) > 0 {
			sum += d.worker.Curve.Full().Watts - o[len(o)-1].Watts
		}
	}
	return sum
}

// watch lets time pass and notes who is named, and by how much too much is free.
func (c *crooked) watch(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
		c.run(time.Second)
		tried := false
		for _, w := range one(c.g).Workers {
			tried = tried || w.State == "on trial"
			if w.Lying && !c.liars[w.ID] {
				c.wrong[w.ID] = true
			} else if _, known := c.named[w.ID]; w.Lying && !known {
				c.named[w.ID] = time.Since(began)
			}
		}
		if draws := c.miningTruth(); tried {
			c.spared = max(c.spared, c.before-draws)
		} else {
			c.before = draws
		}
	}
}

// play has the fleet serve a lease for forty minutes.
func (c *crooked) play() {
	cfg := c.config()
	cfg.Reoptimise = time.Minute
	g, stop := c.start(cfg)
	defer stop()
	c.g = g
	start := time.Now().Add(time.Minute)
	c.policy = func(now time.Time) unit.Watts {
		c.proofs(g)
		if c.proof["l1"].Free && !now.Before(start) {
			return c.claim
		}
		return 0
	}
	setCaps(c.t, g, 1, lease("l1", c.claim, start, 2*time.Hour))
	c.watch(40 * time.Minute)
	if p := c.proof["l1"]; !p.Free {
		c.t.Errorf("not proven: %+v", p)
	}
}

// Ensure that machines which say that they sleep and draw on are named by the meter alone, until what the
// rest of them draws is within its class, and that nobody honest is: by odds, so of eight fleets one may be
// unlucky. Always, the feeder stays within its limit and overload, and a trial costs no more than one machine
// and the one too many that whole machines may come to which make room for it.
func TestGovernor_NamesLiarsByTheMeter(t *testing.T) {
	var unlucky []string
	for seed := range uint64(max(3, testSeeds(8))) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrooked(t, seed)
				c.play()
				hidden, class := c.hidden(), c.feeder.Limit*5/1000+c.claim*3/100
				if hidden > class || len(c.wrong) > 0 {
					unlucky = append(unlucky, fmt.Sprintf("%d: %v are hidden by who is not named, of "+
						"%d liars; named are %v, wrongly %v", seed, hidden, len(c.liars), c.named, c.wrong))
				}
				if most := 2*c.size + c.feeder.Limit/200; c.spared > most { // the meter's class beside them
					t.Errorf("%v gave way for a trial, at most %v is accepted", c.spared, most)
				}
				if o := c.feeder.Overload; c.over > o.For || c.over > 0 && c.most > c.feeder.Limit+o.Watts {
					t.Errorf("over the limit of %v for %v, up to %v", c.feeder.Limit, c.over, c.most)
				}
			})
		})
	}
	if len(unlucky) > 1 {
		t.Errorf("not named, or wrongly:\n%s", strings.Join(unlucky, "\n"))
	}
}
