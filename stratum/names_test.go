package stratum

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// proxy is a client with an extended channel that negotiated extensions, and its active job.
type proxy struct {
	b            *bench
	c            *stratumtest.Client
	channel, job uint32
	sequence     uint32
}

func (b *bench) proxy(identity string, extensions ...uint16) *proxy {
	b.tb.Helper()
	c := b.setUp()
	if len(extensions) > 0 {
		b.ask(c, 1, extensions...)
		next[sv2.RequestExtensionsSuccess](b.tb, c)
	}
	ok, err := c.OpenExtended(identity, 0, pool.MaxTarget)
	if err != nil {
		b.tb.Fatal(err)
	}
	p := &proxy{b: b, c: c, channel: ok.ChannelID}
	for {
		if j := next[sv2.NewExtendedMiningJob](b.tb, c); !j.Future {
			p.job = j.JobID
			return p
		}
	}
}

// raw is a share as a frame, with bytes behind its fields.
func (p *proxy) raw(behind []byte) []byte {
	p.sequence++
	frame := sv2.SubmitSharesExtended{
		ChannelID: p.channel, Sequence: p.sequence, JobID: p.job, Nonce: p.sequence,
		Time: uint32(time.Now().Unix()), Version: 0x20000000, Extranonce: make([]byte, rollSize),
	}.AppendFrame(nil)
	return append(frame[sv2.HeaderSize:], behind...)
}

// submit sends shares with bytes behind them and waits until they are judged.
func (p *proxy) submit(behind ...[]byte) {
	p.b.tb.Helper()
	for _, b := range behind {
		if err := p.c.SendRaw(sv2.ChannelBit, sv2.TypeSubmitSharesExtended, p.raw(b)); err != nil {
			p.b.tb.Fatal(err)
		}
	}
	synctest.Wait()
}

// listen reads what comes for a while and follows the jobs: a pipe that nobody reads is cut.
func (p *proxy) listen(d time.Duration) {
	p.b.tb.Helper()
	until := time.Now().Add(d)
	for {
		f, err := p.c.Next(time.Until(until))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			p.b.tb.Fatal(err)
		}
		if j, ok := f.Message.(sv2.NewExtendedMiningJob); ok && !j.Future {
			p.job = j.JobID
		}
	}
}

// tlv is a name as the reference implementation sends it.
func tlv(name string) []byte {
	frame := sv2.AppendTLV(make([]byte, sv2.HeaderSize), 0, sv2.TLV{
		Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte(name),
	})
	return frame[sv2.HeaderSize:]
}

// purse collects credits.
type purse struct {
	mu     sync.Mutex
	shares map[pool.WorkerID]uint64 // guarded by mu
}

func (p *purse) credit(_ context.Context, credits []pool.Credit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range credits {
		p.shares[c.Worker] += c.Shares
	}
	return nil
}

func (p *purse) of(w pool.WorkerID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shares[w]
}

// credited runs a test with a server whose credits are collected.
func credited(t *testing.T, change func(*Config), test func(b *bench, p *purse)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, change)
		p := &purse{shares: map[pool.WorkerID]uint64{}}
		b.credit = p.credit
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		test(b, p)
	})
}

