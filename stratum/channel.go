package stratum

import (
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// channel is one mining channel of a session: the pool's state machine, and what was sent of it.
// All of it is guarded by the session's mu.
type channel struct {
	pool   *pool.Channel
	id     uint32
	kind   pool.Kind
	worker pool.WorkerID
	link   *fleet.Link
	prefix [4]byte
	since  time.Time

	round   uint64    // Seq of the newest round followed
	tip     pool.Tip  // activated last
	live    bool      // a tip was activated
	next    *pool.Job // future job sent last, 0 or one at a time
	nextID  uint32
	full    *pool.Job // the feed's full job sent last on this tip
	current *pool.Job // job sent last as active; a fresh variant of full or first after a retarget

	expected *fleet.Expectation // applied last
	updated  time.Time          // when UpdateChannel changed it last
	held     *sv2.UpdateChannel // came too soon after that; the newest
	acks     acks
	power    *powerLink // nil until PowerHello

	own   *named            // shares without a name, since names were negotiated; else nil
	names map[string]*named // workers behind a proxy; nil until a share names one
	swept time.Time         // when idle names were last looked for

	accepted, rejected uint64
	lastShare          time.Time
}

// followRound brings every channel to the feed's newest round, in one write.
func (s *session) followRound(r *pool.Round, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		s.followLocked(c, r, now)
	}
	s.flushLocked()
}

// followLocked sends what the channel lacks of a round. It looks only at the difference, so a channel
// that missed rounds, or is new, gets the same treatment.
//
// SetNewPrevHash may name only a job that was sent as future (sv2-spec 05 §5.3.17): if the round's
// first job was not, it is sent so now.
func (s *session) followLocked(c *channel, r *pool.Round, now time.Time) {
	if r.Seq < c.round {
		return // a channel that just opened may be ahead of its shard
	}
	c.round = r.Seq
	if !c.live || c.tip != r.Tip {
		if c.next != r.First {
			s.nextJob++
			s.announceLocked(c, c.pool.AssignFuture(r.First, s.nextJob))
		}
		if err := c.pool.Activate(c.nextID, r.Tip, now); err != nil {
			c.next = nil // not of this tip: the next round begins anew
			return
		}
		sendLocked(s, sv2.SetNewPrevHash{
			ChannelID: c.id, JobID: c.nextID, PrevHash: r.Tip.Prev,
			MinTime: max(r.Tip.MinTime, r.First.Time), Bits: r.Tip.Bits,
		})
		c.tip, c.live = r.Tip, true
		c.current, c.next, c.full = r.First, nil, nil
	}
	if r.Full != nil && c.full != r.Full {
		s.assignLocked(c, r.Full, now)
		c.full = r.Full
	}
	if r.Next != nil && c.next != r.Next {
		s.assignLocked(c, r.Next, now)
	}
}

// assignLocked gives a job to the channel and sends it: future if its tip is not there yet.
func (s *session) assignLocked(c *channel, j *pool.Job, now time.Time) {
	s.nextJob++
	s.announceLocked(c, c.pool.Assign(j, s.nextJob, now))
}

func (s *session) announceLocked(c *channel, a pool.Assignment) {
	if a.Future {
		c.next, c.nextID = a.Job, a.JobID
	} else {
		c.current = a.Job
	}
	if c.kind == pool.Standard {
		sendLocked(s, sv2.NewMiningJob{
			ChannelID: c.id, JobID: a.JobID, Future: a.Future, MinTime: a.MinTime,
			Version: a.Version, MerkleRoot: a.Root,
		})
		return
	}
	sendLocked(s, sv2.NewExtendedMiningJob{
		ChannelID: c.id, JobID: a.JobID, Future: a.Future, MinTime: a.MinTime,
		Version: a.Version, VersionRolling: true,
		MerklePath: a.Job.Path, CoinbasePrefix: a.Job.Prefix, CoinbaseSuffix: a.Job.Suffix,
	})
}

// expect applies the newest expectation of the link and reports whether there was one.
func (c *channel) expect(now time.Time) bool {
	if len(c.names) > 0 {
		sum, news := c.expectNamed(now)
		if news {
			c.pool.Expect(sum.Hashrate, sum.SharesPerMinute, now)
		}
		return news
	}
	e := c.link.Expectation()
	if e == c.expected {
		return false
	}
	c.expected = e
	if c.own != nil {
		c.own.expectedAt = now
	}
	c.pool.Expect(e.Hashrate, e.SharesPerMinute, now)
	return true
}

// retargetLocked follows the channel's hashrate. A target counts only for jobs sent
// after it, so a fresh job goes along; a fresh one, because the same
// job under a new id would be the same search space.
func (s *session) retargetLocked(c *channel, now time.Time) {
	target, changed := c.pool.Retarget(now)
	if !changed {
		return
	}
	s.sendTargetLocked(c, target, now)
}

func (s *session) sendTargetLocked(c *channel, target pool.Target, now time.Time) {
	sendLocked(s, sv2.SetTarget{ChannelID: c.id, MaxTarget: target.Bytes()})
	c.tellShareWork(target.Work())
	s.refreshLocked(c, now)
}

// tellShareWork tells the workers' links what a share is worth from now on.
func (c *channel) tellShareWork(work uint64) {
	c.link.SetShareWork(work)
	for _, n := range c.names {
		n.link.SetShareWork(work)
	}
}

// refreshLocked sends the current job with a new salt: a new search space under the present target.
func (s *session) refreshLocked(c *channel, now time.Time) {
	if c.live && c.current != nil {
		s.assignLocked(c, s.srv.rooms.Assembler.Fresh(c.current), now)
	}
}

// dropLocked forgets a channel; nothing more is sent for it.
func (s *session) dropLocked(id uint32) {
	c := s.channels[id]
	delete(s.channels, id)
	c.pool.Close()
	s.srv.rooms.Registry.Close(c.worker, c.link)
	s.forgetAllLocked(c)
	s.srv.prefixes.Release(c.prefix)
	if c.power != nil {
		c.power.abandon()
	}
}

// appendStats copies the session's channels for people.
func (s *session) appendStats(all []ChannelStats, named bool, now time.Time) []ChannelStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		st := ChannelStats{
			Session: s.id, Channel: c.id, Kind: c.kind, Worker: c.worker, Device: *s.device,
			Since: c.since, LastShare: c.lastShare, Accepted: c.accepted, Rejected: c.rejected,
			Difficulty: c.pool.Target().Difficulty(), Hashrate: c.pool.Measured(now), Power: c.power != nil,
			Names: len(c.names),
		}
		if c.power != nil {
			st.Report = c.power.said
		}
		if named {
			st.Named = c.appendNamed(nil, now)
		}
		all = append(all, st)
	}
	return all
}
