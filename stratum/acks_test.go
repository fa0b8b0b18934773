package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a batch that is not full is acknowledged after AckAfter and not before, once (SV2-159).
func TestAcks_ComeAfterTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c, channel, job := b.open("alice.one")
		defer c.Close()
		begin := time.Now()
		for n := range uint32(3) {
			if err := c.Send(share(channel, job, n+1)); err != nil {
				t.Fatal(err)
			}
		}
		m := next[sv2.SubmitSharesSuccess](t, c)
		if m.Accepted != 3 || m.LastSequence != 3 {
			t.Errorf("got %+v", m)
		}
		if took := time.Since(begin); took < 900*time.Millisecond || took > 1200*time.Millisecond {
			t.Errorf("acknowledged after %v, want 1s", took)
		}
		if m, err := stratumtest.Await[sv2.SubmitSharesSuccess](c, time.Minute); err == nil {
			t.Errorf("acknowledged again: %+v", m)
		}
	})
}

// Ensure that a block is acknowledged as soon as it is durable.
func TestAcks_OfABlockDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.AckAfter = time.Hour })
		b.start()
		defer b.stop()
		tmpl := template(100, 1, false)
		tmpl.Bits = 0x207fffff // half of all hashes
		b.publish(tmpl)
		c, channel, job := b.open("alice.one")
		defer c.Close()
		begin := time.Now()
		for n := range uint32(20) {
			if err := c.Send(share(channel, job, n+1)); err != nil {
				t.Fatal(err)
			}
		}
		next[sv2.SubmitSharesSuccess](t, c)
		if took := time.Since(begin); took > 50*time.Millisecond {
			t.Errorf("acknowledged after %v", took)
		}
	})
}

// Ensure that many shares of a commit are one acknowledgement for each channel (SV2-156).
func TestAcks_AreOneForACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.AckAfter = time.Hour; c.Gather = 10 * time.Millisecond })
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c, channel, job := b.open("alice.one")
		defer c.Close()
		for n := range uint32(100) {
			if err := c.Send(share(channel, job, n+1)); err != nil {
				t.Fatal(err)
			}
		}
		if m := next[sv2.SubmitSharesSuccess](t, c); m.Accepted != 100 || m.LastSequence != 100 {
			t.Errorf("got %+v, want all 100 in one", m)
		}
	})
}

// countedWrites is a connection that counts what would be system calls.
type countedWrites struct {
	net.Conn
	n atomic.Int64
}

func (c *countedWrites) tryWrite(p []byte) (int, error) { return c.Write(p) }

func (c *countedWrites) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}

// burster is a miner of either dialect.
type burster struct {
	submit  func(n uint32)    // a share, by its nonce
	answers func(n ...uint32) // fails unless these are accepted, by what comes next
}

func (b *bench) burstV1(near net.Conn) burster {
	c := newV1Client(b.tb, near)
	c.join("test", "a.b", "x")
	return burster{
		submit: func(n uint32) { c.submit(fmt.Sprint(n), "a.b", n) },
		answers: func(all ...uint32) {
			for _, n := range all {
				if l := c.hear(); string(l.ID) != fmt.Sprint(n) || !l.accepted() {
					b.tb.Errorf("share %d is answered by %v", n, l)
				}
			}
		},
	}
}

func (b *bench) burstV2(near net.Conn) burster {
	c, err := stratumtest.NewClient(near, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
		b.tb.Fatal(err)
	}
	channel, job := b.openOn(c, "a.b")
	return burster{
		submit: func(n uint32) {
			if err := c.Send(share(channel, job, n)); err != nil {
				b.tb.Fatal(err)
			}
		},
		answers: func(all ...uint32) {
			m := next[sv2.SubmitSharesSuccess](b.tb, c)
			if int(m.Accepted) != len(all) || m.LastSequence != all[len(all)-1] {
				b.tb.Errorf("%d shares are answered by %+v", len(all), m)
			}
		},
	}
}