// Ensure that each share is credited to the worker that it names, within the channel's account,
// whichever way the name is written.
func TestSV2_166_CreditsTheNamedWorker(t *testing.T) {
	const big = "\x00\x02\x01\x00\x04rig1" // as the specification's example has it
	long := strings.Repeat("x", 32)
	for behind, want := range map[string]pool.WorkerID{
		string(tlv("rig1")):                           "alice.rig1",
		big:                                           "alice.rig1",
		string(tlv("alice.rig1")):                     "alice.rig1",
		string(tlv("alice.hall.rig1")):                "alice.hall.rig1",
		string(tlv("hall.rig1")):                      "alice.hall.rig1",
		string(tlv("alicex.rig1")):                    "alice.alicex.rig1",
		string(tlv("bob.rig1")):                       "alice.bob.rig1", // bob gets nothing
		string(tlv("alice")):                          "alice.default",
		string(tlv("rig 1/\xff")):                     "alice.rig_1__",
		string(tlv("alice.")):                         "alice.proxy", // no name: the channel's own
		string(tlv(long)):                             pool.WorkerID("alice." + long),
		"\x57\x48\x01\x01\x00z" + string(tlv("rig1")): "alice.rig1",
		string(tlv("rig1")) + "\x02\x00\x01\xff\xffgarbage": "alice.rig1",
		string(tlv("")):            "alice.proxy",
		"":                         "alice.proxy",
		"garbage":                  "alice.proxy",
		"\x02\x00\x01\x09\x00rig1": "alice.proxy",
	} {
		t.Run(fmt.Sprintf("%q", behind), func(t *testing.T) {
			credited(t, nil, func(b *bench, money *purse) {
				p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
				defer p.c.Close()
				p.submit([]byte(behind), []byte(behind))
				time.Sleep(2 * time.Second)
				if ok := next[sv2.SubmitSharesSuccess](b.tb, p.c); ok.Accepted != 2 {
					b.tb.Errorf("acknowledged %+v", ok)
				}
				if n := money.of(want); n != 2 || len(money.shares) != 1 {
					b.tb.Errorf("credits are %v, want 2 of %s", money.shares, want)
				}
			})
		})
	}
}

// Ensure that names are ignored where they were not negotiated, and that a missing one is accepted
// and counted where they were.
func TestSV2_166_NeedsNegotiationAndCountsMissingNames(t *testing.T) {
	credited(t, nil, func(b *bench, money *purse) {
		t := b.tb
		p := b.proxy("alice.proxy", sv2.ExtPower)
		defer p.c.Close()
		p.submit(tlv("rig1"), tlv(strings.Repeat("x", 40)))
		time.Sleep(time.Second)
		if n := money.of("alice.proxy"); n != 2 || b.server.Stats().SharesUnnamed != 0 {
			t.Errorf("without negotiation: %v", money.shares)
		}
		p = b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		defer p.c.Close()
		p.submit(nil, tlv("rig1"), nil)
		time.Sleep(time.Second)
		n := b.server.Stats().SharesUnnamed
		if n != 2 || money.of("alice.proxy") != 4 || money.of("alice.rig1") != 1 {
			t.Errorf("%d unnamed, credits %v", n, money.shares)
		}
	})
}

// Ensure that a name of more than 32 bytes costs its share, and nothing else.
func TestSV2_026_RefusesAShareWithALongName(t *testing.T) {
	credited(t, nil, func(b *bench, money *purse) {
		t := b.tb
		p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		defer p.c.Close()
		p.submit(tlv(strings.Repeat("x", 33)), tlv("rig1"))
		e := next[sv2.SubmitSharesError](t, p.c)
		if e.ChannelID != p.channel || e.Sequence != 1 || e.Code != "invalid-user-identity" {
			t.Errorf("refused with %+v", e)
		}
		time.Sleep(time.Second)
		if money.of("alice.rig1") != 1 || len(money.shares) != 1 {
			t.Errorf("credits are %v", money.shares)
		}
		if ch := b.server.Channels()[0]; ch.Rejected != 1 || ch.Accepted != 1 {
			t.Errorf("statistics are %+v", ch)
		}
	})
}

// Ensure that a name that may not mine leaves its shares with the channel's own worker, and is asked
// for again only later.
func TestNames_RefusedOnesStayWithTheChannel(t *testing.T) {
	credited(t, nil, func(b *bench, money *purse) {
		t := b.tb
		asked, refuse := 0, true
		b.authorize = func(identity string) error {
			if identity != "alice.rig1" {
				return nil
			}
			asked++
			if refuse {
				return errors.New("not known")
			}
			return nil
		}
		p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		defer p.c.Close()
		p.submit(tlv("rig1"), tlv("rig1"), tlv("rig1"))
		time.Sleep(time.Second)
		if asked != 1 || money.of("alice.proxy") != 3 || b.server.Stats().NamesRefused != 1 {
			t.Errorf("asked %d times, credits %v", asked, money.shares)
		}
		if len(b.fleet.Links("alice.rig1")) != 0 {
			t.Error("a worker that may not mine has a link")
		}
		refuse = false
		p.listen(nameAgain)
		p.submit(tlv("rig1"))
		time.Sleep(time.Second)
		if asked != 2 || money.of("alice.rig1") != 1 || b.server.Stats().Names != 1 {
			t.Errorf("asked %d times, credits %v", asked, money.shares)
		}
	})
}

