package stratum

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Errors of changes to open channels.
var (
	errNotOpen  = errors.New("there is no such channel")
	errNoPrefix = errors.New("every extranonce prefix is in use")
	errAccount  = errors.New("a channel is paid by the pool or by the coinbase for as long as it is open")
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
	return nil, nil, fmt.Errorf("channel %d of session %d: %w", id, session, errNotOpen)
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
	prefix, ok := s.prefixes.Take()
	if !ok {
		return errNoPrefix
	}
	full := c.kind.Prefix(prefix)
	if !c.pool.SetPrefix(full) {
		s.prefixes.Release(prefix)
		return errNoPrefix // of this length
	}
	c.former = append(c.former, c.prefix)
	c.prefix = prefix
	now := time.Now()
	sendLocked(se, sv2.SetExtranoncePrefix{ChannelID: c.id, ExtranoncePrefix: full})
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
		return errAccount
	}
	se.regroupLocked(c, p, time.Now())
	se.flushLocked()
	return nil
}

// regroupLocked moves a channel to the group of a payout and gives it that group's jobs. They
// come on the channel's own id, for the others have them.
func (s *session) regroupLocked(c *channel, p pool.Payout, now time.Time) {
	s.leaveLocked(c)
	c.group = s.groupLocked(c.id, p)
	round := s.srv.rooms.Feed.Current()
	if round != nil {
		s.followLocked(c.group, round, now)
	}
	if !c.group.alone {
		ids := make([]uint32, 0, len(c.group.members)+1)
		for _, m := range c.group.members {
			ids = append(ids, m.id)
		}
		sendLocked(s, sv2.SetGroupChannel{GroupChannelID: c.group.id, ChannelIDs: append(ids, c.id)})
	}
	s.joinLocked(c, round, now)
}

// CloseChannel ends an open channel with a reason that its miner may read: 1 to 255 bytes of
// printable ASCII. Durable shares are acknowledged first.
func (s *Server) CloseChannel(session uint64, channel uint32, reason string) error {
	se, c, err := s.channelOf(session, channel)
	if err != nil {
		return err
	}
	defer se.mu.Unlock()
	if c.acks.count > 0 {
		se.acknowledgeLocked(c, time.Now())
	}
	sendLocked(se, sv2.CloseChannel{ChannelID: c.id, Reason: reason})
	se.dropLocked(c.id)
	if len(se.channels) == 0 {
		se.empty = time.Now()
	}
	se.flushLocked()
	return nil
}
