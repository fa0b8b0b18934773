package bolt

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/hashlease/hashlease/storage"
)

// Bounds of one commit. A call that waits goes into the next.
const (
	commitBytes = 32 << 20 // records in one transaction, about; bounds its memory and its duration
	keepArena   = 4 << 20  // a larger scratch buffer is not kept between commits
)

// Fates of a call. Whoever moves it away from waiting decides.
const (
	waiting int32 = iota
	taken         // the writer runs it
	withdrawn
)

// call is one unit that the writer runs in a transaction. If run refuses it must not have changed anything.
type call struct {
	run   func(*batch) error
	size  int
	fate  atomic.Int32
	err   error         // written before done is closed
	ready chan struct{} // closed when err is final
}

// batch is one transaction in the making.
type batch struct {
	tx    *bbolt.Tx
	heads map[string]head // changed by this batch, over Journal.heads
	base  map[string]head // Journal.heads: only the writer changes it, so it reads without mu
	arena []byte          // frames; bbolt refers to them until the commit
	dirty bool
	fault error // the file refused: the whole transaction is void
}

func (b *batch) head(stream string) head {
	if h, ok := b.heads[stream]; ok {
		return h
	}
	return b.base[stream]
}

// broken notes that the file refused a change; it voids the whole transaction.
func (b *batch) broken(err error) error {
	if err != nil && b.fault == nil {
		b.fault = fmt.Errorf("writing to the journal: %w", err)
	}
	return err
}

// submit has the writer run a call and waits for its fate.
func (j *Journal) submit(ctx context.Context, size int, run func(*batch) error) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	c := &call{run: run, size: size, ready: make(chan struct{})}
	select {
	case j.queue <- c:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the journal: %w", ctx.Err())
	}
	select {
	case <-c.ready:
	case <-ctx.Done():
		if c.fate.CompareAndSwap(waiting, withdrawn) {
			return fmt.Errorf("waiting for the journal: %w", ctx.Err())
		}
		<-c.ready // the commit has begun: only it can answer
	}
	return c.err
}

// write is the writer: it ends when the queue is closed and empty.
func (j *Journal) write() {
	defer close(j.done)
	debug.SetPanicOnFault(true)
	var (
		calls []*call
		arena []byte
	)
	for first := range j.queue {
		runtime.Gosched() // those who call at the same moment get onto the same flush
		calls = j.gather(calls[:0], first)
		arena = j.commit(calls, arena)
		for _, c := range calls {
			close(c.ready)
		}
		clear(calls)
		if cap(arena) > keepArena {
			arena = nil
		}
	}
}

// gather takes what waits, up to the bounds of one commit, without the calls
// that were withdrawn.
func (j *Journal) gather(calls []*call, next *call) []*call {
	size := 0
	for {
		if next.fate.CompareAndSwap(waiting, taken) {
			calls = append(calls, next)
			size += next.size
		}
		if size >= commitBytes {
			return calls
		}
		select {
		case c, ok := <-j.queue:
			if !ok {
				return calls
			}
			next = c
		default:
			return calls
		}
	}
}

// commit runs the calls in one transaction and sets their err. It returns
// the scratch buffer for the next one.
func (j *Journal) commit(calls []*call, arena []byte) []byte {
	if len(calls) == 0 {
		return arena
	}
	b := &batch{heads: map[string]head{}, base: j.heads, arena: arena[:0]}
	err := fmt.Errorf("writing to the journal: %w", storage.ErrFailed)
	if !j.failed {
		err = j.transact(b, calls)
	}
	if err != nil {
		// A refusal may rest on a call of the same batch that now never happened, so it falls too.
		for _, c := range calls {
			c.err = err
		}
		return b.arena
	}
	j.mu.Lock()
	maps.Copy(j.heads, b.heads)
	j.mu.Unlock()
	return b.arena
}

// transact runs the calls and commits. After an error nothing of them exists, unless it is ErrFailed.
func (j *Journal) transact(b *batch, calls []*call) (err error) {
	began := false
	defer func() {
		if p := recover(); p != nil { // bbolt on a broken page: its locks are in an unknown state
			j.failed = true
			err = fmt.Errorf("%w: %w: %v", storage.ErrFailed, storage.ErrCorrupt, p)
			if began {
				_ = safely(b.tx.Rollback) // frees the file for Close; there is nothing else to do
			}
		}
	}()
	if b.tx, err = j.db.Begin(true); err != nil {
		return fmt.Errorf("beginning a commit: %w", err)
	}
	began = true
	for _, c := range calls {
		if c.err = c.run(b); b.fault != nil {
			break
		}
	}
	if b.fault != nil || !b.dirty {
		_ = b.tx.Rollback() // it only fails on a closed transaction
		return b.fault
	}
	id := b.tx.ID()
	if err = b.tx.Commit(); err == nil {
		return nil
	}
	err = fmt.Errorf("committing to the journal: %w", err)
	if visible, verr := j.visible(id); visible || verr != nil {
		j.failed = true // the flush of the last page failed: it may or may not survive
		return fmt.Errorf("%w: %w", storage.ErrFailed, err)
	}
	return err
}

// visible reports whether a transaction is what readers see.
func (j *Journal) visible(id int) (seen bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		seen = tx.ID() >= id
		return nil
	})
	return seen, err
}
