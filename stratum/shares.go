package stratum

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// acks is what a channel's next SubmitShares.Success will say (sv2-spec 05 §5.3.13). Most channels wait
// for a share most of the time: acks are lent for while there is something to say.
type acks struct {
	count    uint32
	sequence uint32           // latest accepted
	sum      float64          // difficulty, with the fraction of the batches before
	block    bool             // a block is among them: at once
	oldest   time.Time        // when the oldest was read
	reads    [ackReads]uint32 // when each was, in microseconds after the oldest
}

// ackReads is how many shares of a batch have their latency measured.
const ackReads = 16

var unsaid = sync.Pool{New: func() any { return new(acks) }}

// submitLocked judges a share. It returns what has to leave the lock before it goes on: the credit,
// which has a channel if there is one, and the block.
func (s *session) submitLocked(
	id uint32, sh pool.Share, kind pool.Kind, name []byte, now time.Time,
) (credit accepted, block *pool.Block) {
	s.srv.counts.submitted.Add(1)
	c := s.channels[id]
	if c == nil || c.kind != kind {
		s.rejectLocked(id, sh.Sequence, pool.RejectUnknownChannel)
		return accepted{}, nil
	}
	v := c.pool.Submit(sh, now)
	if v.JobFull {
		s.refreshLocked(c, now)
	}
	if v.Reject != pool.RejectNone {
		c.rejected++
		s.rejectLocked(id, sh.Sequence, v.Reject)
		return accepted{}, v.Block
	}
	s.srv.counts.accepted.Add(1)
	c.accepted++
	c.lastShare = c.pool.Age(now)
	worker := s.countLocked(c, name, v.Work, now)
	if v.Block != nil && worker != "" {
		v.Block.Worker = worker
	}
	s.retargetLocked(c, now)
	return accepted{
		session: s, channel: c, worker: worker, sequence: sh.Sequence, work: v.Work,
		difficulty: v.Difficulty, block: v.Block != nil, read: now,
	}, v.Block
}

func (s *session) rejectLocked(id, sequence uint32, r pool.Reject) {
	s.refused = true
	s.srv.counts.rejected[r].Add(1)
	s.says.rejectLocked(id, sequence, r)
}

// found hands a block on. Neither its sending nor its spooling waits for the credit.
func (s *session) found(b *pool.Block) {
	s.srv.counts.blocks.Add(1)
	if err := s.srv.rooms.Blocks.SubmitBlock(context.Background(), b); err != nil {
		s.srv.log.Error("block could not be handed over",
			slog.String("hash", b.Hash.String()), slog.Int("height", int(b.Height)), slog.Any("error", err))
	}
}

// durable notes that a share survives from now on.
func (s *session) durable(a *accepted, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says.durableLocked(a, now)
}

// durableLocked puts a share into its channel's next acknowledgement.
func (d v2) durableLocked(a *accepted, _ time.Time) {
	if d.channels[a.channel.id] != a.channel {
		return // closed meanwhile: credited, and nobody to tell
	}
	k := a.channel.acks
	if k == nil {
		k, _ = unsaid.Get().(*acks) // the pool holds nothing else
		*k = acks{oldest: a.read, sum: a.channel.fraction}
		a.channel.acks = k
	}
	if int(k.count) < len(k.reads) {
		k.reads[k.count] = uint32(max(0, min(a.read.Sub(k.oldest).Microseconds(), math.MaxUint32)))
	}
	k.count++
	k.sequence = a.sequence
	k.sum += a.difficulty
	k.block = k.block || a.block
}

// acknowledgeFull acknowledges, without a write, what must not wait: a full batch or a block. The rest
// is listed for later.
func (s *session) acknowledgeFull(c *channel, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.acks == nil || s.channels[c.id] != c:
	case int(c.acks.count) >= s.srv.cfg.AckEvery || c.acks.block:
		s.acknowledgeLocked(c, now)
	case !s.owed:
		s.owed = true
		s.shard.oweAck(s, s.srv.cfg.AckAfter-now.Sub(c.acks.oldest))
	}
}

func (s *session) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
}

// acknowledgeLate sends batches that have waited long enough and lists the session again if any still
// waits.
func (s *session) acknowledgeLate(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = false
	next := s.srv.cfg.AckAfter
	for _, c := range s.channels {
		if c.acks == nil {
			continue
		}
		wait := s.srv.cfg.AckAfter - now.Sub(c.acks.oldest)
		if wait <= ackTick/2 {
			s.acknowledgeLocked(c, now)
			continue
		}
		s.owed, next = true, min(next, wait)
	}
	if s.owed {
		s.shard.oweAck(s, next)
	}
	s.flushLocked()
}

// acknowledgeAll sends every batch there is: at drain, and before a channel closes.
func (s *session) acknowledgeAll(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.acks != nil {
			s.acknowledgeLocked(c, now)
		}
	}
	s.flushLocked()
}

func (s *session) acknowledgeLocked(c *channel, now time.Time) {
	k := c.acks
	whole := math.Floor(k.sum)
	sendLocked(s, sv2.SubmitSharesSuccess{
		ChannelID: c.id, LastSequence: k.sequence,
		Accepted: k.count, SharesSum: uint64(whole),
	})
	waited := now.Sub(k.oldest)
	for _, after := range k.reads[:min(int(k.count), len(k.reads))] {
		s.srv.counts.shareToAck.observe(waited - time.Duration(after)*time.Microsecond)
	}
	s.srv.counts.acknowledged.Add(uint64(k.count))
	c.acks, c.fraction = nil, k.sum-whole
	unsaid.Put(k)
}
