package stratum

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// follower is a client's view of one channel by the letter of sv2-spec 05 §5.3.15-17.
type follower struct {
	kind           pool.Kind
	group          uint32
	closed         bool
	seen           map[uint32]bool // every job id that the channel was ever sent
	future, active map[uint32]bool
	tip            [32]byte
	live           bool
	sinceTip       int // active jobs sent after the tip
}

// followers checks everything that a connection is sent.
type followers struct {
	channels map[uint32]*follower
	groups   map[uint32]bool
	toGroups int // jobs that were sent to groups
}

func newFollowers() *followers {
	return &followers{channels: map[uint32]*follower{}, groups: map[uint32]bool{}}
}

func (f *followers) take(m sv2.Message) error {
	switch m := m.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		return f.open(m.ChannelID, m.GroupChannelID, pool.Standard)
	case sv2.OpenExtendedMiningChannelSuccess:
		return f.open(m.ChannelID, m.GroupChannelID, pool.Extended)
	case sv2.NewMiningJob:
		if c := f.channels[m.ChannelID]; c == nil || c.kind != pool.Standard {
			return fmt.Errorf("standard job for %d, which is no standard channel", m.ChannelID)
		}
		return f.job(m.ChannelID, m.JobID, m.Future)
	case sv2.NewExtendedMiningJob:
		if c := f.channels[m.ChannelID]; c != nil && c.kind != pool.Extended {
			return fmt.Errorf("extended job for %d, which is a standard channel", m.ChannelID)
		}
		return f.job(m.ChannelID, m.JobID, m.Future)
	case sv2.SetNewPrevHash:
		return f.prevHash(m)
	case sv2.SetTarget:
		if c := f.channels[m.ChannelID]; c == nil || c.closed {
			return fmt.Errorf("target for channel %d, which is not open", m.ChannelID)
		}
	case sv2.SetGroupChannel:
		return f.regroup(m)
	case sv2.SetExtranoncePrefix:
		if c := f.channels[m.ChannelID]; c == nil || c.closed {
			return fmt.Errorf("prefix for channel %d, which is not open", m.ChannelID)
		}
	case sv2.CloseChannel:
		if c := f.channels[m.ChannelID]; c != nil {
			c.closed = true
		}
	case sv2.Reconnect:
	default:
		return fmt.Errorf("unexpected %T", m)
	}
	return nil
}

func (f *followers) open(id, group uint32, kind pool.Kind) error {
	if f.channels[id] != nil || f.groups[id] || f.channels[group] != nil || id == group {
		return fmt.Errorf("channel id %d or group id %d is used twice", id, group)
	}
	f.groups[group] = true
	f.channels[id] = &follower{
		kind: kind, group: group, seen: map[uint32]bool{},
		future: map[uint32]bool{}, active: map[uint32]bool{},
	}
	return nil
}

func (f *followers) regroup(m sv2.SetGroupChannel) error {
	if f.channels[m.GroupChannelID] != nil {
		return fmt.Errorf("channel id %d becomes a group", m.GroupChannelID)
	}
	f.groups[m.GroupChannelID] = true
	for _, id := range m.ChannelIDs {
		c := f.channels[id]
		if c == nil || c.closed {
			return fmt.Errorf("group of channel %d, which is not open", id)
		}
		c.group = m.GroupChannelID
	}
	return nil
}

// members are the open channels that a message to an id is for.
func (f *followers) members(id uint32) (all []*follower) {
	for each, c := range f.channels {
		if !c.closed && (each == id || c.group == id) {
			all = append(all, c)
		}
	}
	return all
}

func (f *followers) job(to, id uint32, future bool) error {
	all := f.members(to)
	if len(all) == 0 {
		return fmt.Errorf("job for %d, which is neither an open channel nor a group of one", to)
	}
	if f.groups[to] {
		f.toGroups++
	}
	for _, c := range all {
		switch {
		case c.seen[id]:
			return fmt.Errorf("job id %d is used twice", id)
		case !future && !c.live:
			return fmt.Errorf("active job %d without a tip", id)
		}
		c.seen[id] = true
		if future {
			c.future[id] = true
		} else {
			c.active[id] = true
			c.sinceTip++
		}
	}
	return nil
}

func (f *followers) prevHash(m sv2.SetNewPrevHash) error {
	all := f.members(m.ChannelID)
	if len(all) == 0 {
		return fmt.Errorf("SetNewPrevHash for %d, which is neither an open channel nor a group", m.ChannelID)
	}
	for _, c := range all {
		if !c.future[m.JobID] {
			return fmt.Errorf("SetNewPrevHash names job %d of %d, which is no future job of it",
				m.JobID, m.ChannelID)
		}
		c.future, c.active = map[uint32]bool{}, map[uint32]bool{m.JobID: true}
		c.tip, c.live, c.sinceTip = m.PrevHash, true, 0
	}
	return nil
}

// chain makes random rounds.
type chain struct {
	*bench
	height int32
	prev   byte
}

