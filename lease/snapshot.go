package lease

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"time"
)

// snapshotV1 is the version of the state's form.
const snapshotV1 = 1

// Snapshot is a book without what follows from it: profiles, timers, counts. It shares only
// what never changes with the book, so it may be encoded while the book goes on.
type Snapshot struct {
	Version  int            `json:"version"`
	Revision Revision       `json:"rev"`
	High     time.Time      `json:"high"`
	Leases   []*Lease       `json:"leases"`
	Requests []Request      `json:"requests"`
	Feeders  []snapshotStep `json:"feeders"`
}

type snapshotStep struct {
	ID        FeederID       `json:"id"`
	Steps     []CapacityStep `json:"steps"`
	Basis     string         `json:"basis,omitempty"`
	Notice    time.Duration  `json:"notice,omitempty"`
	Shortfall *Shortfall     `json:"shortfall,omitempty"`
}

// Snapshot is the book's state: Restore and the events after it make the same book. Equal
// books have equal snapshots.
func (b *Book) Snapshot() *Snapshot {
	s := &Snapshot{Version: snapshotV1, Revision: b.revision, High: b.high, Leases: b.Leases()}
	for _, r := range b.requests {
		s.Requests = append(s.Requests, r)
	}
	slices.SortFunc(s.Requests, func(x, y Request) int {
		return cmp.Or(x.Until.Compare(y.Until), cmp.Compare(x.Tenant, y.Tenant),
			cmp.Compare(x.Method, y.Method), cmp.Compare(x.ID, y.ID))
	})
	for _, id := range b.branchIDs() {
		br := b.feeders[id]
		if len(br.steps) > 0 || br.shortfall != nil {
			s.Feeders = append(s.Feeders, snapshotStep{id, br.steps, br.basis, br.measured, br.shortfall})
		}
	}
	return s
}

// Restore makes an empty book the one of the snapshot.
func (b *Book) Restore(s *Snapshot) error {
	if s.Version != snapshotV1 || b.revision != 0 {
		return fmt.Errorf("snapshot of version %d onto revision %d: "+
			"version %d onto an empty book is accepted: %w", s.Version, b.revision, snapshotV1, ErrCorrupt)
	}
	for i, l := range s.Leases {
		if l == nil || l.UID == "" || l.State == 0 || b.leases[l.UID] != nil {
			return fmt.Errorf("snapshot's lease %d has no name, no state or a twin: %w", i, ErrCorrupt)
		}
		if l.State.Final() {
			b.leases[l.UID] = &record{lease: l, index: -1}
			b.usage(l.Tenant).retained++
			heap.Push(&b.expiry, expiry{at: l.EndedAt.Add(retention), uid: l.UID})
			continue
		}
		b.put(l)
	}
	for _, r := range s.Requests {
		b.remember(r)
	}
	for _, f := range s.Feeders {
		br := b.branch(f.ID)
		br.book(f.Steps, -1)
		br.steps, br.basis, br.measured, br.shortfall = f.Steps, f.Basis, f.Notice, f.Shortfall
	}
	b.revision, b.high = s.Revision, s.High
	return nil
}
