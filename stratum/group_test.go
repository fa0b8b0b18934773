package stratum

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// messages reads what a session sent, up to a Reconnect sent now.
func messages(t *testing.T, s *session, client *noise.Conn) (all []sv2.Message) {
	t.Helper()
	go reply(s, sv2.Reconnect{}) // ends when it was read
	for {
		raw, payload, err := client.ReadFrame(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := sv2.Decode(sv2.ParseHeader(raw), payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, over := m.(sv2.Reconnect); over {
			return all
		}
		all = append(all, m)
	}
}

// Ensure that ten channels, of either kind, get one job for a new template and one SetNewPrevHash for a
// new block, on the group's id 1, and everything on their own ids when they open.
func TestGroup_GetsOneMessageForAllItsChannels(t *testing.T) {
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newBench(t, nil)
			b.publish(template(100, 1, false))
			s, client := b.tcpSession()
			now := time.Now()
			for n := range uint32(10) {
				s.open(opening{identity: "a.b", kind: kind, maxTarget: pool.MaxTarget}, now)
				own := 0
				for _, m := range messages(t, s, client) {
					if to := recipient(m); to == n+2 {
						own++
					} else if to != firstGroup || n > 0 {
						t.Errorf("channel %d opened, and %d got %T", n+2, to, m)
					}
				}
				if want := 4; own < want { // first job, its activation, full job, target
					t.Errorf("channel %d got %d messages", n+2, own)
				}
			}
			s.followRound(b.publish(template(100, 1, false)), now)
			if all := messages(t, s, client); len(all) != 1 || recipient(all[0]) != firstGroup {
				t.Errorf("a template gave %d messages: %+v", len(all), all)
			}
			s.followRound(b.publish(template(101, 2, true)), now)
			all := messages(t, s, client)
			if len(all) != 2 { // SetNewPrevHash, and the future job of the block after
				t.Fatalf("a block gave %d messages", len(all))
			}
			tip, ok := all[0].(sv2.SetNewPrevHash)
			if !ok || tip.ChannelID != firstGroup || recipient(all[1]) != firstGroup {
				t.Errorf("a block gave %+v", all)
			}
			s.close(errPeerGone)
		})
	}
}

// recipient is the channel or group that a message is for.
func recipient(m sv2.Message) uint32 {
	switch m := m.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		return m.ChannelID
	case sv2.OpenExtendedMiningChannelSuccess:
		return m.ChannelID
	case sv2.NewMiningJob:
		return m.ChannelID
	case sv2.NewExtendedMiningJob:
		return m.ChannelID
	case sv2.SetNewPrevHash:
		return m.ChannelID
	}
	return 0
}

// soloists reads "miner." and "tither." as who is paid by the coinbase.
func soloists(identity string) (pool.Payout, pool.WorkerID, error) {
	p := pool.Payout{Script: "\x51miner"}
	switch account, _, _ := strings.Cut(identity, "."); account {
	case "tither":
		p.Percent = 10
	case "miner":
	case "":
		return pool.Payout{}, "", errors.New("no account")
	default:
		return pool.Payout{}, "", nil
	}
	return p, pool.WorkerID(pool.SoloAccount + identity), nil
}

