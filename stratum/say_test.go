package stratum

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/stratum/sv1"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// said are the messages that a client has been sent.
func (c *v1Client) said() (all []string) {
	c.tb.Helper()
	for synctest.Wait(); len(c.lines) > 0; synctest.Wait() { // the reader may have waited for room
		for range len(c.lines) {
			if l := c.hear(); l.Method == "client.show_message" {
				all = append(all, string(l.Params[0]))
			}
		}
	}
	return all
}

// Ensure that the operator's message reaches the V1 miners in its scope, and nobody else, and that V2
// channels are counted as ones that it cannot reach.
func TestServer_SaysToThoseInScope(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		rig := b.dialV1()
		defer rig.conn.Close()
		rig.join("test", "a.rig", "x")
		proxy := b.dialV1()
		defer proxy.conn.Close()
		proxy.join("test", "b.proxy", "x")
		proxy.say(`{"id":3,"method":"mining.authorize","params":["b.behind"]}`)
		if l := proxy.reply("3"); !l.accepted() {
			t.Fatalf("a further worker is answered by %v", l)
		}
		idle := b.dialV1() // without a channel: it is told nothing
		defer idle.conn.Close()
		idle.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
		idle.subscribed(idle.reply("1"))
		modern, channel, _ := b.open("a.modern")
		defer modern.Close()
		next[sv2.SetNewPrevHash](t, modern) // the last of its opening
		ids := map[string]ChannelStats{}
		for _, c := range b.server.Channels() {
			ids[string(c.Worker)] = c
		}
		one := func(worker string) Scope {
			return Scope{Session: ids[worker].Session, Channel: ids[worker].Channel}
		}
		for _, v := range []struct {
			name       string
			to         Scope
			want       Said
			rig, proxy bool
		}{
			{"all", Scope{All: true}, Said{Told: 2, Unreachable: 1}, true, true},
			{"account", Scope{Worker: "a"}, Said{Told: 1, Unreachable: 1}, true, false},
			{"worker", Scope{Worker: "a.rig"}, Said{Told: 1}, true, false},
			{"worker behind another", Scope{Worker: "b.behind"}, Said{Told: 1}, false, true},
			{"V2 worker", Scope{Worker: "a.modern"}, Said{Unreachable: 1}, false, false},
			{"channel", one("b.proxy"), Said{Told: 1}, false, true},
			{"V2 channel", one("a.modern"), Said{Unreachable: 1}, false, false},
		} {
			got, err := b.server.Say(v.to, `disk "0" moves\`)
			if err != nil || got != v.want {
				t.Errorf("%s: told %+v, want %+v; error %v", v.name, got, v.want, err)
			}
			for c, want := range map[*v1Client]bool{rig: v.rig, proxy: v.proxy, idle: false} {
				lines := c.said()
				if want != (len(lines) == 1) || want && lines[0] != `"disk \"0\" moves\\"` {
					t.Errorf("%s: a miner was told %q, want one message: %v", v.name, lines, want)
				}
			}
		}
		if err := modern.Send(share(channel, 0, 1)); err != nil {
			t.Fatal(err)
		}
		if f, err := modern.Next(time.Minute); err != nil || f.Header.Type != sv2.TypeSubmitSharesError {
			t.Errorf("after messages to others a V2 miner is told %+v, error %v", f, err)
		}
	})
}

// Ensure that what cannot be said, or has nobody to hear it, is refused in words, and that nobody is told.
func TestServer_RefusesWhatCannotBeSaid(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		c.said()
		for _, text := range []string{
			"", strings.Repeat("x", 256), "two\nlines", "tab\t", "\x1b[2J", "del\x7f", "smörgås", "\xff",
		} {
			said, err := b.server.Say(Scope{All: true}, text)
			if !errors.Is(err, ErrText) || said != (Said{}) || !strings.Contains(err.Error(), "accepted") {
				t.Errorf("%q: told %+v, error %v", text, said, err)
			}
		}
		id := b.server.Channels()[0]
		for name, v := range map[string]struct {
			to   Scope
			want error
		}{
			"nobody":          {Scope{}, ErrNotOpen},
			"no such worker":  {Scope{Worker: "a.x"}, ErrNobody},
			"part of a name":  {Scope{Worker: "a."}, ErrNobody},
			"no such session": {Scope{Session: id.Session + 1000, Channel: id.Channel}, ErrNotOpen},
			"no such channel": {Scope{Session: id.Session, Channel: id.Channel + 1}, ErrNotOpen},
		} {
			if said, err := b.server.Say(v.to, "hello"); !errors.Is(err, v.want) || said != (Said{}) {
				t.Errorf("%s: told %+v, error %v, want %v", name, said, err, v.want)
			}
		}
		if lines := c.said(); len(lines) != 0 {
			t.Errorf("the miner was told %q", lines)
		}
		said, err := b.server.Say(Scope{All: true}, strings.Repeat(`"`, maxText))
		if err != nil || said.Told != 1 {
			t.Errorf("the longest message: told %+v, error %v", said, err)
		}
		if lines := c.said(); len(lines) != 1 || strings.Count(lines[0], `\"`) != 255 {
			t.Errorf("the miner was told %q", lines)
		}
	})
}

// Ensure that a miner which does not read is left out once its outbox is full, is not cut for the message's
// sake, and reads all that it was told.
func TestServer_SaysNothingToAFullOutbox(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		c.said()
		text := strings.Repeat("x", maxText)
		told := 0
		for {
			said, err := b.server.Say(Scope{All: true}, text)
			if err != nil || said.Told+said.Behind != 1 {
				t.Fatalf("after %d: told %+v, error %v", told, said, err)
			}
			if told += said.Told; said.Behind > 0 {
				break
			}
		}
		if waits := b.server.Stats().Backlog; waits > outboxLimit+outboxLimitChannel {
			t.Errorf("%d bytes wait, at most %d may", waits, outboxLimit+outboxLimitChannel)
		}
		if n := len(c.said()); n != told {
			t.Errorf("%d messages were read, %d were said", n, told)
		}
		if said, err := b.server.Say(Scope{All: true}, "hello"); err != nil || said != (Said{Told: 1}) {
			t.Errorf("with room: told %+v, error %v", said, err)
		}
		_ = c.conn.Close()
		synctest.Wait()
		if said, err := b.server.Say(Scope{All: true}, "hello"); err != nil || said != (Said{}) {
			t.Errorf("after the miner has gone: told %+v, error %v", said, err)
		}
	})
}

// Ensure that no message is longer than the room that is looked for.
func TestSay_FitsItsRoom(t *testing.T) {
	if n := len(sv1.AppendShowMessage(nil, strings.Repeat(`\`, maxText))); n > textRoom {
		t.Errorf("a message has %d bytes, room is made for %d", n, textRoom)
	}
}
