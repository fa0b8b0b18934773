package stratum

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// total is the connections and handshakes that are counted.
func (a *sources) total() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.all {
		n += s.live + s.greeting
	}
	return n
}

// await waits for what goroutines with real sockets bring about.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// Ensure that one address cannot begin more handshakes than it may, at one time or in a second, that
// another one is not concerned, and that time gives the right back (SV2-014).
func TestSources_SV2_014_BoundHandshakesByAddress(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxHandshakes, cfg.HandshakeBurst, cfg.HandshakeRate = 3, 5, 2
	a := newSources()
	now := time.Unix(1_800_000_000, 0)
	one, two := prefix("192.0.2.1/32"), prefix("192.0.2.2/32")
	enter := func(from netip.Prefix, n int) (entered int) {
		for range n {
			if a.enter(from, &cfg, now) {
				entered++
			}
		}
		return entered
	}
	if got := enter(one, 10); got != 3 {
		t.Errorf("%d handshakes at one time, want 3", got)
	}
	for range 3 {
		a.greeted(one)
	}
	if got := enter(one, 10); got != 2 {
		t.Errorf("%d more of a burst of 5, want 2", got)
	}
	if got := enter(two, 10); got != 3 {
		t.Errorf("another address may have %d, want 3", got)
	}
	a.greeted(one)
	a.greeted(one)
	now = now.Add(time.Second)
	if got := enter(one, 10); got != 2 {
		t.Errorf("%d after a second at 2 a second", got)
	}
}

// Ensure that addresses which come once and never again are forgotten, and one that owes is not.
func TestSources_ForgetsAddresses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.HandshakeRate, cfg.HandshakeBurst = 100, 100
	a := newSources()
	now := time.Unix(1_800_000_000, 0)
	debtor := prefix("192.0.2.1/32")
	for range 100 {
		if !a.enter(debtor, &cfg, now) {
			t.Fatal("refused within the burst")
		}
		a.greeted(debtor)
		a.leave(debtor)
	}
	most := 0
	for i := range 100_000 {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if !a.enter(from, &cfg, now) {
			t.Fatal("a new address was refused")
		}
		a.greeted(from)
		a.leave(from)
		now = now.Add(time.Microsecond)
		most = max(most, len(a.all))
	}
	if most > 3*sweepFrom*10 {
		t.Errorf("%d addresses were kept at one time", most)
	}
	if s := a.all[debtor]; s == nil || s.handshakes.spent < 80 {
		t.Errorf("what an address owes was forgotten: %+v", s)
	}
}

// Ensure that even a flood from endless addresses is bounded, though each owes something.
func TestSources_BoundTheirMemory(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxSessions, cfg.HandshakeRate = 1000, 0.001
	a := newSources()
	now := time.Unix(1_800_000_000, 0)
	for i := range 50_000 {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		a.enter(from, &cfg, now)
		a.greeted(from)
		a.leave(from)
		if len(a.all) > 8*cfg.MaxSessions {
			t.Fatalf("%d addresses are kept", len(a.all))
		}
	}
}

// Ensure that a storm of handshakes from one address keeps another one waiting for one turn only (SV2-014).
func TestTurns_SV2_014_GoRoundTheAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(1)
		over := make(chan struct{})
		if !s.take(prefix("192.0.2.1/32"), over) {
			t.Fatal("no turn though nobody has one")
		}
		var log []string
		queue := func(from string) {
			go func() {
				if s.take(prefix(from), over) {
					log = append(log, from[8:9]) // one at a time: whoever has the turn
					s.give()
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			queue("192.0.2.1/32")
		}
		queue("192.0.2.2/32")
		queue("192.0.2.3/32")
		s.give()
		synctest.Wait()
		if got := strings.Join(log, ""); got != "1231111" {
			t.Errorf("turns went %s, want 1231111", got)
		}
		if s.free != 1 || len(s.waiting) != 0 || len(s.order) != 0 {
			t.Errorf("left over: %+v", s)
		}
	})
}

