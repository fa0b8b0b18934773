package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// maxShards bounds Config.Shards, now and in any book written before.
const maxShards = 1024

// Config says how Shares keeps its books.
type Config struct {
	Shards        int           // streams that credits spread over: 1 to 1024
	Interval      time.Duration // between two slices in Run: at least 1 s
	SnapshotEvery int           // slices between two snapshots: 1 or more
	MaxWorkers    int           // names that may ever be credited: 1 or more
}

// DefaultConfig is good for one machine.
func DefaultConfig() Config {
	return Config{Shards: 4, Interval: time.Minute, SnapshotEvery: 60, MaxWorkers: 1_000_000}
}

// Validate lists every fault.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Shards >= 1 && c.Shards <= maxShards, "shards is %d: 1 to %d are accepted", c.Shards, maxShards)
	check(c.Interval >= time.Second, "interval is %v: 1s or more is accepted", c.Interval)
	check(c.SnapshotEvery >= 1, "snapshot_every is %d: 1 or more is accepted", c.SnapshotEvery)
	check(c.MaxWorkers >= 1, "max_workers is %d: 1 or more is accepted", c.MaxWorkers)
	return errors.Join(errs...)
}

// WorkerTotal is all work ever credited to one worker.
type WorkerTotal struct {
	Worker  pool.WorkerID
	Account pool.AccountID
	Shares  uint64
	Work    unit.Work
	Last    time.Time // of its newest credit
}

// SharesStats are figures of Shares since it was opened, for screens.
type SharesStats struct {
	Workers   int       // names that were ever credited
	Shares    uint64    // credited since the opening
	Credits   uint64    // calls of Credit that were answered with success
	Refused   uint64    // calls of Credit that were not
	Unbooked  uint64    // records of the shards that no slice covers yet
	Slices    uint64    // written to the book
	Failures  uint64    // slices that failed; their work stays in the shards and in the next slice
	LastSlice time.Time // zero before the first
}

// Shares is the account of credited work. A credit is first a record in one of the shards of the shares
// journal; every Interval a slice of sums moves to the book together with the shards' cursors,
// and the shards are trimmed. So the book plus the records after the cursors
// is all work ever credited, whatever moment a crash chose.
type Shares struct {
	cfg     Config          // immutable after NewShares
	journal storage.Journal // immutable after NewShares: the shards
	book    *stream         // its gate is held for a slice
	turn    atomic.Uint32   // the shard of the next credit

	mu     sync.RWMutex
	totals tallies           // guarded by mu: book, and shards up to applied
	delta  tallies           // guarded by mu: the part of totals that no slice covers
	shards map[uint32]*shard // guarded by mu; the map itself is immutable after NewShares
	stats  SharesStats       // guarded by mu
}

// shard is one stream of credits. Guarded by Shares.mu.
type shard struct {
	stream  string // immutable
	booked  storage.Seq
	applied storage.Seq           // all records up to here are in totals
	early   map[storage.Seq]early // by first Seq: durable, but a record before them is not applied yet
	trimmed storage.Seq           // owned by the holder of the book's gate
}

// early is a call of Credit whose commit was shared with an earlier one that has not come back yet. There
// are no more of them than concurrent callers.
type early struct {
	last    storage.Seq
	at      time.Time
	credits []pool.Credit
}

// Credit makes accepted work durable and counts it. It returns when it is durable; after an error
// nothing is credited. It may be called concurrently: calls share a commit.
func (s *Shares) Credit(ctx context.Context, credits []pool.Credit) error {
	if len(credits) == 0 {
		return nil
	}
	err := s.check(credits)
	if err == nil {
		err = s.credit(ctx, credits)
	}
	if err != nil {
		s.mu.Lock()
		s.stats.Refused++
		s.mu.Unlock()
	}
	return err
}