// Ensure that shares which become durable together cost each connection one write, in both dialects: V2 says
// it in one message, V1 in one for each share.
func TestAcks_AreOneWriteForACommit(t *testing.T) {
	burst := make([]uint32, 50)
	for i := range burst {
		burst[i] = uint32(i + 2)
	}
	change := func(c *Config) {
		c.AckEvery, c.Gather = 1, 10*time.Millisecond
		c.MaxDifficulty = c.MinDifficulty // the target stays
	}
	for name, begin := range map[string]func(*bench, net.Conn) burster{
		"V1": (*bench).burstV1, "V2": (*bench).burstV2,
	} {
		t.Run(name, func(t *testing.T) {
			onV1(t, change, func(b *bench) {
				wires, peers := make([]*countedWrites, 3), make([]burster, 3)
				for i := range wires {
					near, far := net.Pipe()
					defer near.Close()
					wires[i] = &countedWrites{Conn: far}
					b.ln.conns <- wires[i]
					peers[i] = begin(b, near)
				}
				for _, p := range peers { // the next commit is a beat later
					p.submit(1)
					p.answers(1)
				}
				for i, p := range peers {
					wires[i].n.Store(0)
					for _, n := range burst {
						p.submit(n)
					}
				}
				for i, p := range peers {
					p.answers(burst...)
					if n := wires[i].n.Load(); n != 1 {
						b.tb.Errorf("connection %d: %d writes for %d shares of a commit", i, n, len(burst))
					}
				}
			})
		})
	}
}

// Ensure that fractions of a difficulty are carried into the next batch and none is lost (SV2-158).
func TestAcks_CarryTheFraction(t *testing.T) {
	b := newBench(t, nil)
	s, client := b.tcpSession()
	c := &channel{id: 2}
	s.channels[2] = c
	total, want := uint64(0), 0.0
	for n := range uint32(50) {
		difficulty := 0.37 + float64(n%3)
		want += difficulty
		a := accepted{session: s, channel: c, sequence: n, difficulty: difficulty, read: time.Now()}
		s.durable(&a, a.read)
		s.acknowledgeAll(time.Now())
		_, payload, err := client.ReadFrame(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := sv2.DecodeSubmitSharesSuccess(payload)
		if err != nil || m.Accepted != 1 || m.LastSequence != n {
			t.Fatalf("got %+v, %v", m, err)
		}
		total += m.SharesSum
		if diff := want - float64(total); diff < -1e-9 || diff >= 1+1e-9 {
			t.Fatalf("after %d shares the sum is %d, want %v less a fraction", n+1, total, want)
		}
	}
	delete(s.channels, 2)
}

// Ensure that a channel which closes while its share is being made durable gets no late word, and that
// its id is not used again (SV2-062, SV2-085).
func TestAcks_AreNotSentForAChannelThatClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		hold := make(chan struct{})
		b.credit = func(context.Context, []pool.Credit) error { <-hold; return nil }
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c, channel, job := b.open("alice.one")
		defer c.Close()
		if err := c.Send(share(channel, job, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := c.Send(sv2.CloseChannel{ChannelID: channel}); err != nil {
			t.Fatal(err)
		}
		again, err := c.OpenStandard("alice.one", 0, pool.MaxTarget)
		if err != nil {
			t.Fatal(err)
		}
		if again.ChannelID == channel {
			t.Error("the id of the closed channel was used again")
		}
		close(hold)
		if m, err := stratumtest.Await[sv2.SubmitSharesSuccess](c, time.Minute); err == nil {
			t.Errorf("closed channel was told %+v", m)
		}
		if st := b.server.Stats(); st.Durable != 1 || st.Acknowledged != 0 {
			t.Errorf("durable %d, acknowledged %d", st.Durable, st.Acknowledged)
		}
	})
}

// Ensure that a failing crediter ends the sessions of its batch and no other, and that the next batch
// has its chance.
func TestAcks_OfOtherSessionsSurviveAFailedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var mu sync.Mutex
		failing := true
		b.credit = func(context.Context, []pool.Credit) error {
			mu.Lock()
			defer mu.Unlock()
			if failing {
				failing = false
				return errors.New("disk is full")
			}
			return nil
		}
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		bad, channel, job := b.open("alice.one")
		if err := bad.Send(share(channel, job, 1)); err != nil {
			t.Fatal(err)
		}
		if err := bad.AwaitEnd(time.Minute); err != nil {
			t.Fatal(err)
		}
		good, channel, job := b.open("alice.two")
		defer good.Close()
		if err := good.Send(share(channel, job, 1)); err != nil {
			t.Fatal(err)
		}
		next[sv2.SubmitSharesSuccess](t, good)
	})
}

