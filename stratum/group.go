package stratum

import (
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// firstGroup is the id of a connection's first group, which its channels join unless they are paid
// otherwise. Channel ids and those of further groups start above it: one id is never both.
const firstGroup = 1

// group is the channels of a session that get their jobs in one message, because the same coinbase
// pays for them (sv2-spec 05 §5.2.3). Every member has every job of the group under the same id, those
// that opened late too, so that one SetNewPrevHash moves all. A device that takes only standard
// jobs cannot be addressed so: each of its channels is a group of one whose jobs go to the channel, and
// all are told the first group's id, which CloseChannel may name.
//
// All of it is guarded by the session's mu.
type group struct {
	id      uint32 // what the members are told; never a channel's
	to      uint32 // where messages go: id, or the one channel
	payout  pool.Payout
	alone   bool // REQUIRES_STANDARD_JOBS
	members []*channel

	round uint64    // Seq of the newest round followed
	tip   *pool.Tip // activated last; of a round
	live  bool      // a tip was activated, and the members have what follows
	first numbered  // the job that SetNewPrevHash named
	full  numbered  // newest job with transactions; none if its job is nil
	next  numbered  // future job; none if its job is nil
}

// numbered is a job under its id.
type numbered struct {
	job *pool.Job
	id  uint32
}

func (s *session) numberedLocked(j *pool.Job) numbered {
	return numbered{job: j, id: s.says.numberLocked(j)}
}

// followRound brings every group to the feed's newest round, in one write.
func (s *session) followRound(r *pool.Round, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		s.followLocked(g, r, now)
	}
	s.flushLocked()
}

// followLocked sends what a group lacks of a round. It looks only at the difference, so a group that
// missed rounds gets the same treatment.
//
// SetNewPrevHash may name only a job that was sent as future (sv2-spec 05 §5.3.17): if the round's
// first job was not, it is sent so now.
func (s *session) followLocked(g *group, r *pool.Round, now time.Time) {
	if len(g.members) == 0 || r.Seq < g.round {
		return // a channel that just opened may be ahead of its shard
	}
	r = s.says.roundLocked(r, g.payout)
	g.round = r.Seq
	if !g.live {
		s.introduceAllLocked(g, r, now)
		return
	}
	if *g.tip != r.Tip {
		if g.next.job != r.First {
			s.announceLocked(g, r.First, true, now)
		}
		if !s.activateLocked(g, r, now) {
			return
		}
	}
	if r.Full != nil && g.best() != r.Full {
		s.announceLocked(g, r.Full, false, now)
	}
	if r.Next != nil && g.next.job != r.Next {
		s.announceLocked(g, r.Next, true, now)
	}
}

// announceLocked gives a job to every member and sends it once.
func (s *session) announceLocked(g *group, j *pool.Job, future bool, now time.Time) {
	n := s.numberedLocked(j)
	var a pool.Assignment
	for _, c := range g.members {
		if future {
			a = c.pool.AssignFuture(j, n.id)
		} else {
			a = c.pool.Assign(j, n.id, now)
		}
	}
	if future {
		g.next = n
	} else {
		g.full = n
	}
	s.says.jobLocked(g.to, g.alone, a)
}

// activateLocked moves the group to a tip by the future job that it has. If that fails, the next
// round begins anew.
func (s *session) activateLocked(g *group, r *pool.Round, now time.Time) bool {
	for _, c := range g.members {
		if c.pool.Activate(g.next.id, &r.Tip, now) != nil {
			g.forget()
			return false
		}
	}
	for _, c := range g.members {
		s.releaseFormerLocked(c)
	}
	s.says.tipLocked(g.to, g.next, &r.Tip)
	g.tip, g.first, g.full, g.next = &r.Tip, g.next, numbered{}, numbered{}
	return true
}

// forget drops what the members have in common.
func (g *group) forget() { g.live, g.first, g.full, g.next = false, numbered{}, numbered{}, numbered{} }

