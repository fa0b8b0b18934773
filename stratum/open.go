package stratum

import (
	"log/slog"
	"math"
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
	s.openOr(opening{
		request: m.RequestID, identity: m.UserIdentity, kind: pool.Standard,
		nominal: unit.Hashrate(m.NominalHashRate), maxTarget: pool.TargetFromBytes(&m.MaxTarget),
	}, now)
}

func (s *session) openExtended(m sv2.OpenExtendedMiningChannel, now time.Time) {
	switch {
	case s.standardOnly:
		s.refuseChannel(m.RequestID, sv2.CodeNoExtendedChannels)
		return
	case int(m.MinExtranonceSize) > rollSize:
		s.refuseChannel(m.RequestID, sv2.CodeExtranonceTooLarge)
		return
	}
	s.openOr(opening{
		request: m.RequestID, identity: m.UserIdentity, kind: pool.Extended,
		nominal: unit.Hashrate(m.NominalHashRate), maxTarget: pool.TargetFromBytes(&m.MaxTarget),
	}, now)
}

func (s *session) refuseChannel(request uint32, code string) {
	reply(s, sv2.OpenMiningChannelError{RequestID: request, Code: code})
}

// opening is a request for a channel, of either kind.
type opening struct {
	request   uint32
	identity  string
	kind      pool.Kind
	nominal   unit.Hashrate
	maxTarget pool.Target
	prefix    *[4]byte // taken already; nil: any
	v1        *v1      // nil in Stratum V2
	start     float64  // difficulty that is asked for; 0: none
}

// openOr makes a channel, or tells the peer why not.
func (s *session) openOr(o opening, now time.Time) {
	code := sv2.CodeExtensionsMissing
	if s.negotiated() {
		code = s.open(o, now)
	}
	if code != "" {
		s.refuseChannel(o.request, code)
	}
}

// open makes a channel, or says why not; the connection stays either way. Quotas
// come before anything is allocated.
func (s *session) open(o opening, now time.Time) (code string) {
	cfg := &s.srv.cfg
	s.mu.Lock()
	full := len(s.channels) >= cfg.MaxChannels || s.nextID >= math.MaxUint32-1 // a group may need one too
	firmware := s.device.Firmware
	s.mu.Unlock()
	switch {
	case full:
		return sv2.CodeTooManyChannels
	case o.maxTarget.Cmp(hardestTarget) < 0:
		return sv2.CodeMaxTargetOutOfRange
	}
	payout, worker, code := s.admit(o.identity)
	if code != "" {
		return code
	}
	if !s.srv.quotas.take(cfg, worker.Account(), s.source) {
		return sv2.CodeTooManyChannels
	}
	c := &channel{kind: o.kind, worker: worker}
	if o.prefix != nil {
		c.prefix = *o.prefix
	} else if c.prefix, full = s.srv.takePrefix(); full {
		s.srv.quotas.give(worker.Account(), s.source)
		return sv2.CodeTooManyChannels
	}
	c.link = s.srv.rooms.Registry.Open(worker, s.wake)
	c.link.SetFirmware(firmware)
	s.start(c, o, payout, now)
	return ""
}

// takePrefix takes any extranonce prefix, unless all are in use.
func (s *Server) takePrefix() (prefix [4]byte, full bool) {
	prefix, ok := s.prefixes.Take()
	return prefix, !ok
}

// admit says whose work an identity is and whom its coinbase pays, or the code to refuse it with.
func (s *session) admit(identity string) (pool.Payout, pool.WorkerID, string) {
	if solo := s.srv.rooms.Solo; solo != nil {
		switch payout, worker, err := solo(identity); {
		case err != nil:
			s.complainOf(err)
			return pool.Payout{}, "", sv2.CodeInvalidUserIdentity
		case worker != "":
			return payout, worker, ""
		}
	}
	worker, err := s.authorize(identity)
	if err != nil {
		s.complainOf(err)
		return pool.Payout{}, "", sv2.CodeUnknownUser
	}
	return pool.Payout{}, worker, ""
}

