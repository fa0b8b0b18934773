package stratum

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// v1Session is a session without a server's goroutines, with a channel; its messages are read and dropped.
func (b *bench) v1Session() *v1 {
	b.tb.Helper()
	near, far := b.tcpPair()
	d := newV1(b.server, far, sourceOf(far), []byte(nil))
	d.shard.add(&d.session)
	go func() { _, _ = io.Copy(io.Discard, near) }() // ends with the connection
	b.tb.Cleanup(func() {
		d.close(io.EOF)
		d.finish()
		_ = near.Close()
	})
	for _, l := range []string{
		`{"id":1,"method":"mining.subscribe","params":["test"]}`,
		`{"id":2,"method":"mining.authorize","params":["a.b","x"]}`,
	} {
		if err := d.line([]byte(l)); err != nil {
			b.tb.Fatal(err)
		}
	}
	d.flush()
	return d
}

// Ensure that one stream of shares gets the same verdicts in Stratum V1 and on both kinds of V2 channels:
// there is one judge. Each share is thrown at a moment of a story of jobs and tips, and may be old, twice, of
// another job, out of time, or roll bits that it must not.
func TestV1_SameVerdictsAsV2(t *testing.T) {
	for seed := range uint64(20) {
		b := newBench(t, func(c *Config) { c.MinDifficulty = 3e-10 }) // about half of all hashes
		b.publish(template(100, 1, false))
		d := b.v1Session()
		sessions := []*session{&d.session, b.crowd(pool.Extended, 1), b.crowd(pool.Standard, 1)}
		rng := rand.New(rand.NewPCG(seed, 1))
		var jobs []*pool.Job
		ids := map[*session]map[*pool.Job]uint32{}
		for _, s := range sessions {
			ids[s] = map[*pool.Job]uint32{}
		}
		for step := range 300 {
			if step%25 == 0 {
				r := b.publish(template(101+int32(step/50), byte(step/50), step%50 == 0))
				for _, s := range sessions {
					s.followRound(r, time.Now())
					g := s.groups[0]
					for _, n := range []numbered{g.first, g.full} {
						if n.job != nil && n.job.Seq == r.Best().Seq {
							ids[s][r.Best()] = n.id
						}
					}
				}
				jobs = append(jobs, r.Best())
			}
			judgeAll(t, sessions, ids, jobs[rng.IntN(len(jobs))], rng)
		}
	}
}

// judgeAll gives each channel the share that means the same to it, and compares what each says.
func judgeAll(
	t *testing.T, sessions []*session, ids map[*session]map[*pool.Job]uint32, job *pool.Job, rng *rand.Rand,
) {
	t.Helper()
	at := job.Time + []uint32{0, 1, 7300, 1 << 30}[rng.IntN(4)]*uint32(rng.IntN(2))
	bits := []uint32{0, 0x2000, 0x1fffe000, 1 << 31}[rng.IntN(4)]
	known := rng.IntN(8) > 0
	var verdicts []pool.Reject
	for _, s := range sessions {
		var c *channel
		for _, c = range s.channels {
		}
		sh := pool.Share{JobID: ids[s][job], Time: at, Version: job.Version ^ bits, Nonce: 5}
		if !known {
			sh.JobID = 1 << 30
		}
		if c.kind == pool.Extended {
			sh.Extranonce = make([]byte, rollSize)
		}
		if _, isV1 := s.says.(*v1); isV1 {
			sh.Version, sh.Rolling = bits, pool.RolledBits
		}
		v := c.pool.Submit(sh, time.Now())
		if v.Reject == pool.RejectLowDifficulty || v.Reject == pool.RejectDuplicate {
			v.Reject = pool.RejectNone // each has an extranonce and hashes of its own
		}
		verdicts = append(verdicts, v.Reject)
	}
	for _, v := range verdicts[1:] {
		if v != verdicts[0] {
			t.Fatalf("time %+d, bits %08x, known %v: V1 says %v, V2 extended %v, standard %v",
				int64(at)-int64(job.Time), bits, known, verdicts[0], verdicts[1], verdicts[2])
		}
	}
}

// Ensure that a share costs no allocation of its own on its whole way in Stratum V1 either: parsed, judged,
// credited and answered.
func TestV1_NoAllocationPerShare(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	// The target stands still.
	b := newBench(t, func(c *Config) { c.MaxDifficulty = c.MinDifficulty })
	b.publish(template(100, 1, false))
	d := b.v1Session()
	d.out.conn = new(sealedShares) // a socket that is never full
	c := d.channels[d.channelID.Load()]
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	var line []byte
	job := d.srv.v1.appendID(nil, c.group.best())
	roll := uint64(0)
	run := func(shares int) {
		for range shares {
			roll++
			m := sv1.Submit{Worker: []byte("a.b"), Job: job, Time: c.group.best().Time, Rolled: true}
			binary.BigEndian.PutUint64(m.Extranonce2[:], roll)
			line = sv1.AppendSubmit(line[:0], 4, m)
			if err := d.line(line); err != nil {
				t.Fatal(err)
			}
		}
		d.flush()
		batch = d.shard.swapAccepted(batch)
		d.shard.commitBatch(t.Context(), batch, &sum)
	}
	run(4200) // buffers have grown, and the duplicate set beyond what follows
	before := b.server.counts.accepted.Load()
	few := testing.AllocsPerRun(20, func() { run(16) })
	many := testing.AllocsPerRun(20, func() { run(128) })
	// The duplicate set grows now and then, and collections empty the pools of buffers.
	if perShare := (many - few) / (128 - 16); perShare >= 0.5 {
		t.Errorf("%v allocations for 128 shares, %v for 16", many, few)
	}
	if n := b.server.counts.accepted.Load() - before; n < 21*(16+128)*99/100 { // three digits
		t.Errorf("%d shares were accepted, want %d: %v", n, 21*(16+128), b.server.Stats().Rejected)
	}
}

// Ensure that a new tip and its full job cost no allocation for each connection of Stratum V1: they are
// written once, for all.
func TestV1_NoAllocationPerJobAndConnection(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	const warm, runs, others = 20, 50, 16
	b := newBench(t, nil)
	b.publish(template(100, 1, false))
	all := make([]*v1, 1+others)
	for i := range all {
		all[i] = b.v1Session()
		all[i].out.conn = new(sealedShares) // a socket that is never full
	}
	now := time.Now()
	height := int32(100)
	follow := func(sessions []*v1) {
		for _, partial := range []bool{true, false} {
			if partial {
				height++
			}
			r := b.publish(template(height, byte(height), partial))
			for _, d := range sessions {
				d.followRound(r, now)
			}
		}
	}
	for range warm {
		follow(all)
	}
	one := testing.AllocsPerRun(runs, func() { follow(all[:1]) })
	follow(all)
	many := testing.AllocsPerRun(runs, func() { follow(all) })
	if per := (many - one) / others; per >= 0.5 { // collections empty the pools of buffers
		t.Errorf("%v allocations for %d connections, %v for one", many, len(all), one)
	}
	for _, d := range all {
		if d.why() != nil {
			t.Errorf("session ended: %v", d.why())
		}
	}
}
