package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/hashlease/hashlease/storage"
)

// Bounds of one commit. A call that waits goes into the next.
const (
	commitBytes = 1 << 20 // about; one call may be larger
	keepBuffer  = 1 << 20 // a larger buffer is not kept between commits
	recordCost  = 64      // what a record weighs beyond its bytes when a commit is bounded

	// reserve is the end of a segment that records leave free: on a full disk, where no further segment can
	// be made, Trim still has room to say what can go.
	reserve = 16 * pageSize
)

// call is one unit that waits for a commit. If run refuses it must not have changed anything.
type call struct {
	run   func(*Journal, *call) error // encodes into Journal.commit
	size  int
	taken bool  // guarded by Journal.mu: the leader runs it
	err   error // written before ready gets its word

	// of the kinds of calls
	writes   []storage.Write
	stream   string
	standing standing
	last     storage.Seq // result

	// ready gets true to lead the next commit, with this call in it, or false when err is final.
	// Capacity 1: there is one word a call.
	ready chan bool
}

var spareCalls = sync.Pool{New: func() any { return &call{ready: make(chan bool, 1)} }}

// commit is one batch in the making. Owned by the leader.
type commit struct {
	calls    []*call
	buf      []byte
	sections int
	control  bool // no records in it
	touched  []*stream
	runs     []pendingRun
	dropped  []string // files of snapshots that are no longer named
}

// pendingRun is a run whose place in the log is not known yet.
type pendingRun struct {
	stream *stream
	run    run // offset is in the batch
}

// submit has a call committed and waits for its fate. The caller may use the call again after it.
func (j *Journal) submit(ctx context.Context, c *call) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	c.taken, c.err = false, nil
	j.mu.Lock()
	j.waiting = append(j.waiting, c)
	lead := !j.leading
	j.leading = true
	j.mu.Unlock()
	if !lead {
		var err error
		if lead, err = j.wait(ctx, c); err != nil {
			return err
		}
	}
	if lead {
		j.lead(c)
	}
	return c.err
}

// wait returns when the call is answered, or is to lead. A context withdraws it until its commit begins.
func (j *Journal) wait(ctx context.Context, c *call) (lead bool, err error) {
	select {
	case lead = <-c.ready:
		return lead, nil
	case <-ctx.Done():
	}
	j.mu.Lock()
	i := slices.Index(j.waiting, c)
	if i > 0 || i == 0 && len(c.ready) == 0 { // the first one may be told to lead, and then has to
		j.waiting = slices.Delete(j.waiting, i, i+1)
		j.mu.Unlock()
		return false, fmt.Errorf("waiting for the journal: %w", ctx.Err())
	}
	j.mu.Unlock()
	return <-c.ready, nil
}

// lead commits what waits, own among it, and passes the lead on to the first call that came meanwhile.
func (j *Journal) lead(own *call) {
	runtime.Gosched() // those who call at the same moment get onto the same flush
	m := &j.commit
	j.mu.Lock()
	size, n := 0, 0
	for n < len(j.waiting) && (n == 0 || size < commitBytes) {
		j.waiting[n].taken = true
		size += j.waiting[n].size
		n++
	}
	m.calls = append(m.calls[:0], j.waiting[:n]...)
	j.waiting = slices.Delete(j.waiting, 0, n)
	j.mu.Unlock()
	j.run()
	for _, c := range m.calls {
		if c != own {
			c.ready <- false
		}
	}
	clear(m.calls)
	m.calls = m.calls[:0]
	removeAll(m.dropped)
	m.dropped = m.dropped[:0]
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.leading = len(j.waiting) > 0; j.leading {
		j.waiting[0].ready <- true
	}
}

// run encodes the commit's calls, writes them and sets their err.
func (j *Journal) run() {
	m := &j.commit
	err := j.failed
	if err == nil {
		m.begin()
		for _, c := range m.calls {
			c.err = c.run(j, c)
		}
		if m.sections > 0 {
			err = j.write()
		}
	}
	j.settle(err)
	if err == nil {
		return
	}
	// A refusal may rest on a call of the same batch that now never happened, so it falls too.
	for _, c := range m.calls {
		c.err = fmt.Errorf("writing to the journal: %w", err)
	}
}

func (m *commit) begin() {
	if cap(m.buf) > keepBuffer {
		m.buf = nil
	}
	m.buf = beginBatch(m.buf[:0])
	m.sections, m.control = 0, true
	m.runs = m.runs[:0]
}

