package ledger

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// Versions of the records of Shares, each the record's first byte.
const (
	creditV1 = 0x01 // in a shard's stream: one call of Credit
	sliceV1  = 0x02 // in the book: work of all shards up to their cursors; a snapshot is one big slice
)

// sliceBytes is where a slice goes on in a further record: well below storage.MaxRecord.
const sliceBytes = 1 << 20

// tally is credited work of one worker.
type tally struct {
	shares uint64
	work   unit.Work
	last   time.Time
}

// tallies are credited work by worker. Each has its own tallies: they change in place, so that a
// credit looks a worker up once.
type tallies map[pool.WorkerID]*tally

func (ts tallies) add(w pool.WorkerID, o tally) {
	t := ts[w]
	if t == nil {
		t = &tally{}
		ts[w] = t
	}
	t.shares += o.shares
	t.work = t.work.Add(o.work)
	if o.last.After(t.last) {
		t.last = o.last
	}
}

func (ts tallies) merge(o tallies) {
	for w, t := range o {
		ts.add(w, *t)
	}
}

func (ts tallies) clone() tallies {
	all, copies := make(tallies, len(ts)), make([]tally, 0, len(ts))
	for w, t := range ts {
		copies = append(copies, *t)
		all[w] = &copies[len(copies)-1]
	}
	return all
}

func (ts tallies) credit(cs []pool.Credit, at time.Time) {
	for _, c := range cs {
		ts.add(c.Worker, tally{shares: c.Shares, work: unit.WorkOf(c.Work), last: at})
	}
}

// appendCredits encodes one call of Credit:
//
//	creditV1 | varint Unix ms | uvarint n | n x (uvarint len, worker, uvarint shares, uvarint work)
func appendCredits(dst []byte, at time.Time, cs []pool.Credit) []byte {
	dst = appendTime(append(dst, creditV1), at)
	dst = binary.AppendUvarint(dst, uint64(len(cs)))
	for _, c := range cs {
		dst = appendText(dst, string(c.Worker))
		dst = binary.AppendUvarint(dst, c.Shares)
		dst = binary.AppendUvarint(dst, c.Work)
	}
	return dst
}

// decodeCredits reads what appendCredits wrote.
func decodeCredits(b []byte) (at time.Time, cs []pool.Credit, err error) {
	r := reader{b: b}
	r.version(creditV1)
	at = r.time()
	n := r.count(4)
	cs = make([]pool.Credit, 0, n)
	for range n {
		cs = append(cs, pool.Credit{Worker: r.worker(), Shares: r.uvarint(), Work: r.uvarint()})
	}
	return at, cs, r.end()
}

// cursors say per shard up to where its records are counted.
type cursors map[uint32]storage.Seq

// encodeSlice encodes cursors and tallies as one record:
//
//	sliceV1 | uvarint n | n x (uvarint shard, uvarint seq)
//	        | uvarint n | n x (uvarint len, worker, uvarint shares, work, varint Unix ms)
//
// with work as a length byte and that many bytes, big-endian. Equal slices have equal bytes.
func encodeSlice(cs cursors, ts tallies) []byte {
	dst := binary.AppendUvarint([]byte{sliceV1}, uint64(len(cs)))
	for _, shard := range slices.Sorted(maps.Keys(cs)) {
		dst = binary.AppendUvarint(dst, uint64(shard))
		dst = binary.AppendUvarint(dst, uint64(cs[shard]))
	}
	dst = binary.AppendUvarint(dst, uint64(len(ts)))
	for _, w := range slices.Sorted(maps.Keys(ts)) {
		t := ts[w]
		dst = appendText(dst, string(w))
		dst = binary.AppendUvarint(dst, t.shares)
		dst = appendWork(dst, t.work)
		dst = appendTime(dst, t.last)
	}
	return dst
}

// sliceRecords encodes a slice as records that are appended as one unit.
func sliceRecords(cs cursors, ts tallies) (records [][]byte) {
	part, size := tallies{}, 0
	for _, w := range slices.Sorted(maps.Keys(ts)) {
		part[w] = ts[w]
		if size += len(w) + 40; size >= sliceBytes {
			records = append(records, encodeSlice(cs, part))
			cs, part, size = nil, tallies{}, 0
		}
	}
	return append(records, encodeSlice(cs, part))
}

// foldSlice adds a slice to cursors and tallies. After an error both are of no use.
func foldSlice(b []byte, cs cursors, ts tallies) error {
	r := reader{b: b}
	r.version(sliceV1)
	for range r.count(2) {
		shard, seq := r.uvarint(), storage.Seq(r.uvarint())
		if shard >= maxShards || seq < cs[uint32(shard)] {
			r.fail("cursor of shard %d goes back to %d", shard, seq)
			break
		}
		cs[uint32(shard)] = seq
	}
	for range r.count(5) {
		w := r.worker()
		t := tally{shares: r.uvarint(), work: r.work(), last: r.time()}
		if r.err != nil {
			break
		}
		ts.add(w, t)
	}
	return r.end()
}
