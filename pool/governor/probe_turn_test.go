package governor_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// Ensure that a machine whose turn comes when every place is taken keeps its turn, and that under lasting
// overload all are asked equally often.
func TestProbe_GivesEveryMachineItsTurn(t *testing.T) {
	const span = 20 * time.Minute
	for _, tt := range []struct {
		name        string
		mute        int           // of 60 machines
		timeout     time.Duration // of those
		least, most int           // how often one that answers is asked within the span
	}{
		{"hall of mute machines", 20, 8 * time.Second, 39, 41},
		{"overload", 50, 10 * time.Second, 6, 9}, // a round takes 50 x 10 s on three places
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 60)
				cfg := s.config()
				s.leave(&cfg)
				cfg.ProbesAtOnce, cfg.ProbeTimeout = 4, tt.timeout // three places at rest
				for i := range tt.mute {
					s.devices[60*i/tt.mute].mute = true
				}
				_, stop := s.start(cfg)
				defer stop()
				s.run(4 * time.Minute) // until those that are mute are asked less and less often
				count := func() (ns []int) {
					for _, d := range s.devices {
						d.mu.Lock()
						ns = append(ns, d.probes)
						d.mu.Unlock()
					}
					return ns
				}
				before := count()
				s.run(span)
				for i, n := range count() {
					n -= before[i]
					if !s.devices[i].mute && (n < tt.least || n > tt.most) {
						t.Errorf("machine %d was asked %d times, want %d to %d", i, n, tt.least, tt.most)
					}
				}
			})
		})
	}
}