// Ensure that channels of one connection which are paid otherwise are in groups of their own, each
// with jobs of its own coinbase.
func TestGroup_HasOnePayout(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	now := time.Now()
	s.srv.rooms.Solo = soloists
	for _, who := range []string{"a.b", "miner.1", "tither.1", "miner.2"} {
		s.open(opening{identity: who, kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	}
	var groups []uint32
	for _, m := range messages(t, s, client) {
		if ok, is := m.(sv2.OpenExtendedMiningChannelSuccess); is {
			groups = append(groups, ok.GroupChannelID)
		}
	}
	if len(groups) != 4 || groups[0] != firstGroup || groups[1] != groups[3] ||
		groups[0] == groups[1] || groups[1] == groups[2] || groups[0] == groups[2] {
		t.Fatalf("groups are %v", groups)
	}
	s.followRound(b.publish(template(100, 1, false)), now)
	sent := messages(t, s, client)
	if len(sent) != 3 {
		t.Fatalf("a template gave %d messages for three groups", len(sent))
	}
	suffixes := map[string]bool{}
	for _, m := range sent {
		if j, ok := m.(sv2.NewExtendedMiningJob); ok {
			suffixes[string(j.CoinbaseSuffix)] = true
		}
	}
	if len(suffixes) != 3 {
		t.Errorf("three groups have %d coinbases", len(suffixes))
	}
	s.close(errPeerGone)
}

// Ensure that closing a group closes its channels and no others (SV2-084).
func TestGroup_ClosesItsChannelsOnly(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	now := time.Now()
	s.srv.rooms.Solo = soloists
	for _, who := range []string{"a.b", "miner.1", "a.c"} {
		s.open(opening{identity: who, kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	}
	s.closeChannel(firstGroup, now)
	messages(t, s, client)
	if len(s.channels) != 1 || len(s.groups) != 2 {
		t.Fatalf("%d channels in %d groups are left", len(s.channels), len(s.groups))
	}
	s.followRound(b.publish(template(101, 2, true)), now)
	if all := messages(t, s, client); len(all) != 2 {
		t.Errorf("one group with a channel got %d messages", len(all))
	}
	s.close(errPeerGone)
}

// Ensure that a channel moves to the group of its new payout, gets that group's jobs and none of its old
// group's, and that its old jobs are dead (SV2-080, SV2-081).
func TestServer_SetPayoutMovesAChannel(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	s.srv.rooms.Solo = soloists
	now := time.Now()
	for _, who := range []string{"miner.1", "miner.2", "a.b"} {
		s.open(opening{identity: who, kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	}
	view := newFollowers()
	take := func() {
		t.Helper()
		for _, m := range messages(t, s, client) {
			if err := view.take(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	take()
	if err := s.srv.SetPayout(s.id, 4, pool.Payout{Script: "\x51"}); err == nil {
		t.Error("a channel of the pool became one that the coinbase pays")
	}
	if err := s.srv.SetPayout(s.id, 99, pool.Payout{}); err == nil {
		t.Error("a channel that is not there changed")
	}
	if err := s.srv.SetPayout(s.id, 2, pool.Payout{Script: "\x51other"}); err != nil {
		t.Fatal(err)
	}
	take()
	if view.channels[2].group == view.channels[3].group || view.channels[3].group != firstGroup {
		t.Errorf("groups are %d and %d", view.channels[2].group, view.channels[3].group)
	}
	s.followRound(b.publish(template(101, 2, false)), now)
	take()
	for id, c := range view.channels {
		if c.tip[0] != 2 || c.sinceTip != 1 {
			t.Errorf("channel %d is on tip %x with %d jobs", id, c.tip[0], c.sinceTip)
		}
	}
	s.close(errPeerGone)
}

// Ensure that a new prefix holds for jobs after it alone, and that the old one is free when the last
// job under it is dead (SV2-067, SV2-068, SV2-092, SV2-093).
func TestServer_SetPrefixHoldsForLaterJobs(t *testing.T) {
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newBench(t, nil)
			b.publish(template(100, 1, false))
			s, client := b.tcpSession()
			now := time.Now()
			s.open(opening{identity: "a.b", kind: kind, maxTarget: pool.MaxTarget}, now)
			c := s.channels[firstGroup+1]
			old := c.prefix
			messages(t, s, client)
			if err := s.srv.SetPrefix(s.id, c.id); err != nil {
				t.Fatal(err)
			}
			all := messages(t, s, client)
			set, ok := all[0].(sv2.SetExtranoncePrefix)
			size := len(c.kind.Prefix(old))
			if !ok || len(all) != 2 || len(set.ExtranoncePrefix) != size || c.prefix == old {
				t.Fatalf("got %+v", all)
			}
			if len(c.former) != 1 || s.srv.prefixes.Live() != 2 {
				t.Errorf("%d old prefixes, %d live", len(c.former), s.srv.prefixes.Live())
			}
			s.followRound(b.publish(template(101, 2, false)), now) // its first job was sent before
			if len(c.former) != 1 {
				t.Error("the old prefix is free, and a job lives under it")
			}
			s.followRound(b.publish(template(102, 3, false)), now)
			if len(c.former) != 0 || s.srv.prefixes.Live() != 1 {
				t.Errorf("%d old prefixes, %d live", len(c.former), s.srv.prefixes.Live())
			}
			s.close(errPeerGone)
		})
	}
}

// Ensure that the server can end a channel, with a reason, and that the connection stays.
func TestServer_CloseChannelSaysWhy(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	s.open(opening{identity: "a.b", kind: pool.Extended, maxTarget: pool.MaxTarget}, time.Now())
	messages(t, s, client)
	if err := s.srv.CloseChannel(s.id, 2, "account-removed"); err != nil {
		t.Fatal(err)
	}
	all := messages(t, s, client)
	if len(all) != 1 || all[0] != (sv2.CloseChannel{ChannelID: 2, Reason: "account-removed"}) {
		t.Errorf("got %+v", all)
	}
	if len(s.channels) != 0 || s.srv.prefixes.Live() != 0 || s.cause != nil {
		t.Errorf("%d channels, %d prefixes, %v", len(s.channels), s.srv.prefixes.Live(), s.cause)
	}
	s.close(errPeerGone)
}

// Ensure that an account and an address have bounds, and get their places back (SV2-074).
func TestServer_BoundsChannelsOfAccountsAndAddresses(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxAccountChannels, c.MaxAddressChannels = 2, 3 })
	s, client := b.tcpSession()
	now := time.Now()
	for _, who := range []string{"a.1", "a.2", "a.3", "b.1", "b.2"} {
		s.openOr(opening{identity: who, kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	}
	s.closeChannel(2, now)
	s.openOr(opening{identity: "a.4", kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	var got []bool
	for _, m := range messages(t, s, client) {
		_, refused := m.(sv2.OpenMiningChannelError)
		got = append(got, !refused)
	}
	if want := []bool{true, true, false, true, false, true}; !slices.Equal(got, want) {
		t.Errorf("opened %v, want %v", got, want)
	}
	s.close(errPeerGone)
	if q := s.srv.quotas; q.all != 0 || len(q.account) != 0 || len(q.address) != 0 {
		t.Errorf("after the end %+v is counted", q)
	}
}

// Ensure that a connection with many channels gets a tip after those with few, whatever came first.
func TestShard_TellsManyChannelsLast(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	now := time.Now()
	var order []*session
	for _, channels := range []int{manyChannels + 1, 1, manyChannels + 1, 2} {
		s, client := b.tcpSession()
		go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
		for range channels {
			s.open(opening{identity: "a.b", kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
		}
		order = append(order, s)
	}
	sh := order[0].shard
	sh.sessions = order
	order[0].mu.Lock() // the first of many cannot be told
	told := make(chan struct{})
	go func() { // ends when all are told
		sh.bring(b.publish(template(101, 2, false)))
		close(told)
	}()
	for _, s := range []*session{order[1], order[3]} {
		for {
			s.mu.Lock()
			height := s.groups[0].tip.Height
			s.mu.Unlock()
			if height == 101 {
				break
			}
			runtime.Gosched()
		}
	}
	order[0].mu.Unlock()
	<-told
	for _, s := range order {
		if s.groups[0].tip.Height != 101 {
			t.Error("a session was left behind")
		}
		s.close(errPeerGone)
	}
}
