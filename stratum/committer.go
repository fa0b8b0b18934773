package stratum

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// acceptedLimit bounds the shares that wait for a commit in one shard. At the bound readers wait, and
// TCP slows the miners down: nothing is dropped.
const acceptedLimit = 100_000

// unsureLimit bounds the shares of one session that are not durable yet: its reader waits, and a flood of
// valid shares from one peer cannot fill what all share.
const unsureLimit = 8192

// keepShares is how many shares a batch may have for its memory to be used again.
const keepShares = 4096

// commitLimit is how long a commit may take before its sessions are given up.
const commitLimit = 30 * time.Second

// accepted is a share on its way to the journal.
type accepted struct {
	session    *session
	channel    *channel
	worker     pool.WorkerID // who is credited
	sequence   uint32
	work       uint64
	difficulty float64
	block      bool
	read       time.Time
}

// full says that a session's next share would have to wait.
func (sh *shard) full(s *session) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.fullLocked(s)
}

func (sh *shard) fullLocked(s *session) bool {
	return len(sh.accepted) >= acceptedLimit || s.unsure >= unsureLimit
}

// enqueue hands a share to the committer, waiting while the shard is at its bound. In poll, which must not
// wait and has asked full before, one share may go beyond it.
func (sh *shard) enqueue(a accepted) {
	sh.mu.Lock()
	for !a.session.polled && sh.fullLocked(a.session) {
		select {
		case <-sh.srv.done:
			sh.mu.Unlock()
			return // nobody will commit it, and so nobody acknowledges it
		default:
			sh.room.Wait()
		}
	}
	sh.accepted = append(sh.accepted, a)
	sh.unsure++
	a.session.unsure++
	sh.mu.Unlock()
	signal(sh.credits)
}

// commit makes accepted shares durable, many at a time: while one batch is being
// written the next one gathers.
func (sh *shard) commit(ctx context.Context) {
	var batch []accepted
	sum := credits{index: map[pool.WorkerID]int{}}
	for {
		var flushed chan struct{}
		select {
		case <-sh.credits:
			time.Sleep(sh.srv.beat.next(time.Now(), sh.srv.cfg.Gather))
		case flushed = <-sh.flush:
		case <-sh.srv.done:
			return
		}
		batch = sh.swapAccepted(batch)
		if len(batch) > 0 {
			sh.commitBatch(ctx, batch, &sum)
			sh.settle(batch)
		}
		if flushed != nil {
			close(flushed)
		}
	}
}

// settle lets those wait no longer who wait for shares to be durable, or given up.
func (sh *shard) settle(batch []accepted) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.unsure -= len(batch)
	for i := range batch {
		batch[i].session.unsure--
	}
	sh.room.Broadcast()
}

// beat is when shards commit: all together, so that they share one flush to disk, which costs as much as
// a dozen shares; not more often than a period, and at once when there was none for as long.
type beat struct {
	began  time.Time    // immutable; a clock that is set stops nobody
	newest atomic.Int64 // ns from began to the newest beat, which may be ahead
}

// next is how long it is to the next beat.
func (b *beat) next(now time.Time, every time.Duration) time.Duration {
	for at := int64(now.Sub(b.began)); ; {
		newest := b.newest.Load()
		switch due := newest + int64(every); {
		case at < newest: // a beat that another shard waits for
			return time.Duration(newest - at)
		case at >= due && b.newest.CompareAndSwap(newest, at):
			return 0
		case at < due && b.newest.CompareAndSwap(newest, due):
			return time.Duration(due - at)
		}
	}
}

// swapAccepted takes what waits and leaves the used slice for the next batch, unless a rare burst made
// it large.
func (sh *shard) swapAccepted(used []accepted) []accepted {
	clear(used)
	if cap(used) > keepShares {
		used = nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	batch := sh.accepted
	sh.accepted = used[:0]
	sh.room.Broadcast()
	return batch
}

// commitBatch makes a batch durable and then acknowledges it, or gives up its sessions.
func (sh *shard) commitBatch(ctx context.Context, batch []accepted, sum *credits) {
	sum.reset()
	for i := range batch {
		sum.add(batch[i].worker, batch[i].work)
	}
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	err := sh.srv.rooms.Credit.Credit(ctx, sum.list)
	cancel()
	if err != nil {
		sh.srv.log.Error("shares could not be made durable",
			slog.Int("shares", len(batch)), slog.Any("error", err))
		for i := range batch {
			batch[i].session.close(errNotDurable)
		}
		return
	}
	sh.srv.counts.durable.Add(uint64(len(batch)))
	// In three rounds: one acknowledgement a channel and one write a session, not one a share.
	now := time.Now()
	for i := range batch {
		batch[i].session.durable(&batch[i], now)
	}
	for i := range batch {
		batch[i].session.acknowledgeFull(batch[i].channel, now)
	}
	for i := range batch {
		batch[i].session.flush()
	}
}

// oweAck lists a session for acknowledgement after a wait. It is looked at within a tick before that, and
// listed again if that is too early.
func (sh *shard) oweAck(s *session, wait time.Duration) {
	ahead := min(max(0, int((wait-ackTick/2)/ackTick)), ackSlots-1)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	slot := &sh.owed[(sh.turn+ahead)%ackSlots]
	*slot = append(*slot, s)
}

// drain returns when every share enqueued before the call is durable or has failed.
func (sh *shard) drain(ctx context.Context) error {
	sh.mu.Lock()
	unsure := sh.unsure
	sh.mu.Unlock()
	if unsure == 0 {
		return nil // so that a server which never ran can be shut down
	}
	flushed := make(chan struct{})
	select {
	case sh.flush <- flushed:
	case <-ctx.Done():
		return ctx.Err()
	case <-sh.srv.done:
		return nil
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-sh.srv.done:
		return nil
	}
}

// credits sums shares per worker, reusing its memory.
type credits struct {
	index map[pool.WorkerID]int
	list  []pool.Credit
}

func (c *credits) reset() {
	clear(c.index)
	c.list = c.list[:0]
}

func (c *credits) add(w pool.WorkerID, work uint64) {
	i, ok := c.index[w]
	if !ok {
		i = len(c.list)
		c.index[w] = i
		c.list = append(c.list, pool.Credit{Worker: w})
	}
	c.list[i].Shares++
	if sum := c.list[i].Work + work; sum >= work {
		c.list[i].Work = sum
		return
	}
	// The sum of one batch passed 2^64: start another credit for the worker.
	c.index[w] = len(c.list)
	c.list = append(c.list, pool.Credit{Worker: w, Shares: 1, Work: work})
	c.list[i].Shares--
}