// Ensure that whoever waits for a turn stops when the server does.
func TestTurns_EndWithTheServer(t *testing.T) {
	s := newTurns(1)
	over := make(chan struct{})
	s.take(netip.Prefix{}, over)
	close(over)
	if s.take(netip.Prefix{}, over) {
		t.Error("a turn was given twice")
	}
}

// Ensure that half a handshake ends at its deadline and keeps no turn, so that others shake hands
// meanwhile (SV2-014).
func TestServer_SV2_014_EndsAHandshakeAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.publish(template(100, 1, false))
		var slow []net.Conn
		for i := range 50 {
			near, far := net.Pipe()
			b.ln.conns <- far
			_, _ = near.Write(make([]byte, 1+i)) // at most 50 of 64
			slow = append(slow, near)
		}
		c, _, _ := b.open("alice.one")
		defer c.Close()
		time.Sleep(b.server.cfg.HandshakeTimeout + time.Second)
		synctest.Wait()
		if n := b.server.Stats().HandshakesFailed; n != 50 {
			t.Errorf("%d handshakes have ended, want 50", n)
		}
		for _, conn := range slow {
			_ = conn.Close()
		}
		if st := b.server.Stats(); st.Sessions != 1 {
			t.Errorf("%d connections are left, want the honest one", st.Sessions)
		}
		_ = c.Close()
		b.stop()
	})
}

// Ensure that a line of Stratum V1 is told from act 1 by its whole beginning, and computes nothing
// (SV2-015).
func TestLooksLikeV1_SV2_015_NeedsTextBehindTheBrace(t *testing.T) {
	for text, want := range map[string]bool{
		`{"id":1,"method"`:                  true,
		"{\"id\":\t1,\r\n\"me":              true,
		"{" + strings.Repeat("\x80", 15):    false,
		"{\x00" + strings.Repeat("a", 14):   false,
		"[" + strings.Repeat("a", 15):       false,
		"\x80" + strings.Repeat("{", 15):    false,
		"{" + strings.Repeat("a", 14) + "ÿ": false,
	} {
		if got := looksLikeV1([]byte(text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// Ensure that a header which announces 16 MiB ends the session before memory is taken (SV2-030).
func TestSession_SV2_030_RefusesByTheHeader(t *testing.T) {
	b := newBench(t, nil)
	near, far := net.Pipe()
	s, _ := b.session(near, far)
	for typ := range 256 {
		for _, extension := range []uint16{0, sv2.ExtNegotiation, sv2.ExtPower, 0x7fff} {
			h := sv2.Header{Extension: extension, Type: uint8(typ), Length: sv2.MaxPayload}
			if err := s.checkLength(h); !errors.Is(err, errFrame) {
				t.Errorf("extension %#x type %#x of 16 MiB: %v", extension, typ, err)
			}
		}
	}
}

// Ensure that a refused setup says why before the connection ends (SV2-053).
func TestServer_SV2_053_SaysWhyBeforeItCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		c := b.dial()
		if err := c.Send(sv2.SetupConnection{Protocol: 9, MinVersion: 2, MaxVersion: 2}); err != nil {
			t.Fatal(err)
		}
		if m := next[sv2.SetupConnectionError](t, c); m.Code != sv2.CodeUnsupportedProtocol {
			t.Errorf("got %+v", m)
		}
		if err := c.AwaitEnd(3 * lingerFor); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		b.stop()
	})
}

// Ensure that a device without a channel is closed after a minute and not before, and a proxy, whose
// miners may all be off, is not (SV2-054).
func TestServer_SV2_054_ClosesADeviceWithoutAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		mute, device, proxy := b.dial(), b.dial(), b.dial()
		if _, err := device.Setup(sv2.RequiresStandardJobs); err != nil {
			t.Fatal(err)
		}
		if _, err := proxy.Setup(0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(b.server.cfg.OpenTimeout - retargetTick)
		if n := b.server.Stats().Sessions; n != 3 {
			t.Errorf("%d sessions before the time, want 3", n)
		}
		time.Sleep(3 * retargetTick)
		if n := b.server.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions after the time, want the proxy's", n)
		}
		for _, c := range []interface{ Close() error }{mute, device, proxy} {
			_ = c.Close()
		}
		b.stop()
	})
}