// Ensure that names are bounded, per channel and over all: beyond, shares are the channel's own and
// counted, until another name has been silent for long.
func TestNames_AreBounded(t *testing.T) {
	change := func(c *Config) { c.MaxNames, c.MaxAllNames = 3, 4 }
	credited(t, change, func(b *bench, money *purse) {
		t := b.tb
		p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		q := b.proxy("alice.other", sv2.ExtWorkerIdentity)
		for n := range 6 {
			p.submit(tlv(fmt.Sprint("rig", n)))
		}
		q.submit(tlv("rig8"), tlv("rig9"))
		q.listen(time.Second)
		st := b.server.Stats()
		if st.Names != 4 || st.SharesCrowded != 4 ||
			money.of("alice.proxy") != 3 || money.of("alice.other") != 1 {
			t.Errorf("%d names, %d crowded, credits %v", st.Names, st.SharesCrowded, money.shares)
		}
		_ = q.c.Close()
		b.publish(template(101, 2, false))
		p.listen(nameIdle / 2)
		p.submit(tlv("rig0"))
		b.publish(template(102, 3, false))
		p.listen(nameIdle / 2)
		p.submit(tlv("rig5"))
		time.Sleep(time.Second)
		if money.of("alice.rig5") != 1 ||
			len(b.fleet.Links("alice.rig0")) != 1 || len(b.fleet.Links("alice.rig1")) != 0 {
			t.Errorf("credits %v, workers %v", money.shares, b.fleet.Workers())
		}
		_ = p.c.Close()
		synctest.Wait()
		if n := b.server.Stats().Names; n != 0 || len(b.fleet.Workers()) != 0 {
			t.Errorf("%d names are left, and links of %v", n, b.fleet.Workers())
		}
	})
}

// Ensure that a worker behind a proxy has a link that counts its own work, and statistics.
func TestNames_HaveLinksAndStatistics(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		defer p.c.Close()
		p.submit(tlv("rig1"), tlv("rig1"), tlv("rig2"), nil)
		for w, want := range map[pool.WorkerID]uint64{"alice.rig1": 2, "alice.rig2": 1, "alice.proxy": 1} {
			links := b.fleet.Links(w)
			if len(links) != 1 {
				t.Fatalf("%s has %d links", w, len(links))
			}
			if n, work := links[0].Counted(); n != want || work == 0 {
				t.Errorf("%s counts %d shares of %d hashes", w, n, work)
			}
			if links[0].ShareWork() == 0 {
				t.Errorf("what a share of %s is worth is not known", w)
			}
		}
		ch := b.server.Channels()[0]
		if ch.Accepted != 4 || ch.Names != 2 || len(ch.Named) != 2 {
			t.Fatalf("channel is %+v", ch)
		}
		for _, n := range ch.Named {
			if n.Worker == "alice.rig1" &&
				(n.Accepted != 2 || n.Work == 0 || n.Hashrate <= 0 || n.LastShare.IsZero()) {
				t.Errorf("worker is %+v", n)
			}
		}
	})
}

