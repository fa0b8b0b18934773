package stratum

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const (
	// nameIdle is how long a worker behind a proxy may be silent before its place may go to another.
	nameIdle = time.Hour
	// sweepEvery is how often a channel whose places are taken looks for idle ones.
	sweepEvery = time.Minute
	// nameAgain is when a name that was refused is asked for again.
	nameAgain = time.Minute
	// rateSpan is the time constant of a worker's measured hashrate.
	rateSpan = 5 * time.Minute
	// expectFor is how long an expected hashrate goes before a measured one, which lags behind it.
	expectFor = 2 * rateSpan
)

// named is a worker behind a proxy: its shares of the proxy's channel carry its name (extension
// 0x0002). It has a Link of its own, so that it is credited, measured and ordered like a
// worker with a channel. It is guarded by the session's mu.
type named struct {
	worker  pool.WorkerID
	link    *fleet.Link
	refused bool // the name is nobody's: worker and link are the channel's
	since   time.Time
	last    time.Time // share

	accepted uint64
	work     uint64
	decayed  float64 // work, weighed by its age

	expected   *fleet.Expectation // applied last
	expectedAt time.Time
}

// behind is what a channel knows of the workers behind a proxy.
type behind struct {
	own   named             // shares without a name
	names map[string]*named // nil until a share names one
	swept time.Time         // when idle names were last looked for
}

// names are the workers behind a proxy, none for other channels.
func (c *channel) names() map[string]*named {
	if c.behind == nil {
		return nil
	}
	return c.behind.names
}

// WorkerStats is one worker behind a proxy at one moment, for people.
type WorkerStats struct {
	Worker    pool.WorkerID
	Since     time.Time // of its first share on this channel
	LastShare time.Time
	Accepted  uint64
	Work      uint64        // expected hashes behind the accepted shares
	Hashrate  unit.Hashrate // over the last minutes
}

// count notes an accepted share.
func (n *named) count(work uint64, now time.Time) {
	n.link.Count(1, work)
	n.accepted++
	n.work += work
	n.decayed = n.decayed*math.Exp(-max(0, now.Sub(n.last).Seconds())/rateSpan.Seconds()) + float64(work)
	n.last = now
}

// rate is the measured hashrate, without the bias of a worker that is new.
func (n *named) rate(now time.Time) unit.Hashrate {
	span := rateSpan.Seconds()
	fresh := n.decayed * math.Exp(-max(0, now.Sub(n.last).Seconds())/span)
	age := max(now.Sub(n.since), 10*time.Second)
	return unit.Hashrate(fresh / (span * (1 - math.Exp(-age.Seconds()/span))))
}

// joined is the worker that a name stands for on a channel: the name under the channel's account.
// Proxies send the worker's part of a Stratum V1 user name, some all of it: an account that is the
// channel's own is not said twice. Bytes that no identity has become underscores.
func joined(own pool.WorkerID, name []byte) (string, bool) {
	account := string(own.Account())
	clean := make([]byte, 0, len(account)+1+len(name))
	clean = append(append(clean, account...), '.')
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '_', c == ':', c == '.':
		default:
			c = '_'
		}
		clean = append(clean, c)
	}
	text := string(clean)
	if said := text[len(account)+1:]; said == account || len(said) > len(account) &&
		said[:len(account)+1] == account+"." {
		text = said
	}
	_, worker, err := pool.ParseIdentity(text)
	return string(worker), err == nil
}

// nameOf is the name behind a share, nil without one. A name that is too long is an error: the share
// must be refused (SV2-026).
func (s *session) nameOf(rest []byte) ([]byte, error) {
	if !s.granted.names {
		return nil, nil
	}
	name, err := sv2.UserIdentity(rest)
	if err == nil && len(name) == 0 {
		s.srv.counts.unnamed.Add(1)
		return nil, nil
	}
	return name, err
}

// refuseShare answers a share whose name cannot be one.
func (s *session) refuseShare(channel, sequence uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.srv.counts.submitted.Add(1)
	if c := s.channels[channel]; c != nil {
		c.rejected++
	}
	s.rejectLocked(channel, sequence, pool.RejectIdentity)
	s.flushLocked()
}

// countLocked counts an accepted share for the worker that it names and says whose it is. It is
// empty if the name is new: then attribute, which may have to ask, counts it.
func (s *session) countLocked(c *channel, name []byte, work uint64, now time.Time) pool.WorkerID {
	if !s.granted.names || c.kind != pool.Extended {
		c.link.Count(1, work)
		return c.worker
	}
	c.becomeProxy(now)
	n := &c.behind.own
	if name != nil {
		known := c.behind.names[string(name)]
		again := known != nil && known.refused && now.Sub(known.since) >= nameAgain
		switch {
		case known != nil && !again:
			n = known
		case again || s.placeLocked(c, now):
			return ""
		default:
			s.srv.counts.crowded.Add(1)
		}
	}
	n.count(work, now)
	return n.worker
}

// becomeProxy makes room for workers behind the channel.
func (c *channel) becomeProxy(now time.Time) {
	if c.behind == nil {
		c.behind = &behind{own: named{worker: c.worker, link: c.link, since: now, last: now}}
	}
}

