package stratum

import (
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// rollSize is what an extended channel may roll: the full extranonce less the pool's prefix.
const rollSize = pool.ExtranonceSize - 4

// hardestTarget is the hardest that a channel may insist on: below it no share would ever come, and
// the work of one would not fit 64 bits (2^64 hashes).
var hardestTarget = pool.Target{3: 1}

func (s *session) openStandard(m sv2.OpenStandardMiningChannel, now time.Time) {
	s.open(opening{
		request: m.RequestID, identity: m.UserIdentity, kind: pool.Standard,
		nominal: unit.Hashrate(m.NominalHashRate), maxTarget: pool.TargetFromBytes(&m.MaxTarget),
	}, now)
}

func (s *session) openExtended(m sv2.OpenExtendedMiningChannel, now time.Time) {
	switch {
	case s.standardOnly:
		s.refuseChannel(m.RequestID, "extended-channels-not-supported-for-standard-jobs")
		return
	case int(m.MinExtranonceSize) > rollSize:
		s.refuseChannel(m.RequestID, "min-extranonce-size-too-large")
		return
	}
	s.open(opening{
		request: m.RequestID, identity: m.UserIdentity, kind: pool.Extended,
		nominal: unit.Hashrate(m.NominalHashRate), maxTarget: pool.TargetFromBytes(&m.MaxTarget),
	}, now)
}

func (s *session) refuseChannel(request uint32, code string) {
	s.reply(sv2.OpenMiningChannelError{RequestID: request, Code: code})
}

// opening is a request for a channel, of either kind.
type opening struct {
	request   uint32
	identity  string
	kind      pool.Kind
	nominal   unit.Hashrate
	maxTarget pool.Target
}

// open makes a channel, or says why not; the connection stays either way. Quotas
// come before anything is allocated.
func (s *session) open(o opening, now time.Time) {
	s.mu.Lock()
	full := len(s.channels) >= s.srv.cfg.MaxChannels
	s.mu.Unlock()
	switch {
	case full:
		s.refuseChannel(o.request, "channel-capacity-exhausted")
		return
	case o.maxTarget.Cmp(hardestTarget) < 0:
		s.refuseChannel(o.request, "max-target-out-of-range")
		return
	}
	worker, err := s.authorize(o.identity)
	if err != nil {
		s.srv.log.Info("channel refused", slog.String("address", s.device.Address), slog.Any("error", err))
		s.refuseChannel(o.request, "unknown-user")
		return
	}
	prefix, ok := s.srv.prefixes.Take()
	if !ok {
		s.refuseChannel(o.request, "channel-capacity-exhausted")
		return
	}
	c := &channel{
		kind: o.kind, worker: worker, prefix: prefix, since: now,
		link: s.srv.rooms.Registry.Open(worker, func() { s.shard.poke(s) }),
	}
	s.start(c, o, now)
}

// start puts the channel into the session and sends Success, the first future job and its
// activation in one write (sv2-spec 05 §5.3.15).
func (s *session) start(c *channel, o opening, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		s.srv.rooms.Registry.Close(c.worker, c.link)
		s.srv.prefixes.Release(c.prefix)
		return
	}
	s.nextID++
	c.id = s.nextID
	prefix := c.kind.Prefix(c.prefix)
	c.pool = pool.NewChannel(pool.ChannelConfig{
		ID: c.id, Kind: c.kind, Worker: c.worker, Prefix: prefix, Nominal: o.nominal, MaxTarget: o.maxTarget,
		VersionMask: pool.VersionMask, Difficulty: s.srv.cfg.difficulty(),
	}, now)
	s.channels[c.id] = c
	target := c.pool.Target().Bytes()
	if c.kind == pool.Standard {
		s.sendLocked(sv2.OpenStandardMiningChannelSuccess{
			RequestID: o.request, ChannelID: c.id, Target: target,
			ExtranoncePrefix: prefix, GroupChannelID: groupID,
		})
	} else {
		s.sendLocked(sv2.OpenExtendedMiningChannelSuccess{
			RequestID: o.request, ChannelID: c.id, Target: target, ExtranonceSize: rollSize,
			ExtranoncePrefix: prefix, GroupChannelID: groupID,
		})
	}
	if r := s.srv.rooms.Feed.Current(); r != nil {
		s.followLocked(c, r, now)
	}
	s.flushLocked()
}

// update answers UpdateChannel: nothing if it is valid, SetTarget if the target changes.
func (s *session) update(m sv2.UpdateChannel, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.flushLocked()
	c := s.channels[m.ChannelID]
	if c == nil {
		s.sendLocked(sv2.UpdateChannelError{ChannelID: m.ChannelID, Code: "invalid-channel-id"})
		return
	}
	before := c.pool.Target()
	c.pool.Update(unit.Hashrate(m.NominalHashRate), pool.TargetFromBytes(&m.MaxTarget), now)
	target, changed := c.pool.Retarget(now)
	if changed || target != before {
		s.sendTargetLocked(c, c.pool.Target(), now)
	}
}

// closeChannel ends a channel, or all of them if the id is the group's. Durable shares are
// acknowledged first; an unknown id is ignored.
func (s *session) closeChannel(id uint32, now time.Time) {
	s.acknowledgeAll(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == groupID {
		for each := range s.channels {
			s.dropChannel(each)
		}
		return
	}
	if s.channels[id] != nil {
		s.dropChannel(id)
	}
}
