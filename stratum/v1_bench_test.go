package stratum

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// appendShares appends the lines of n shares of a job, numbered from a first one.
func (b *bench) appendShares(dst []byte, job *pool.Job, first, n int) []byte {
	m := sv1.Submit{
		Worker: []byte("a.b"), Time: uint32(time.Now().Unix()), Rolled: true,
		Job: b.server.v1.appendID(nil, job),
	}
	for i := range n {
		binary.BigEndian.PutUint64(m.Extranonce2[:], uint64(first+i))
		dst = sv1.AppendSubmit(dst, uint32(first+i), m)
	}
	return dst
}

// BenchmarkV1_Share is all that the server computes for a share of Stratum V1: its line is cut and parsed,
// coinbase, 12 levels of the merkle tree and header are hashed, and it is credited and answered. Nothing
// goes through the kernel.
func BenchmarkV1_Share(b *testing.B) {
	const chunk = 1024
	be := newBench(b, func(c *Config) { c.MaxDifficulty = c.MinDifficulty }) // the target stays
	be.publishFull()
	d := be.v1Session()
	wire := new(sealedShares)
	d.out.conn, d.in = wire, newLines(wire, nil)
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	var text []byte
	job, made := *d.channels[d.channelID.Load()].group.best(), be.maker.Newest()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += chunk {
		b.StopTimer()
		if n := be.maker.Newest(); n > made { // a fresh job: the set of the one before is nearly full
			job.Seq = n
		}
		text = be.appendShares(text[:0], &job, i, min(chunk, b.N-i))
		wire.Reset(text)
		b.StartTimer()
		for wire.Len() > 0 { // dozens at a time
			if err := d.in.next(d.line); err != nil {
				b.Fatal(err)
			}
			d.flush()
			batch = d.shard.swapAccepted(batch)
			d.shard.commitBatch(b.Context(), batch, &sum)
			d.shard.settle(batch)
		}
	}
	b.StopTimer()
	c := &be.server.counts
	if n := c.accepted.Load(); n < uint64(b.N)*99/100 || c.acknowledged.Load() != n { // three digits
		b.Errorf("%d shares of %d were accepted, %d acknowledged: %v",
			n, b.N, c.acknowledged.Load(), be.server.Stats().Rejected)
	}
}