// nameLocked gives a name its worker before its first share, unless there is no place for it.
func (s *session) nameLocked(c *channel, name string, worker pool.WorkerID, now time.Time) bool {
	s.granted.names = true
	c.becomeProxy(now)
	if c.names()[name] != nil {
		return true
	}
	if !s.placeLocked(c, now) {
		return false
	}
	n := &named{worker: worker, link: s.srv.rooms.Registry.Open(worker, s.wake), since: now, last: now}
	n.link.SetShareWork(c.pool.Target().Work())
	if c.behind.names == nil {
		c.behind.names = map[string]*named{}
	}
	c.behind.names[name] = n
	s.srv.names.Add(1)
	return true
}

// placeLocked says whether the channel may have another name.
func (s *session) placeLocked(c *channel, now time.Time) bool {
	cfg := &s.srv.cfg
	free := func() bool {
		return len(c.behind.names) < cfg.MaxNames && s.srv.names.Load() < int64(cfg.MaxAllNames)
	}
	if free() {
		return true
	}
	if now.Sub(c.behind.swept) < sweepEvery {
		return false
	}
	c.behind.swept = now
	for name, n := range c.behind.names {
		if now.Sub(n.last) >= nameIdle {
			s.forgetLocked(c, name)
		}
	}
	return free()
}

// attribute counts the first share of a name. Whoever it is, it is of the channel's account: a
// name that is refused leaves its shares with the channel's own worker. It is called without the
// lock, because the answer may take time.
func (s *session) attribute(a *accepted, name []byte, now time.Time) {
	c := a.channel
	worker := s.resolve(c.worker, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[c.id] != c {
		a.worker = c.worker // closed meanwhile; the work is credited all the same
		if worker != "" {
			a.worker = worker
		}
		return
	}
	if n := c.behind.names[string(name)]; n != nil {
		s.forgetLocked(c, string(name)) // refused a while ago
	}
	n := &named{worker: worker, since: now, last: now}
	if worker == "" {
		s.srv.counts.misnamed.Add(1)
		n.worker, n.link, n.refused = c.worker, c.link, true
	} else {
		n.link = s.srv.rooms.Registry.Open(worker, s.wake)
		n.link.SetShareWork(c.pool.Target().Work())
	}
	if c.behind.names == nil {
		c.behind.names = map[string]*named{}
	}
	c.behind.names[string(name)] = n
	s.srv.names.Add(1)
	n.count(a.work, now)
	a.worker = n.worker
}

// wake asks the shard to look at this session's expectations.
func (s *session) wake() { s.shard.poke(s) }

// resolve is the worker that a name stands for, empty if it is nobody.
func (s *session) resolve(own pool.WorkerID, name []byte) pool.WorkerID {
	identity, ok := joined(own, name)
	if !ok {
		return ""
	}
	worker, err := s.authorize(identity)
	if err != nil || worker.Account() != own.Account() {
		return ""
	}
	return worker
}

// forgetLocked gives a name's place back.
func (s *session) forgetLocked(c *channel, name string) {
	if n := c.behind.names[name]; !n.refused {
		s.srv.rooms.Registry.Close(n.worker, n.link)
	}
	delete(c.behind.names, name)
	s.srv.names.Add(-1)
}

// forgetAllLocked gives the places of a channel that ends back.
func (s *session) forgetAllLocked(c *channel) {
	for name := range c.names() {
		s.forgetLocked(c, name)
	}
}

// expectNamed is what is expected of a channel with workers behind it: the sum of what each is
// expected to do, or is measured to do. It reports whether any of that is new.
func (c *channel) expectNamed(now time.Time) (sum fleet.Expectation, news bool) {
	proxy := c.behind
	rest := proxy.own.rate(now)
	believe := func(e *fleet.Expectation, at time.Time, measured unit.Hashrate) {
		if e == nil || now.Sub(at) >= expectFor {
			sum.Hashrate += measured
			return
		}
		sum.Hashrate += e.Hashrate
		sum.SharesPerMinute = max(sum.SharesPerMinute, e.SharesPerMinute)
	}
	for _, n := range proxy.names {
		if n.refused {
			rest += n.rate(now)
			continue
		}
		if e := n.link.Expectation(); e != n.expected {
			n.expected, n.expectedAt, news = e, now, true
		}
		believe(n.expected, n.expectedAt, n.rate(now))
	}
	if own := c.link.Expectation(); own != c.expected {
		c.expected, proxy.own.expectedAt, news = own, now, true
	}
	believe(c.expected, proxy.own.expectedAt, rest)
	return sum, news
}

// appendNamed copies the workers behind a channel for people.
func (c *channel) appendNamed(all []WorkerStats, now time.Time) []WorkerStats {
	for _, n := range c.names() {
		if !n.refused {
			all = append(all, WorkerStats{
				Worker: n.worker, Since: n.since, LastShare: n.last,
				Accepted: n.accepted, Work: n.work, Hashrate: n.rate(now),
			})
		}
	}
	return all
}