func (c *chain) step(t *rapid.T) *pool.Round {
	switch rapid.SampledFrom([]string{"block", "block", "same", "reorg", "shorter"}).Draw(t, "chain") {
	case "block":
		c.height++
		c.prev++
	case "reorg":
		c.prev++
	case "shorter":
		c.height = max(100, c.height-2)
		c.prev++
	}
	return c.publish(template(c.height, c.prev, rapid.Bool().Draw(t, "partial")))
}

// broken is a round whose first job is not of its tip: our own fault, and no reason to stay silent.
func (c *chain) broken() *pool.Round {
	r := *c.round
	r.Seq++
	r.Tip.Height += 7
	r.Tip.Prev[5]++
	return &r
}

// steps are what may happen to a session; some twice, to happen more often.
var steps = []string{"publish", "publish", "follow", "old", "broken", "open", "open", "expect", "close"}

// Ensure that a client which goes by the letter can follow any sequence of rounds, seen, missed, late or
// broken, on channels of both kinds that open and close at any moment, under changing targets, and
// that it ends on the newest tip with its jobs (SV2-101 to SV2-104, SV2-062, SV2-085).
func TestFollow_IsUnderstoodByTheLetter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, nil)
		s, client := b.tcpSession()
		c := &chain{bench: b, height: 100, prev: 1}
		view := newFollowers()
		checked := make(chan error, 1)
		go func() { checked <- readAll(client, view) }() // ends at Reconnect or with the connection
		var rounds []*pool.Round
		seq := uint64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			now := time.Now()
			switch rapid.SampledFrom(steps).Draw(rt, "step") {
			case "publish":
				rounds = append(rounds, c.step(rt))
			case "follow":
				if r := b.feed.Current(); r != nil {
					s.followRound(r, now)
				}
			case "old": // a shard that lags behind what a new channel has seen
				if len(rounds) > 0 {
					s.followRound(rapid.SampledFrom(rounds).Draw(rt, "round"), now)
				}
			case "broken":
				if len(rounds) > 0 {
					s.followRound(c.broken(), now)
				}
			case "open":
				kind := rapid.SampledFrom([]pool.Kind{pool.Standard, pool.Extended}).Draw(rt, "kind")
				s.open(opening{identity: "a.b", kind: kind, nominal: 1e9, maxTarget: pool.MaxTarget}, now)
			case "expect":
				seq++
				for _, l := range b.fleet.Links("a.b") {
					rate := rapid.Float64Range(0, 1e15).Draw(rt, "rate")
					l.Expect(fleet.Expectation{Seq: seq, Hashrate: unit.Hashrate(rate)})
				}
				s.expect(now)
			case "close":
				if id := uint32(rapid.IntRange(1, 9).Draw(rt, "id")); s.channels[id] != nil {
					s.closeChannel(id, now)
					reply(s, sv2.CloseChannel{ChannelID: id}) // for the reader: from here on
				}
			}
		}
		last := c.publish(template(c.height+1, c.prev+1, false))
		s.followRound(last, time.Now())
		open := map[uint32]bool{}
		for id := range s.channels {
			open[id] = true
		}
		reply(s, sv2.Reconnect{})
		if err := <-checked; err != nil {
			rt.Fatal(err, s.why())
		}
		for id := range open {
			ch := view.channels[id]
			if !ch.live || ch.tip != last.Tip.Prev || ch.sinceTip == 0 || len(ch.future) != 1 {
				rt.Fatalf("channel %d ended on %x with %d jobs since and %d future, want tip %v",
					id, ch.tip[:2], ch.sinceTip, len(ch.future), last.Tip.Prev)
			}
		}
		s.close(errPeerGone)
	})
}

// readAll checks every message up to Reconnect.
func readAll(client *noise.Conn, view *followers) error {
	for {
		raw, payload, err := client.ReadFrame(nil, nil)
		if err != nil {
			return err
		}
		m, err := sv2.Decode(sv2.ParseHeader(raw), payload)
		if err != nil {
			return err
		}
		if err := view.take(m); err != nil {
			return err
		}
		if _, over := m.(sv2.Reconnect); over {
			return nil
		}
	}
}

// Ensure that more future jobs than a channel keeps do not silence it.
func TestFollow_RecoversWhenAFutureJobWasDropped(t *testing.T) {
	b := newBench(t, nil)
	s, client := b.tcpSession()
	go func() { // ends with the connection
		view := newFollowers()
		_ = readAll(client, view)
	}()
	now := time.Now()
	first := b.publish(template(100, 1, false))
	s.open(opening{identity: "a.b", maxTarget: pool.MaxTarget}, now)
	c := s.channels[firstGroup+1]
	for id := range uint32(pool.MaxFutureJobs) {
		c.pool.AssignFuture(first.Next, 1000+id)
	}
	for n := range byte(3) {
		r := b.publish(template(101+int32(n), 2+n, false))
		s.followRound(r, now)
	}
	if *c.group.tip != b.round.Tip {
		t.Errorf("channel stayed on %+v", c.group.tip)
	}
}