// Ensure that a device which sends no share for half a day, because its power is leased, keeps its
// channel and gets work all the while (SV2-055).
func TestServer_SV2_055_KeepsADeviceThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.publish(template(100, 1, false))
		c, channel, _ := b.open("alice.one")
		heard := make(chan error, 1)
		go func() { // ends with the connection: a pipe's writer waits for its reader
			for {
				if _, err := c.Next(13 * time.Hour); err != nil {
					heard <- err
					return
				}
			}
		}()
		for h := range int32(12) {
			time.Sleep(time.Hour)
			b.publish(template(101+h, byte(2+h), false))
		}
		synctest.Wait()
		if st := b.server.Stats(); st.Sessions != 1 || st.Channels != 1 {
			t.Errorf("after half a day: %d sessions, %d channels", st.Sessions, st.Channels)
		}
		if err := c.Send(share(channel, 0xffff, 1)); err != nil { // no such job, but an answer
			t.Error(err)
		}
		synctest.Wait()
		if n := b.server.Stats().Submitted; n != 1 {
			t.Errorf("%d shares were read, want 1", n)
		}
		_ = c.Close()
		<-heard
		b.stop()
	})
}

// Ensure that TCP is told to notice a peer that has vanished, whether something is sent to it or not
// (SV2-055).
func TestWatch_SV2_055_LetsTCPNoticeTheDead(t *testing.T) {
	b := newBench(t, nil)
	s, _ := b.tcpSession()
	watch(s.conn.Conn)
	raw, err := s.conn.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	checkWatched(t, raw)
}

// Ensure that refused shares beyond what is tolerated slow their session down and only that, that none is
// left unanswered, and that the peer is not cut: it may be a proxy with bad miners.
func TestServer_ThrottlesAFloodOfRefusedShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.publish(template(100, 1, false))
		bad, channel, _ := b.open("mallory.one")
		good, honest, job := b.open("alice.one")
		const flood = frameBurst + 500
		go func() {
			for i := range uint32(flood) {
				if bad.Send(share(channel, 0xffff, i)) != nil {
					return
				}
			}
		}()
		began := time.Now()
		if err := good.Send(share(honest, job, 1)); err != nil {
			t.Fatal(err)
		}
		next[sv2.SubmitSharesSuccess](t, good)
		if took := time.Since(began); took > 2*b.server.cfg.AckAfter {
			t.Errorf("an honest share was acknowledged after %v", took)
		}
		for range flood {
			next[sv2.SubmitSharesError](t, bad)
		}
		const beyond = flood - frameBurst - 2*frameBurstChannel
		least := beyond / (int(frameRate+frameRateChannel) + 1)
		if took := time.Since(began); took < time.Duration(least)*time.Second {
			t.Errorf("%d refused shares took %v, want at least %d s", flood, took, least)
		}
		if st := b.server.Stats(); st.Sessions != 2 || st.Throttled == 0 {
			t.Errorf("%d sessions, %d waits", st.Sessions, st.Throttled)
		}
		_, _ = bad.Close(), good.Close()
		b.stop()
	})
}

// Ensure that a miner whose shares are good may have many refused at once, as a proxy at a tip has.
func TestBucket_EarnsByGoodShares(t *testing.T) {
	var b bucket
	now := time.Unix(1_800_000_000, 0)
	for range 10 * frameEarned {
		b.earn(frameEarned)
	}
	n := 0
	for b.spend(frameRate, frameBurst, now) == 0 {
		n++
	}
	if n != frameBurst+frameEarned {
		t.Errorf("%d may be refused at once, want %d", n, frameBurst+frameEarned)
	}
	if b.take(frameRate, frameBurst, now.Add(time.Millisecond)) {
		t.Error("one was taken from an empty bucket")
	}
	if now = now.Add(time.Hour); !b.take(frameRate, frameBurst, now) || b.spent != 1 {
		t.Errorf("after an hour %v is spent, want 1", b.spent)
	}
	b.refill(frameRate, now.Add(-time.Hour))
	if b.spent != 1 {
		t.Errorf("a clock set back changed the debt to %v", b.spent)
	}
}

