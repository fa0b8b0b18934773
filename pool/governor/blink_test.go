package governor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// blinker is a machine that leaves its session at some moment of a dispatch and does as it likes.
type blinker struct {
	d     *device
	at    time.Duration // after the order
	burns bool          // from then on it draws its full power, whatever it was told
	back  time.Duration // after that it is in session again and does as it is told; 0: never
}

// newBlinkers draws one to three of a fleet's machines.
func newBlinkers(s *sim, r *rand.Rand) (bs []*blinker) {
	for _, i := range r.Perm(len(s.devices))[:1+r.IntN(3)] {
		b := &blinker{
			d: s.devices[i], burns: r.IntN(3) > 0,
			at: time.Duration(r.IntN(240_000)-10_000) * time.Millisecond,
		}
		if r.IntN(2) == 0 {
			b.back = time.Duration(5+r.IntN(400)) * time.Second
		}
		bs = append(bs, b)
	}
	return bs
}

// move has the machine leave and come back.
func (b *blinker) move(s *sim, since time.Duration) {
	linked := s.links[b.d.worker.ID] != nil
	switch {
	case linked && since >= b.at && (b.back == 0 || since < b.at+b.back):
		s.disconnect(b.d)
		if b.burns {
			b.d.mu.Lock()
			b.d.liar = true // takes nothing more in
			b.d.mu.Unlock()
			b.d.wakeUp()
		}
	case !linked && b.back > 0 && since >= b.at+b.back:
		b.d.mu.Lock()
		b.d.liar = false
		b.d.mu.Unlock()
		s.connect(b.d)
	}
}

// unnamed is what machines out of session draw in truth against orders that nobody doubts by name.
func unnamed(s *sim, bs []*blinker, st governor.FeederStatus) (sum unit.Watts) {
	for _, b := range bs {
		i := slices.IndexFunc(st.Workers, func(w governor.WorkerStatus) bool { return w.ID == b.d.worker.ID })
		w := &st.Workers[i]
		named := w.Stuck || w.Escaped || w.Lying || strings.Contains(w.State, "counted in full")
		if s.links[w.ID] == nil && !named {
			sum += max(0, b.d.step(time.Now())-w.Watts)
		}
	}
	return sum
}

// Ensure that machines which leave their session at any moment of a dispatch and mine on are made up for by
// others in a few seconds, that who was told and never did as told is named, that what nobody is named for
// shows as excess, and that the claim they were reduced for is proven again.
func TestGovernor_CoversMachinesOutOfSession(t *testing.T) {
	for seed := range uint64(testSeeds(20)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 21))
				s := newSim(t, 20+r.IntN(30))
				s.feeder.Overload.For = 12 * time.Second
				for _, d := range s.devices {
					d.shed = time.Duration(500+r.IntN(3500)) * time.Millisecond
					d.wake = time.Duration(2000+r.IntN(10_000)) * time.Millisecond
					d.capability.ShedIn, d.capability.ReturnIn = d.shed, d.wake
				}
				bs := newBlinkers(s, r)
				g, stop := s.start(s.config())
				defer stop()
				order := time.Now().Add(time.Minute)
				claim := s.fullMining() * unit.Watts(15+r.IntN(25)) / 100
				l := lease("l1", claim, order.Add(30*time.Second), time.Hour)
				s.policy = func(now time.Time) unit.Watts {
					if s.proof["l1"].Free && !now.Before(l.From) || s.drawn > 0 {
						return l.Watts
					}
					return 0
				}
				setCaps(t, g, 1, l)
				for range 25 * 60 {
					s.run(time.Second)
					s.proofs(g)
					for _, b := range bs {
						b.move(s, time.Since(order))
					}
				}
				if p := s.proof["l1"]; !p.Free {
					t.Errorf("not proven in the end: %s", p.Reason)
				}
				st := one(g)
				if sum := unnamed(s, bs, st); sum > max(0, st.Excess)+s.feeder.Limit/200 {
					t.Errorf("%v are drawn against orders by who is not named, %v of excess known",
						sum, st.Excess)
				}
				if o := s.feeder.Overload; s.over > o.For || s.over > 0 && s.most > s.feeder.Limit+o.Watts {
					t.Errorf("over the limit of %v for %v, up to %v; %v and %v are allowed",
						s.feeder.Limit, s.over, s.most, o.Watts, o.For)
				}
			})
		})
	}
}