// complainOf logs why a channel was refused.
func (s *session) complainOf(err error) {
	if s.complain() {
		s.srv.log.Info("channel refused",
			slog.String("address", s.device.Address), slog.Any("error", err))
	}
}

// release gives back what a channel had of the server.
func (s *session) release(c *channel) {
	s.srv.rooms.Registry.Close(c.worker, c.link)
	s.srv.quotas.give(c.worker.Account(), s.source)
	s.srv.prefixes.Release(c.prefix)
	for _, p := range c.former {
		s.srv.prefixes.Release(p)
	}
}

// start puts the channel into the session and sends Success, the first future job and its
// activation in one write (sv2-spec 05 §5.3.15).
func (s *session) start(c *channel, o opening, payout pool.Payout, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		s.release(c)
		return
	}
	s.nextID++
	c.id = s.nextID
	cfg := pool.ChannelConfig{
		ID: c.id, Kind: c.kind, Worker: c.worker, Prefix: c.kind.Prefix(c.prefix), Nominal: o.nominal,
		MaxTarget: s.port.easiest(o.maxTarget), VersionMask: pool.VersionMask,
		Difficulty: s.srv.difficulty, PowersOfTwo: s.port.PowersOfTwo || s.device.roundsToPowers(),
	}
	if o.v1 != nil {
		o.v1.configure(&cfg)
	}
	c.pool = pool.NewChannel(cfg, now)
	if o.start > 0 {
		c.pool.Suggest(o.start, now)
	}
	s.channels[c.id] = c
	if len(s.channels) > manyChannels {
		s.many.Store(true)
	}
	c.group = s.groupLocked(c.id, payout)
	round := s.srv.rooms.Feed.Current()
	if round != nil {
		s.followLocked(c.group, round, now)
	}
	c.expect(now) // it may have come before the channel was here to be woken
	target, _ := c.pool.Retarget(now)
	c.tellShareWork(target.Work())
	s.says.openedLocked(c, o.request, target)
	s.joinLocked(c, round, now)
	s.flushLocked()
}

// manyChannels is how many a connection has that waits for the others at a tip: a proxy of a hall, or
// a peer that only wants to be a burden.
const manyChannels = 64

// updateEvery is how often UpdateChannel may change a channel, because each change may cost a job
// (sv2-spec 05 §5.3.7 asks the same of the peer). The newest one in between waits for the next look.
const updateEvery = time.Second

// update answers UpdateChannel: nothing if it is valid, SetTarget if the target changes.
func (s *session) update(m sv2.UpdateChannel, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(code string) {
		sendLocked(s, sv2.UpdateChannelError{ChannelID: m.ChannelID, Code: code})
	}
	switch c := s.channels[m.ChannelID]; {
	case c == nil:
		refuse(sv2.CodeInvalidChannelID)
	case pool.TargetFromBytes(&m.MaxTarget).Cmp(hardestTarget) < 0:
		refuse(sv2.CodeMaxTargetOutOfRange)
	case c.pool.Age(now) < c.rested:
		c.held = new(m)
	default:
		s.updateLocked(c, m, now)
	}
	s.flushLocked()
}

func (s *session) updateLocked(c *channel, m sv2.UpdateChannel, now time.Time) {
	c.rested, c.held = c.pool.Age(now)+updateEvery, nil
	before := c.pool.Target()
	c.pool.Update(unit.Hashrate(m.NominalHashRate), s.port.easiest(pool.TargetFromBytes(&m.MaxTarget)), now)
	if target, changed := c.pool.Retarget(now); changed || target != before {
		s.sendTargetLocked(c, target, now)
	}
}

// closeChannel ends a channel, or all of a group if the id is a group's. Durable shares are
// acknowledged first; an unknown id is ignored.
func (s *session) closeChannel(id uint32, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for each, c := range s.channels {
		if id != each && id != c.group.id {
			continue
		}
		if c.acks != nil {
			s.acknowledgeLocked(c, now)
		}
		s.dropLocked(each)
	}
	if len(s.channels) == 0 {
		s.empty = now
	}
	s.flushLocked()
}
