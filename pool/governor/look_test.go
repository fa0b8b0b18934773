package governor_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Ensure that a process which starts while machines are still on their way by its predecessor's orders
// does not free the same watts a second time.
func TestGovernor_ShedsNothingTwiceOverARestart(t *testing.T) {
	for _, after := range []time.Duration{time.Second / 2, 2 * time.Second, 5 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 40)
				for i, d := range s.devices {
					d.shed, d.ramps = time.Duration(4+i%3)*time.Second, true
					d.capability.ShedIn = d.shed
					d.capability.CanCap = i%2 == 0
				}
				cfg := s.config()
				journal := mem.New()
				cfg.Journal = journal
				g, stop := s.start(cfg)
				setCaps(t, g, 1)
				s.run(10 * time.Second)
				before := s.miningTruth()
				const wish = 25 * unit.Kilowatt
				c := governor.Curtailment{Site: "s1", Watts: wish, For: 10 * time.Minute}
				enough := errors.New("enough")
				err := g.Curtail(t.Context(), c, func(governor.CurtailUpdate) error { return enough })
				if !errors.Is(err, enough) {
					t.Fatal(err)
				}
				s.run(after)
				stop()
				ordered := s.writes()
				for _, d := range s.devices { // their sessions end with the process
					s.disconnect(d)
				}
				cfg.Journal, cfg.Term = journal.Reopen(), 2
				g, stop = s.start(cfg)
				defer stop()
				setCaps(t, g, 1)
				for _, d := range s.devices {
					s.connect(d)
					s.run(simStep)
				}
				s.run(30 * time.Second)
				if freed := before - s.miningTruth(); freed < wish || freed > wish+4*unit.Kilowatt {
					t.Errorf("%v freed, %v was ordered (%d orders before, %d after)",
						freed, wish, ordered, s.writes()-ordered)
				}
				if after := s.writes() - ordered; after > 3*ordered { // without the wait six times as many
					t.Errorf("%d orders after the restart, %d before", after, ordered)
				}
			})
		})
	}
}
