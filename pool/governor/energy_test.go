package governor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
)

// mortalJournal takes nothing any more once it is dead: what a killed process would have written.
type mortalJournal struct {
	storage.Journal

	dead atomic.Bool
}

func (j *mortalJournal) Append(ctx context.Context, ws ...storage.Write) (storage.Seq, error) {
	if j.dead.Load() {
		return 0, errors.New("dead")
	}
	return j.Journal.Append(ctx, ws...)
}

// Ensure that delivered energy survives kills at any moment of a short lease: its meter counted on meanwhile.
func TestGovernor_AccountsEnergyAcrossKills(t *testing.T) {
	for _, kills := range [][]int{{12, 20}, {31}, {38}, {33, 6, 6}, {44, 10}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 40)
			disk := mem.New()
			l := lease("l1", 10_000, time.Now().Add(30*time.Second), 25*time.Second)
			s.policy = func(now time.Time) unit.Watts {
				if now.Before(l.From) || !now.Before(l.Until) {
					return 0
				}
				return l.Watts
			}
			var delivered unit.Joules
			for term, after := range append(kills, 40) {
				cfg := s.config()
				journal := &mortalJournal{Journal: disk}
				cfg.Journal, cfg.Term = journal, uint32(term+1)
				g, stop := s.start(cfg)
				setCaps(t, g, 1, l)
				s.run(time.Duration(after) * time.Second)
				journal.dead.Store(true)
				s.after = 0
				s.proofs(g)
				delivered = s.proof["l1"].Delivered
				stop()
				s.run(2 * time.Second) // nobody runs
			}
			if want := unit.Joules(250_000); delivered < want*95/100 || delivered > want*102/100 {
				t.Errorf("killed after %v s: %v delivered by account, %v in truth", kills, delivered, want)
			}
		})
	}
}
