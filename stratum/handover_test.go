package stratum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// journal is what two processes hand over: one at a time has it open.
type journal struct {
	mu     sync.Mutex
	holder *bench                   // guarded by mu
	shares map[pool.WorkerID]uint64 // guarded by mu: durable
	late   int                      // guarded by mu: calls of a process that had given it up
}

var errGivenUp = errors.New("journal was given up")

// opened makes b the one process whose credits count.
func (j *journal) opened(b *bench) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holder = b
	b.credit = func(_ context.Context, credits []pool.Credit) error {
		time.Sleep(4 * time.Millisecond) // a flush to disk, in the bubble's time
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.holder != b {
			j.late++
			return errGivenUp
		}
		for _, c := range credits {
			j.shares[c.Worker] += c.Shares
		}
		return nil
	}
}

// digger submits one share after the other, to whoever serves the port.
type digger struct {
	identity         string
	submitted, acked uint64
	sessions         int
	refused          int
	old              *sv2.SubmitSharesStandard // of the process before
}

// dig keeps a channel alive until the end is closed.
func (d *digger) dig(t *testing.T, port func() *bench, end <-chan struct{}) {
	t.Helper()
	for over := false; !over; {
		b := port()
		c := b.dial()
		channel, job := openOn(t, c, d.identity)
		d.sessions++
		if d.old != nil {
			d.submitOld(t, c, channel, job)
		}
		over = d.session(c, channel, job, end)
		_ = c.Close()
	}
}

// openOn is a standard channel and the id of its job.
func openOn(t *testing.T, c *stratumtest.Client, identity string) (channel, job uint32) {
	t.Helper()
	if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
		t.Fatal(err)
	}
	ok, err := c.OpenStandard(identity, 0, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if j := next[sv2.NewMiningJob](t, c); !j.Future {
			return ok.ChannelID, j.JobID
		}
	}
}

// submitOld sends a share of the process before again, under the job that it named.
func (d *digger) submitOld(t *testing.T, c *stratumtest.Client, channel, job uint32) {
	t.Helper()
	again := *d.old
	again.ChannelID, again.JobID = channel, job+1000
	if err := c.Send(again); err != nil {
		t.Fatal(err)
	}
	if e := next[sv2.SubmitSharesError](t, c); e.Code != pool.RejectUnknownJob.Code() {
		t.Errorf("%s: an old process's job is answered with %+v", d.identity, e)
	}
	d.refused++
}

// session submits until the server sends the miner away or the test ends; then it waits for what is still
// to be acknowledged. It reports whether the test has ended.
func (d *digger) session(c *stratumtest.Client, channel, first uint32, end <-chan struct{}) (over bool) {
	var job atomic.Uint32
	job.Store(first)
	away := make(chan struct{})
	go func() { // ends with the connection, which Reconnect ends
		defer close(away)
		d.listen(c, &job)
		_ = c.Close()
	}()
	for n := uint32(1); ; n++ {
		select {
		case <-away:
			return false
		case <-end:
			time.Sleep(3 * time.Second) // for the acknowledgements that are due
			_ = c.Close()
			<-away
			return true
		case <-time.After(7 * time.Millisecond):
		}
		s := share(channel, job.Load(), n)
		d.submitted, d.old = d.submitted+1, &s
		_ = c.Send(s) // a server that drains reads no more
	}
}

// listen counts acknowledgements until the server sends the miner away.
func (d *digger) listen(c *stratumtest.Client, job *atomic.Uint32) {
	for {
		f, err := c.Next(time.Hour)
		if err != nil {
			return
		}
		switch m := f.Message.(type) {
		case sv2.SubmitSharesSuccess:
			d.acked += uint64(m.Accepted)
		case sv2.NewMiningJob:
			if !m.Future {
				job.Store(m.JobID)
			}
		case sv2.Reconnect:
			return
		}
	}
}

// Ensure that hand-overs under load lose no acknowledged share and credit none twice: the old server never
// calls the Crediter after Drain, its miners come back to the new one, which refuses the old one's jobs.
func TestDrain_HandsOverToTheNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const servers, miners = 4, 12
		j := &journal{shares: map[pool.WorkerID]uint64{}}
		var mu sync.Mutex
		var front *bench
		port := func() *bench {
			mu.Lock()
			defer mu.Unlock()
			return front
		}
		serve := func(epoch uint16) *bench {
			b := newBenchOf(t, epoch, func(c *Config) { c.DrainFor = time.Second })
			j.opened(b)
			b.start()
			b.publish(template(100, 1, false))
			mu.Lock()
			defer mu.Unlock()
			front = b
			return b
		}
		now := serve(1)
		end := make(chan struct{})
		var digging sync.WaitGroup
		diggers := make([]*digger, miners)
		for i := range diggers {
			diggers[i] = &digger{identity: fmt.Sprintf("alice.m%d", i)}
			digging.Go(func() { diggers[i].dig(t, port, end) })
		}
		for epoch := uint16(2); epoch <= servers; epoch++ {
			time.Sleep(3 * time.Second)
			old := now
			if err := old.server.Drain(context.Background()); err != nil {
				t.Fatal(err)
			}
			st := old.server.Stats()
			if st.Accepted != st.Durable || st.Durable != st.Acknowledged {
				t.Errorf("after the drain %d are accepted, %d durable, %d acknowledged",
					st.Accepted, st.Durable, st.Acknowledged)
			}
			now = serve(epoch) // while the old one still has every miner
			old.stop()
			if again := old.server.Stats(); again.Accepted != st.Accepted {
				t.Errorf("%d shares were accepted after the drain", again.Accepted-st.Accepted)
			}
		}
		time.Sleep(3 * time.Second)
		close(end)
		digging.Wait()
		now.stop()
		if j.late != 0 {
			t.Errorf("the journal was written to %d times by who had given it up", j.late)
		}
		for _, d := range diggers {
			n := j.shares[pool.WorkerID(d.identity)]
			if d.acked != n || n > d.submitted || n == 0 {
				t.Errorf("%s: %d acknowledged, %d durable, %d submitted", d.identity, d.acked, n, d.submitted)
			}
			if d.sessions != servers || d.refused != servers-1 {
				t.Errorf("%s: %d sessions, %d old shares refused, on %d servers",
					d.identity, d.sessions, d.refused, servers)
			}
		}
	})
}

// Ensure that no two processes give out the same work, though their extranonce prefixes are the same.
func TestHandover_SearchSpacesDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		roots := map[[32]byte]uint16{}
		for epoch := uint16(1); epoch <= 3; epoch++ {
			b := newBenchOf(t, epoch, nil)
			b.start()
			b.publish(template(100, 1, false))
			for i := range 5 {
				c := b.dial()
				if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
					t.Fatal(err)
				}
				if _, err := c.OpenStandard(fmt.Sprintf("alice.m%d", i), 0, pool.MaxTarget); err != nil {
					t.Fatal(err)
				}
				for range 3 { // the coinbase-only job, the full one, and that of the next block
					j := next[sv2.NewMiningJob](t, c)
					if by, known := roots[j.MerkleRoot]; known {
						t.Errorf("process %d sends a job of process %d again", epoch, by)
					}
					roots[j.MerkleRoot] = epoch
				}
				_ = c.Close()
			}
			b.stop()
		}
	})
}