// check refuses what could not be read back, and names beyond the bound.
func (s *Shares) check(credits []pool.Credit) error {
	for i, c := range credits {
		if c.Worker == "" || len(c.Worker) > maxWorker {
			return fmt.Errorf("%w: credit %d: worker has %d bytes: 1 to %d are accepted",
				ErrInvalid, i, len(c.Worker), maxWorker)
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	workers := len(s.totals)
	for _, c := range credits {
		if _, known := s.totals[c.Worker]; !known {
			workers++
		}
	}
	if workers > s.cfg.MaxWorkers && workers > len(s.totals) {
		return fmt.Errorf("%w: %d are accepted", ErrTooManyWorkers, s.cfg.MaxWorkers)
	}
	return nil
}

// creditsPerRecord keeps a record of the longest names below storage.MaxRecord.
const creditsPerRecord = 8192

// write is the memory of one call of Credit, used again.
type write struct {
	bytes   []byte
	records [][]byte
	storage [1]storage.Write
}

var spareWrites = sync.Pool{New: func() any { return &write{} }}

// keepWrite is how many bytes a write may have to be used again.
const keepWrite = 1 << 20

// encode encodes credits as records, which are of use until the next call.
func (w *write) encode(at time.Time, credits []pool.Credit) [][]byte {
	if cap(w.bytes) > keepWrite {
		w.bytes = nil
	}
	w.bytes = w.bytes[:0]
	w.records = w.records[:0]
	for len(credits) > 0 {
		n := min(len(credits), creditsPerRecord)
		from := len(w.bytes)
		w.bytes = appendCredits(w.bytes, at, credits[:n])
		w.records = append(w.records, w.bytes[from:len(w.bytes):len(w.bytes)])
		credits = credits[n:]
	}
	return w.records
}

func (s *Shares) credit(ctx context.Context, credits []pool.Credit) error {
	at := now()
	sh := s.shards[s.turn.Add(1)%uint32(s.cfg.Shards)]
	w, ok := spareWrites.Get().(*write)
	if !ok {
		panic("spareWrites holds writes only")
	}
	defer spareWrites.Put(w)
	records := w.encode(at, credits)
	w.storage[0] = storage.Write{Stream: sh.stream, Expect: storage.Any, Records: records}
	last, err := s.journal.Append(ctx, w.storage[:]...)
	if err != nil {
		return fmt.Errorf("writing credits: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Credits++
	for _, c := range credits {
		s.stats.Shares += c.Shares
	}
	first := last - storage.Seq(len(records)) + 1
	if first != sh.applied+1 {
		sh.early[first] = early{last: last, at: at, credits: slices.Clone(credits)}
		return nil
	}
	s.applyLocked(sh, early{last: last, at: at, credits: credits})
	for e, ok := sh.early[sh.applied+1]; ok; e, ok = sh.early[sh.applied+1] {
		delete(sh.early, sh.applied+1)
		s.applyLocked(sh, e)
	}
	return nil
}

// applyLocked counts the next records of a shard.
func (s *Shares) applyLocked(sh *shard, e early) {
	s.totals.credit(e.credits, e.at)
	s.delta.credit(e.credits, e.at)
	sh.applied = e.last
}

// Totals is all durable credited work, sorted by worker.
func (s *Shares) Totals() []WorkerTotal {
	s.mu.RLock()
	all := s.totals.clone()
	for _, sh := range s.shards {
		for _, e := range sh.early {
			all.credit(e.credits, e.at)
		}
	}
	s.mu.RUnlock()
	ws := make([]WorkerTotal, 0, len(all))
	for w, t := range all {
		ws = append(ws, WorkerTotal{
			Worker: w, Account: w.Account(), Shares: t.shares, Work: t.work, Last: t.last,
		})
	}
	slices.SortFunc(ws, func(a, b WorkerTotal) int { return cmp.Compare(a.Worker, b.Worker) })
	return ws
}

// Stats are the present figures.
func (s *Shares) Stats() SharesStats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.stats
	st.Workers = len(s.totals)
	for _, sh := range s.shards {
		st.Unbooked += uint64(sh.applied-sh.booked) + uint64(len(sh.early))
	}
	return st
}

// now is the one place where this package reads the clock: the time of a credit and of a found block.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond) //nolint:forbidigo // its callers do I/O
}