// Ensure that accepted shares let a connection have more channels at once.
func TestSession_EarnsChannelsByShares(t *testing.T) {
	b := newBench(t, nil)
	s, _ := b.tcpSession()
	now := time.Now()
	mined := sv2.Header{Extension: sv2.ChannelBit, Type: sv2.TypeSubmitSharesExtended}
	for range 500 {
		s.charge(mined, false, now)
	}
	for range 300 {
		s.charge(mined, true, now)
	}
	if got := openBurst - s.opens.spent; got != openBurst+500 {
		t.Errorf("%v channels may be opened at once, want %v", got, openBurst+500)
	}
	s.close(errPeerGone)
}

// Ensure that a proxy opens its first channels at once and others in seconds, and that opening and
// closing again and again is slowed down.
func TestServer_ThrottlesChurnAndNotAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		c := b.dial()
		if _, err := c.Setup(0); err != nil {
			t.Fatal(err)
		}
		open := func(n int) []uint32 {
			t.Helper()
			var ids []uint32
			for range n {
				if err := c.Send(sv2.OpenStandardMiningChannel{
					UserIdentity: "alice.one", MaxTarget: pool.MaxTarget.Bytes(),
				}); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, next[sv2.OpenStandardMiningChannelSuccess](t, c).ChannelID)
			}
			return ids
		}
		began := time.Now()
		ids := open(openBurst)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%d channels took %v", openBurst, took)
		}
		ids = append(ids, open(1500-openBurst)...)
		want := time.Duration((1500 - openBurst) / openRate * float64(time.Second))
		if took := time.Since(began); took < want-time.Second || took > want+time.Second {
			t.Errorf("1,500 channels without a share took %v, want %v", took, want)
		}
		for _, id := range ids[1:] {
			if err := c.Send(sv2.CloseChannel{ChannelID: id}); err != nil {
				t.Fatal(err)
			}
		}
		began = time.Now()
		for range 1000 {
			id := open(1)[0]
			if err := c.Send(sv2.CloseChannel{ChannelID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 30*time.Second {
			t.Errorf("1,000 channels were opened and closed in %v", took)
		}
		_ = c.Close()
		b.stop()
	})
}

// Ensure that the channels which one address asks for are bounded in time over all of its connections.
func TestSources_BoundOpenings(t *testing.T) {
	cfg := DefaultConfig()
	cfg.OpenBurst, cfg.OpenRate = 10, 5
	a := newSources()
	now := time.Unix(1_800_000_000, 0)
	from := prefix("192.0.2.1/32")
	a.enter(from, &cfg, now)
	for i := range 10 {
		if wait := a.opened(from, &cfg, now); wait != 0 {
			t.Fatalf("opening %d waits %v", i, wait)
		}
	}
	if wait := a.opened(from, &cfg, now); wait != 200*time.Millisecond {
		t.Errorf("the next one waits %v, want 200ms", wait)
	}
}

// Ensure that a flood of valid shares from one peer waits for the journal by itself: others enqueue and are
// acknowledged, and every share of both is credited.
func TestServer_OnePeerCannotFillTheQueueOfShares(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Gather = 0 })
	sh := newShard(b.server)
	flooder, honest := &session{srv: b.server, shard: sh}, &session{srv: b.server, shard: sh}
	flooder.says, honest.says = v2{flooder}, v2{honest}
	full := make(chan struct{})
	go func() { // ends when the rest is taken
		for range unsureLimit + 1 {
			sh.enqueue(accepted{session: flooder, channel: &channel{}})
		}
		close(full)
	}()
	await(t, func() bool {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return flooder.unsure == unsureLimit
	})
	sh.enqueue(accepted{session: honest, channel: &channel{}}) // does not wait
	select {
	case <-full:
		t.Error("one more share than the bound was taken")
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with the server
		defer close(done)
		sh.commit(ctx)
	}()
	<-full
	b.server.stop()
	cancel()
	<-done
}

