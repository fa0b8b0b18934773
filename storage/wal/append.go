package wal

import (
	"context"
	"fmt"

	"github.com/hashlease/hashlease/storage"
)

// Append implements storage.Journal.
func (j *Journal) Append(ctx context.Context, writes ...storage.Write) (storage.Seq, error) {
	size, err := storage.CheckWrites(writes)
	if err != nil {
		return 0, err
	}
	for i := range writes {
		size += recordCost * (1 + len(writes[i].Records))
	}
	c := take(runAppend, size)
	defer c.give()
	c.writes = writes
	if err := j.submit(ctx, c); err != nil {
		return 0, err
	}
	return c.last, nil
}

// take takes a call for submit.
func take(run func(*Journal, *call) error, size int) *call {
	c, ok := spareCalls.Get().(*call)
	if !ok {
		panic("spareCalls holds calls only")
	}
	c.run, c.size = run, size
	return c
}

// give gives a call back that nobody else knows any more.
func (c *call) give() {
	ready := c.ready
	*c = call{ready: ready}
	spareCalls.Put(c)
}

// runAppend checks every write before any of them counts, and encodes them.
func runAppend(j *Journal, c *call) error {
	m := &j.commit
	for i := range c.writes {
		w := &c.writes[i]
		s := j.touch(w.Stream)
		if w.Expect != storage.Any && w.Expect != s.pending.last {
			err := fmt.Errorf("%w: %s is at %d, not at %d",
				storage.ErrExpect, w.Stream, s.pending.last, w.Expect)
			for k := range i {
				w := &c.writes[k]
				j.touch(w.Stream).pending.last -= storage.Seq(len(w.Records))
			}
			return err
		}
		s.pending.last += storage.Seq(len(w.Records))
	}
	c.last = j.touch(c.writes[0].Stream).pending.last
	for i := range c.writes { // back, and forward again to know the first seq of each
		j.touch(c.writes[i].Stream).pending.last -= storage.Seq(len(c.writes[i].Records))
	}
	for i := range c.writes {
		m.records(j.touch(c.writes[i].Stream), c.writes[i].Records)
	}
	return nil
}

// records encodes records as the next ones of a stream.
func (m *commit) records(s *stream, records [][]byte) {
	if len(records) == 0 {
		return
	}
	r := run{offset: int64(len(m.buf)), first: s.pending.last + 1, count: len(records)}
	m.buf = appendRecords(m.buf, s.name, r.first, records)
	r.size = len(m.buf) - int(r.offset)
	m.runs = append(m.runs, pendingRun{stream: s, run: r})
	m.sections++
	m.control = false
	s.pending.last += storage.Seq(len(records))
}

// Trim implements storage.Journal, in one step.
func (j *Journal) Trim(ctx context.Context, name string, upTo storage.Seq) error {
	if err := storage.CheckStream(name); err != nil {
		return err
	}
	c := take(runTrim, recordCost)
	defer c.give()
	c.stream, c.standing = name, standing{trimmed: upTo}
	return j.submit(ctx, c)
}

func runTrim(j *Journal, c *call) error {
	if j.streams[c.stream] == nil {
		return nil
	}
	m, s := &j.commit, j.touch(c.stream)
	upTo := min(c.standing.trimmed, s.pending.last)
	if upTo <= s.pending.trimmed {
		return nil
	}
	s.pending.trimmed = upTo
	m.buf = appendNumbers(m.buf, kindTrim, s.name, uint64(upTo))
	m.sections++
	return nil
}