// Ensure that readers wait when too much is uncommitted, that this costs no share, and that the end of
// the server frees them.
func TestCommitter_HoldsReadersAtItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		sh := b.server.shards[0]
		c := &channel{worker: "a.b"}
		enqueue := func() { // of as many sessions as it takes: each has a bound of its own
			for range acceptedLimit + 10 {
				se := &session{srv: b.server, shard: sh, channels: map[uint32]*channel{}}
				sh.enqueue(accepted{session: se, channel: c})
			}
		}
		var wg sync.WaitGroup
		wg.Go(enqueue)
		synctest.Wait()
		if n := len(sh.accepted); n != acceptedLimit {
			t.Errorf("%d shares wait, the bound is %d", n, acceptedLimit)
		}
		sh.swapAccepted(nil)
		wg.Wait()
		if n := len(sh.accepted); n != 10 {
			t.Errorf("%d shares wait after a commit, want the 10 that were held", n)
		}
		wg.Go(enqueue)
		synctest.Wait()
		b.server.stop()
		wg.Wait()
	})
}

// Ensure that a batch's sum per worker survives what 64 bits cannot hold.
func TestCredits_SplitASumThatOverflows(t *testing.T) {
	sum := credits{index: map[pool.WorkerID]int{}}
	sum.add("a", math.MaxUint64-5)
	sum.add("b", 7)
	sum.add("a", 10)
	sum.add("a", 1)
	var shares uint64
	var work float64
	for _, c := range sum.list {
		if c.Worker == "a" {
			shares += c.Shares
			work += float64(c.Work)
		}
	}
	if shares != 3 || work < math.MaxUint64 {
		t.Errorf("credits are %+v", sum.list)
	}
	sum.reset()
	if len(sum.list) != 0 || len(sum.index) != 0 {
		t.Errorf("after reset: %+v", sum)
	}
}

// Ensure that shares after a pause are durable at once, and others with the next commit, no sooner.
func TestCommitter_WaitsOnlyForABusyJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var begun []time.Time
		b.credit = func(context.Context, []pool.Credit) error {
			begun = append(begun, time.Now())
			return nil
		}
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c, channel, job := b.open("alice.one")
		defer c.Close()
		for n := range uint32(3) {
			time.Sleep(time.Second)
			begin := time.Now()
			begun = nil
			for i, want := range []time.Duration{0, DefaultConfig().Gather} {
				if err := c.Send(share(channel, job, 2*n+uint32(i)+1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(want)
				synctest.Wait()
				if len(begun) != i+1 || begun[i].Sub(begin) != want {
					t.Fatalf("commits began at %v, want number %d after %v", begun, i, want)
				}
			}
		}
	})
}

// Ensure that a commit which nobody waited for begins at once, that those after it wait for the same
// moment, one period later, whenever they begin to wait.
func TestBeat_IsTheSameMomentForAll(t *testing.T) {
	const every = 5 * time.Millisecond
	began := time.Unix(1_800_000_000, 0)
	b := beat{began: began.Add(-time.Second)}
	for _, c := range []struct{ at, want time.Duration }{
		{0, 0},                           // idle before
		{1, every - 1},                   // the first to wait makes the next beat
		{time.Millisecond, every - 1e6},  // another shard waits for the same
		{every - 1, 1},                   // ... just before it
		{every, every},                   // the next shares are for the beat after
		{every + 2e6, every - 2e6},       // ... of all shards
		{2*every + 1, every - 1},         // and so on
		{time.Second, 0},                 // idle in between
		{time.Second + 1e6, every - 1e6}, // and not idle
	} {
		if got := b.next(began.Add(c.at), every); got != c.want {
			t.Errorf("at %v the wait is %v, want %v", c.at, got, c.want)
		}
	}
	for range 3 {
		if got := b.next(began.Add(time.Minute), 0); got > 0 {
			t.Errorf("without a period the wait is %v", got)
		}
	}
}
