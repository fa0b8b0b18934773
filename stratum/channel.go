package stratum

import (
	"slices"
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
	former [][4]byte // prefixes before it, while jobs live that were sent under them

	group *group // gets its jobs with the others of it

	expected *fleet.Expectation // applied last
	rested   time.Duration      // age from which UpdateChannel may change it again
	held     *sv2.UpdateChannel // came before that; the newest
	acks     *acks              // nil while no durable share waits
	fraction float64            // of a difficulty, that the next one begins with
	power    *powerLink         // nil until PowerHello
	behind   *behind            // nil before the first share after names were negotiated

	accepted, rejected uint64
	lastShare          time.Duration // its age then
}

// expect applies the newest expectation of the link and reports whether there was one.
func (c *channel) expect(now time.Time) bool {
	if len(c.names()) > 0 {
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
	if c.behind != nil {
		c.behind.own.expectedAt = now
	}
	c.pool.Expect(e.Hashrate, e.SharesPerMinute, now)
	return true
}

// heard is when the last accepted share came, zero if none did.
func (c *channel) heard() time.Time {
	if c.accepted == 0 {
		return time.Time{}
	}
	return c.pool.Opened().Add(c.lastShare)
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
	s.says.targetLocked(c.id, target)
	c.tellShareWork(target.Work())
	s.refreshLocked(c, now)
}

// tellShareWork tells the workers' links what a share is worth from now on.
func (c *channel) tellShareWork(work uint64) {
	c.link.SetShareWork(work)
	for _, n := range c.names() {
		n.link.SetShareWork(work)
	}
}

// refreshLocked sends the channel, and no other of its group, the group's job with a new salt: a new
// search space under the present target.
func (s *session) refreshLocked(c *channel, now time.Time) {
	if g := c.group; g.live {
		n := s.numberedLocked(s.srv.rooms.Assembler.Fresh(g.best()))
		s.says.jobLocked(c.id, c.kind == pool.Standard, c.pool.Assign(n.job, n.id, now))
	}
}

// dropLocked forgets a channel; nothing more is sent for it.
func (s *session) dropLocked(id uint32) {
	c := s.channels[id]
	delete(s.channels, id)
	c.pool.Close()
	s.leaveLocked(c)
	s.forgetAllLocked(c)
	s.release(c)
	if c.power != nil {
		c.power.abandon()
	}
}

// addTo adds the session's channels to sums. It is asked for often, and copies nothing.
func (s *session) addTo(st *Stats, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Channels += len(s.channels)
	for _, c := range s.channels {
		st.Hashrate += c.pool.Measured(now)
	}
}

// appendStats copies the session's channels for people.
func (s *session) appendStats(all []ChannelStats, now time.Time) []ChannelStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		st := ChannelStats{
			Session: s.id, Channel: c.id, Kind: c.kind, Worker: c.worker, Device: *s.device,
			Since: c.pool.Opened(), LastShare: c.heard(), Accepted: c.accepted, Rejected: c.rejected,
			Difficulty: c.pool.Target().Difficulty(), Hashrate: c.pool.Measured(now), Power: c.power != nil,
			Names: len(c.names()), Named: c.appendNamed(nil, now),
			Prefix: slices.Clone(c.pool.Prefix()), Payout: c.group.payout,
			Dialect: s.dialect(),
		}
		if c.power != nil {
			st.Report = c.power.said
		}
		all = append(all, st)
	}
	return all
}
