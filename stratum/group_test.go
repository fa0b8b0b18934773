package stratum

import (
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

// Ensure that channels of one connection which are paid otherwise are in groups of their own, each
// with jobs of its own coinbase.
func TestGroup_HasOnePayout(t *testing.T) {
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	now := time.Now()
	miner := pool.Payout{Script: "\x51miner"}
	payouts := []pool.Payout{{}, miner, {Script: miner.Script, Percent: 10}, miner}
	for _, p := range payouts {
		s.open(opening{identity: "a.b", kind: pool.Extended, maxTarget: pool.MaxTarget, payout: p}, now)
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
	for _, p := range []pool.Payout{{}, {Script: "\x51miner"}, {}} {
		s.open(opening{identity: "a.b", kind: pool.Extended, maxTarget: pool.MaxTarget, payout: p}, now)
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
