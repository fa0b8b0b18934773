package stratum

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Why an open channel cannot be changed.
var (
	ErrNotOpen  = errors.New("there is no such channel")
	ErrNoPrefix = errors.New("every extranonce prefix is in use")
	ErrAccount  = errors.New("a channel is paid by the pool or by the coinbase for as long as it is open")
	ErrStays    = errors.New("the miner has not asked to hear of changes of its extranonce")
)

// channelOf finds an open channel by the numbers that Channels tells. The session is locked if there
// is no error.
func (s *Server) channelOf(session uint64, id uint32) (*session, *channel, error) {
	for _, se := range s.list() {
		if se.id != session {
			continue
		}
		se.mu.Lock()
		if c := se.channels[id]; c != nil && se.cause == nil && !se.parting {
			return se, c, nil
		}
		se.mu.Unlock()
	}
	return nil, nil, fmt.Errorf("channel %d of session %d: %w", id, session, ErrNotOpen)
}

// SetPrefix gives an open channel another extranonce prefix, of the same length, and a job to mine
// under it (sv2-spec 05 §5.3.10). Jobs sent before keep the old one until they die, and the old one is
// nobody else's until then. A device that does not know the message goes on under the old prefix: its
// shares count for those jobs alone.
func (s *Server) SetPrefix(session uint64, channel uint32) error {
	se, c, err := s.channelOf(session, channel)
	if err != nil {
		return err
	}
	defer se.mu.Unlock()
	if !se.says.movesLocked() {
		return ErrStays
	}
	prefix, ok := s.prefixes.Take()
	if !ok {
		return ErrNoPrefix
	}
	if !c.pool.SetPrefix(c.kind.Prefix(prefix)) {
		s.prefixes.Release(prefix)
		return ErrNoPrefix // of this length
	}
	c.former = append(c.former, c.prefix)
	c.prefix = prefix
	now := time.Now()
	se.says.prefixLocked(c)
	se.refreshLocked(c, now)
	se.releaseFormerLocked(c)
	se.flushLocked()
	return nil
}

// releaseFormerLocked gives prefixes back that no job lives under.
func (s *session) releaseFormerLocked(c *channel) {
	if len(c.former) == 0 || c.pool.OldPrefix() {
		return
	}
	for _, p := range c.former {
		s.srv.prefixes.Release(p)
	}
	c.former = nil
}

// SetPayout lets the coinbase of an open channel's jobs pay somebody else from its next job on, which
// is sent at once: the channel moves to the group of that payout (sv2-spec 05 §5.3.22). A miner for
// himself and one of the pool cannot change places, because the shares of one are owed and those of
// the other are not: such a channel has to be closed.
func (s *Server) SetPayout(session uint64, channel uint32, p pool.Payout) error {
	se, c, err := s.channelOf(session, channel)
	if err != nil {
		return err
	}
	defer se.mu.Unlock()
	switch {
	case c.group.payout == p:
		return nil
	case c.group.payout.Solo() != p.Solo():
		return ErrAccount
	}
	se.regroupLocked(c, p, time.Now())
	se.flushLocked()
	return nil
}

// regroupLocked moves a channel to the group of a payout. What it was sent before stays good up to the
// next tip.
func (s *session) regroupLocked(c *channel, p pool.Payout, now time.Time) {
	old, round := c.group, s.srv.rooms.Feed.Current()
	if round != nil {
		s.followLocked(old, round, now)
	}
	mining, tip := old.live, old.tip
	s.leaveLocked(c)
	g := s.groupLocked(c.id, p)
	c.group = g
	if round != nil {
		s.followLocked(g, round, now)
	}
	if !g.alone {
		ids := make([]uint32, 0, len(g.members)+1)
		for _, m := range g.members {
			ids = append(ids, m.id)
		}
		sendLocked(s, sv2.SetGroupChannel{GroupChannelID: g.id, ChannelIDs: append(ids, c.id)})
	}
	if mining && !g.live {
		r := s.says.roundLocked(round, p)
		s.beginLocked(g, r)
		if g.live = true; r.Next != nil {
			g.next = s.numberedLocked(r.Next)
		}
	}
	if !mining || *g.tip != *tip {
		s.joinLocked(c, round, now)
		return
	}
	g.members = append(g.members, c)
	s.moveLocked(c, now)
}

// moveLocked gives a member that comes from another group, and has the tip, a job of the new one to
// mine: a fresh one, because it may have had the group's before and come back. The
// future job is the one that the group's next SetNewPrevHash names.
func (s *session) moveLocked(c *channel, now time.Time) {
	s.refreshLocked(c, now)
	if n := c.group.next; n.job != nil && !c.pool.Waits(n.id) {
		s.says.jobLocked(c.id, c.kind == pool.Standard, c.pool.AssignFuture(n.job, n.id))
	}
}

// CloseChannel ends an open channel with a reason that its miner may read: 1 to 255 bytes of
// printable ASCII. Durable shares are acknowledged first.
func (s *Server) CloseChannel(session uint64, channel uint32, reason string) error {
	se, c, err := s.channelOf(session, channel)
	if err != nil {
		return err
	}
	defer se.mu.Unlock()
	if c.acks != nil {
		se.acknowledgeLocked(c, time.Now())
	}
	se.says.closedLocked(c.id, reason)
	se.dropLocked(c.id)
	if len(se.channels) == 0 {
		se.empty = time.Now()
	}
	se.flushLocked()
	return nil
}