// settle makes memory what the disk is: with the batch if it is durable, else without it.
func (j *Journal) settle(err error) {
	m := &j.commit
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range m.touched {
		if err == nil {
			if s.file != 0 && s.file != s.pending.file {
				m.dropped = append(m.dropped, snapshotPath(j.dir, s.file))
			}
			s.standing = s.pending
		}
		s.touched = false
	}
	if err == nil {
		for _, p := range m.runs {
			p.stream.runs = append(p.stream.runs, p.run)
			p.run.segment.live++
		}
		for _, s := range m.touched {
			s.forget()
		}
		if j.end > pageSize { // the last segment has a batch, which says where the streams stand
			j.retireLocked()
		}
	}
	clear(m.runs)
	m.touched = m.touched[:0]
}

// forget lets the runs go that are trimmed.
func (s *stream) forget() {
	n := 0
	for n < len(s.runs) && s.runs[n].last() <= s.trimmed {
		s.runs[n].segment.live--
		n++
	}
	if n == 0 {
		return
	}
	s.runs = slices.Delete(s.runs, 0, n)
	if cap(s.runs) > 4*len(s.runs)+64 { // after a rush
		s.runs = slices.Clone(s.runs)
	}
}

// retireLocked takes segments out of the log that have no live records, oldest first.
func (j *Journal) retireLocked() {
	n := 0
	for n < len(j.segments)-1 && j.segments[n].live == 0 {
		n++
	}
	if n == 0 {
		return
	}
	j.retired = append(j.retired, j.segments[:n]...)
	j.segments = slices.Delete(j.segments, 0, n)
	j.poke()
}

// touch returns a stream as the batch in the making sees it.
func (j *Journal) touch(name string) *stream {
	s := j.streams[name]
	if s == nil {
		s = &stream{name: name}
		j.mu.Lock()
		j.streams[name] = s
		j.mu.Unlock()
	}
	if !s.touched {
		s.pending, s.touched = s.standing, true
		j.commit.touched = append(j.commit.touched, s)
	}
	return s
}

// write puts the batch at the end of the log and flushes it. After an error the log is as it was,
// unless it is ErrFailed.
func (j *Journal) write() error {
	m := &j.commit
	limit := j.active().size
	if !m.control {
		limit -= reserve
	}
	if j.end == pageSize {
		m.standings(j.streams)
	}
	if j.end+int64(pages(len(m.buf))) > limit {
		if err := j.roll(); err != nil {
			return fmt.Errorf("beginning a segment: %w", err)
		}
	}
	s := j.active()
	m.buf = endBatch(m.buf, s.salt, j.number+1, m.sections)
	if _, err := j.file.WriteAt(m.buf, j.end); err != nil {
		return j.unwrite(err)
	}
	if err := datasync(j.file); err != nil {
		// The kernel may have forgotten the pages: a second flush would say nothing.
		return j.fail(fmt.Errorf("flushing %s: %w", j.path(s), err))
	}
	for i := range m.runs {
		r := &m.runs[i].run
		r.segment, r.offset = s, j.end+r.offset
	}
	j.end += int64(len(m.buf))
	j.number++
	j.marked = len(m.calls) == 0
	return nil
}

// unwrite makes sure that a batch which was written in part is none.
func (j *Journal) unwrite(err error) error {
	err = fmt.Errorf("writing %s: %w", j.path(j.active()), err)
	if _, again := j.file.WriteAt(make([]byte, pageSize), j.end); again != nil {
		return j.fail(errors.Join(err, again))
	}
	return err
}

// fail stops all further writing: what is durable is open.
func (j *Journal) fail(err error) error {
	j.failed = fmt.Errorf("%w: %w", storage.ErrFailed, err)
	return j.failed
}

// standings appends where every stream stood before this batch: it is a segment's first.
func (m *commit) standings(streams map[string]*stream) {
	for name, s := range streams {
		if s.last > 0 {
			m.buf = appendStanding(m.buf, name, s.standing)
			m.sections++
		}
	}
}

// roll goes on to the next segment, for the batch that is in the making.
func (j *Journal) roll() error {
	m := &j.commit
	if j.end == pageSize { // an empty segment, but the batch is larger
		return j.grow(j.active(), j.file, m.need())
	}
	m.standings(j.streams)
	s, err := j.takeNext()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(s), os.O_RDWR, 0)
	if err == nil {
		err = j.grow(s, f, m.need())
	}
	if err != nil {
		j.giveNext(s)
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	_ = j.file.Close() // nothing in it is unflushed
	j.file, j.end = f, pageSize
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	j.poke()
	return nil
}

// need is how large a segment must be to begin with this batch.
func (m *commit) need() int64 { return int64(pageSize + pages(len(m.buf)) + reserve) }

// mark ends the log with an empty batch, so that the next process knows where it ended. The caller is
// the last one.
func (j *Journal) mark() error {
	fits := j.end+pageSize <= j.active().size // it is not worth a segment
	if fits && !j.marked && j.failed == nil {
		j.commit.begin()
		return j.write()
	}
	return nil
}