// Ensure that an order to one worker behind a proxy moves the channel's target by what that worker
// does, and that a pause of all is silence by order.
func TestNames_ExpectationsMoveTheChannel(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		p := b.proxy("alice.proxy", sv2.ExtWorkerIdentity)
		defer p.c.Close()
		p.submit(tlv("rig1"), tlv("rig2"))
		one, two := b.fleet.Links("alice.rig1")[0], b.fleet.Links("alice.rig2")[0]
		rate := func() float64 { // the hashrate that the target is for, at 6000 shares a minute
			se := b.server.list()[0]
			se.mu.Lock()
			defer se.mu.Unlock()
			return float64(se.channels[p.channel].pool.Target().Work()) * 100
		}
		near := func(want float64) {
			t.Helper()
			synctest.Wait()
			if got := rate(); got < want*0.94 || got > want*1.06 {
				t.Errorf("the target is for %g H/s, want %g", got, want)
			}
		}
		one.Expect(fleet.Expectation{Seq: 1, Hashrate: 100e12})
		near(100e12)
		two.Expect(fleet.Expectation{Seq: 1, Hashrate: 50e12})
		near(150e12)
		one.Expect(fleet.Expectation{Seq: 2, Hashrate: 20e12})
		near(70e12)
		one.Expect(fleet.Expectation{Seq: 3, Hashrate: 0})
		near(50e12)
	})
}

// Ensure that a rate follows work and forgets it.
func TestNamed_Rate(t *testing.T) {
	now := time.Unix(1e9, 0)
	n := &named{link: fleet.NewRegistry().Open("a.b", func() {}), since: now, last: now}
	for range 600 {
		now = now.Add(time.Second)
		n.count(1000, now)
	}
	if r := n.rate(now); r < 950 || r > 1050 {
		t.Errorf("%v at a steady 1000 H/s", r)
	}
	if r := n.rate(now.Add(time.Hour)); r > 1 {
		t.Errorf("%v after an hour of silence", unit.Hashrate(r))
	}
}

// Ensure that a share that names its worker allocates nothing, from its frame to its credit.
func TestNames_ShareAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	b := newBench(t, nil)
	s, client := b.tcpSession()
	go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
	b.publish(template(100, 1, false))
	now := time.Now() // stands still, so that the target does
	s.setUp, s.granted = true, extensions{any: true, names: true}
	s.open(opening{identity: "alice.proxy", kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	p := &proxy{b: b, channel: firstGroup + 1, job: 2}
	frames := make([][]byte, 8)
	for i := range frames {
		frames[i] = p.raw(tlv(fmt.Sprint("alice.rig", i)))
	}
	h := sv2.Header{
		Extension: sv2.ChannelBit, Type: sv2.TypeSubmitSharesExtended, Length: uint32(len(frames[0])),
	}
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	nonce := uint32(0)
	run := func(shares int) {
		for range shares {
			nonce++
			f := frames[nonce%8]
			binary.LittleEndian.PutUint32(f[12:], nonce)
			if err := s.handle(h, f, now); err != nil {
				t.Fatal(err)
			}
		}
		batch = s.shard.swapAccepted(batch)
		s.shard.commitBatch(t.Context(), batch, &sum)
	}
	for range 20 { // names are resolved, buffers and the duplicate set have grown
		run(128)
	}
	shares := b.server.counts.accepted.Load()
	few := testing.AllocsPerRun(20, func() { run(16) })
	many := testing.AllocsPerRun(20, func() { run(128) }) // a commit has its own, whatever is in it
	if many > few {
		t.Errorf("%v allocations for 128 shares, %v for 16", many, few)
	}
	if n := b.server.counts.accepted.Load() - shares; n != 21*(16+128) {
		t.Errorf("%d shares were accepted", n)
	}
}

// FuzzJoined ensures that no name leads out of the channel's account, and that what it leads to is an
// identity.
func FuzzJoined(f *testing.F) {
	for _, s := range []string{"rig1", "alice.rig1", "alice", "alice.", "bob.rig", ".", "", "\xff"} {
		f.Add("alice.proxy", []byte(s))
	}
	f.Fuzz(func(t *testing.T, own string, name []byte) {
		account, worker, err := pool.ParseIdentity(own)
		if err != nil {
			return
		}
		joined, ok := joined(worker, name)
		if !ok {
			return
		}
		a, w, err := pool.ParseIdentity(joined)
		if err != nil || a != account || string(w) != joined {
			t.Errorf("%q on a channel of %q is %q of %q: %v", name, own, joined, a, err)
		}
	})
}