// Ensure that what a slow reader submitted is in the ledger though it was cut and told nothing.
func TestServer_CreditsASlowReaderBeforeItIsCut(t *testing.T) {
	var credited atomic.Int64
	b := newBench(t, nil)
	b.credit = func(_ context.Context, credits []pool.Credit) error {
		for _, c := range credits {
			credited.Add(int64(c.Shares))
		}
		return nil
	}
	go func() { _ = b.server.Run(context.Background()) }() // ends with stop below
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	go func() { // ends when it is cut
		for s.serve() {
			continue // it rests in between
		}
	}()
	plain := sv2.SetupConnection{MinVersion: 2, MaxVersion: 2}.AppendFrame(nil)
	plain = sv2.OpenStandardMiningChannel{
		UserIdentity: "slow.one", MaxTarget: pool.MaxTarget.Bytes(),
	}.AppendFrame(plain)
	if _, err := client.Write(plain); err != nil {
		t.Fatal(err)
	}
	channelID, job := activeJob(t, client)
	const shares = 500
	for i := range uint32(shares) {
		if _, err := client.Write(share(channelID, job, i).AppendFrame(nil)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return b.server.Stats().Accepted > 0 })
	for s.why() == nil { // as jobs would come, and nobody reads them
		reply(s, sv2.SubmitSharesError{Code: strings.Repeat("x", 255)})
	}
	await(t, func() bool { return s.why() != nil })
	if !errors.Is(s.why(), errSlowReader) {
		t.Errorf("ended by %v", s.why())
	}
	await(t, func() bool {
		st := b.server.Stats()
		return st.Accepted <= shares && credited.Load() == int64(st.Accepted) && st.Durable == st.Accepted
	})
	if n := credited.Load(); n == 0 {
		t.Error("no share was read before the cut")
	}
	if n := b.server.backlog.Load(); n != 0 {
		t.Errorf("%d bytes of backlog are counted and gone", n)
	}
	b.server.stop()
}

// activeJob reads frames to the first job that may be worked on.
func activeJob(t *testing.T, c *noise.Conn) (channel, job uint32) {
	t.Helper()
	for {
		raw, payload, err := c.ReadFrame(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := sv2.Decode(sv2.ParseHeader(raw), payload)
		if j, ok := m.(sv2.NewMiningJob); ok && !j.Future {
			return j.ChannelID, j.JobID
		}
	}
}

// Ensure that slow readers get less patience when all of them together hold much memory.
func TestOutbox_HasLessPatienceWhenMemoryIsScarce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxBacklog = 1 << 20 })
	b.server.backlog.Add(2 << 20) // of others
	s, _ := b.tcpSession()
	m := sv2.SubmitSharesError{Code: strings.Repeat("x", 255)}
	sent := 0
	for ; s.why() == nil; sent += 300 {
		reply(s, m)
		if sent > 20<<20 {
			t.Fatal("not cut")
		}
	}
	s.finish()
	if n := b.server.backlog.Load(); n != 2<<20 {
		t.Errorf("backlog is %d after the session's end, want %d", n, 2<<20)
	}
	if !errors.Is(s.why(), errSlowReader) {
		t.Errorf("ended by %v", s.why())
	}
}

// Ensure that a thousand peers which ask for channels that they may not have write few lines.
func TestServer_BoundsWhatPeersLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := newBench(t, nil)
		b.server.log = slog.New(slog.NewJSONHandler(&out, nil))
		b.authorize = func(identity string) error { return fmt.Errorf("identity %q is not known", identity) }
		b.start()
		for range 3 * complaintBurst {
			c := b.dial()
			if _, err := c.Setup(0); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := c.Send(sv2.OpenStandardMiningChannel{
					UserIdentity: "mallory.\n\"x", MaxTarget: pool.MaxTarget.Bytes(),
				}); err != nil {
					t.Fatal(err)
				}
				next[sv2.OpenMiningChannelError](t, c)
			}
			_ = c.Close()
		}
		synctest.Wait()
		lines := 0
		for line := range bytes.Lines(out.Bytes()) {
			if lines++; !json.Valid(line) {
				t.Errorf("line %q", line)
			}
		}
		if lines > complaintBurst+5 {
			t.Errorf("%d lines, want about %d", lines, complaintBurst)
		}
		b.stop()
	})
}