// best is the job that pays most now.
func (g *group) best() *pool.Job {
	if g.full.job != nil {
		return g.full.job
	}
	return g.first.job
}

// joinLocked makes a channel a member of its group, and gives it its first jobs if there are any. The
// group must be at round r, nil if there is none, before the client hears of the new member:
// what the group is sent from then on is for that one too.
func (s *session) joinLocked(c *channel, r *pool.Round, now time.Time) {
	g := c.group
	g.members = append(g.members, c)
	switch {
	case r == nil:
	case g.live:
		s.introduceLocked(c, now)
		s.replaceSpentLocked(c, now)
	default: // the others wait too
		s.introduceAllLocked(g, s.says.roundLocked(r, g.payout), now)
	}
}

// introduceAllLocked gives the members of a group that has no jobs those of a round.
func (s *session) introduceAllLocked(g *group, r *pool.Round, now time.Time) {
	s.beginLocked(g, r)
	for _, c := range g.members {
		if !s.introduceLocked(c, now) {
			g.forget()
			return
		}
	}
	g.live = true
	for _, c := range g.members {
		s.replaceSpentLocked(c, now)
	}
	if r.Next != nil {
		s.announceLocked(g, r.Next, true, now)
	}
}

// introduceLocked gives a member what its group has, under the group's job ids but on the
// channel's own id, because a client may not know the group before. First comes a future job,
// which SetNewPrevHash activates (sv2-spec 05 §5.3.15-16), then the full job, and the future job of
// the next block. It is false if the jobs are not of the group's tip.
func (s *session) introduceLocked(c *channel, now time.Time) bool {
	g, headers := c.group, c.kind == pool.Standard
	s.says.jobLocked(c.id, headers, c.pool.AssignFuture(g.first.job, g.first.id))
	if c.pool.Activate(g.first.id, g.tip, now) != nil {
		return false
	}
	s.says.tipLocked(c.id, g.first, g.tip)
	if g.full.job != nil {
		s.says.jobLocked(c.id, headers, c.pool.Assign(g.full.job, g.full.id, now))
	}
	if g.next.job != nil {
		s.says.jobLocked(c.id, headers, c.pool.AssignFuture(g.next.job, g.next.id))
	}
	return true
}

// replaceSpentLocked sends a member that was introduced a fresh job if no share of the group's can count for
// it: its miner may have had that one before its connection was lost.
func (s *session) replaceSpentLocked(c *channel, now time.Time) {
	if c.pool.Spent(c.group.best()) {
		s.refreshLocked(c, now)
	}
}

// beginLocked numbers the jobs of a group that has none; nothing is sent.
func (s *session) beginLocked(g *group, r *pool.Round) {
	g.forget()
	g.round, g.tip = r.Seq, &r.Tip
	g.first = s.numberedLocked(r.First)
	if r.Full != nil && r.Full != r.First {
		g.full = s.numberedLocked(r.Full)
	}
}

// groupLocked is the group of a payout, a new one if there is none.
func (s *session) groupLocked(channel uint32, p pool.Payout) *group {
	if s.standardOnly {
		g := &group{id: firstGroup, to: channel, payout: p, alone: true}
		s.groups = append(s.groups, g)
		return g
	}
	for _, have := range s.groups {
		if have.payout == p {
			return have
		}
	}
	g := &group{id: firstGroup, payout: p}
	if len(s.groups) > 0 {
		s.nextID++
		g.id = s.nextID
	}
	g.to = g.id
	s.groups = append(s.groups, g)
	return g
}

// leaveLocked takes a channel out of its group. A group without members has no jobs either, and
// one that was for a single channel ends.
func (s *session) leaveLocked(c *channel) {
	g := c.group
	g.members = slices.DeleteFunc(g.members, func(m *channel) bool { return m == c })
	if len(g.members) > 0 {
		return
	}
	g.forget()
	if g.alone {
		s.groups = slices.DeleteFunc(s.groups, func(h *group) bool { return h == g })
	}
}
