package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/storage"
)

// segmentIDs lists the segments of a directory, oldest first.
func segmentIDs(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentExt)
		id, err := strconv.ParseUint(digits, 16, 64)
		if ok && err == nil && len(digits) == 16 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// recovery reads the log from its beginning.
type recovery struct {
	j      *Journal
	begun  bool   // a batch was read
	last   []byte // the newest batch
	lastAt int64
}

// recover reads the log and cuts what a crash left at its end.
func (j *Journal) recover(ids []uint64) (*recovery, error) {
	r := &recovery{j: j}
	var buf []byte
	for i, id := range ids {
		if id != ids[0]+uint64(i) {
			return nil, fmt.Errorf("%w: %s is missing; put the whole directory back from a backup",
				storage.ErrCorrupt, segmentPath(j.dir, ids[0]+uint64(i)))
		}
		s, b, err := readSegment(j.dir, id, buf)
		if buf = b; err != nil {
			return nil, fmt.Errorf("segment %s: %w", segmentPath(j.dir, id), err)
		}
		if err := r.segment(s, b); err != nil {
			return nil, err
		}
	}
	return r, r.check(ids)
}

// segment reads the batches of one segment, the next one of the log.
func (r *recovery) segment(s *segment, b []byte) error {
	j := r.j
	if len(j.segments) == 0 {
		j.segments, j.end = append(j.segments, s), pageSize
	}
	offset := pageSize
	if s.id > j.active().id+1 {
		return r.nothingAfter(s, b, offset)
	}
	for offset < len(b) {
		got, err := readBatch(b[offset:], s.salt)
		if err != nil || r.begun && got.number != j.number+1 {
			break
		}
		if j.active() != s {
			j.segments = append(j.segments, s)
		}
		if err := r.batch(s, int64(offset), got); err != nil {
			return corrupt(j.path(s), int64(offset), err)
		}
		r.last, r.lastAt = append(r.last[:0], b[offset:offset+pages(len(got.bytes))]...), int64(offset)
		offset += pages(len(got.bytes))
		j.end = int64(offset)
	}
	if j.active() != s {
		j.next = s // made ready, or torn at its first batch
	}
	return r.nothingAfter(s, b, offset)
}

// nothingAfter refuses a log that goes on after the place where it ended: that was no crash.
func (r *recovery) nothingAfter(s *segment, b []byte, offset int) error {
	for ; offset < len(b); offset += pageSize {
		got, err := readBatch(b[offset:], s.salt)
		if err == nil && got.number > r.j.number {
			return r.corruptEnd(fmt.Errorf("batch %d is not whole, and batch %d, written after it, is",
				r.j.number+1, got.number))
		}
	}
	return nil
}

// corruptEnd says where the log ended that should not have.
func (r *recovery) corruptEnd(err error) error {
	return corrupt(r.j.path(r.j.active()), r.j.end, err)
}

// batch replays one batch.
func (r *recovery) batch(s *segment, offset int64, b batch) error {
	j := r.j
	if offset == pageSize {
		if err := r.standings(b); err != nil {
			return err
		}
	}
	r.begun, j.number, j.marked = true, b.number, b.sections == 0
	return b.each(func(part section) error {
		if part.kind == kindStanding {
			return nil
		}
		st := j.streams[string(part.stream)]
		if st == nil {
			st = &stream{name: string(part.stream)}
			j.streams[st.name] = st
		}
		switch part.kind {
		case kindRecords:
			if part.first != st.last+1 {
				return fmt.Errorf("records of %s begin at %d after %d", st.name, part.first, st.last)
			}
			st.last += storage.Seq(part.count)
			st.runs = append(st.runs, run{
				segment: s, offset: offset + int64(part.offset), size: part.size,
				first: part.first, count: part.count,
			})
			s.live++
		case kindTrim:
			if part.state.trimmed > st.last {
				return fmt.Errorf("%s is trimmed to %d and ends at %d", st.name, part.state.trimmed, st.last)
			}
			st.trimmed = max(st.trimmed, part.state.trimmed)
			st.forget()
		case kindSnapshot:
			if err := storage.CheckSnapshot(part.state.at, st.at, st.last, 0); err != nil {
				return err
			}
			st.at, st.file = part.state.at, part.state.file
		}
		return nil
	})
}

// standings takes over where the streams stood before the first segment, and checks it with the others.
func (r *recovery) standings(b batch) error {
	j := r.j
	known := 0
	for _, s := range j.streams {
		if s.last > 0 {
			known++
		}
	}
	said := 0
	err := b.each(func(part section) error {
		if part.kind != kindStanding {
			return nil
		}
		said++
		name, st := string(part.stream), part.state
		if st.trimmed > st.last || st.at > st.last || (st.at == 0) != (st.file == 0) {
			return fmt.Errorf("standing of %s is impossible: %+v", name, st)
		}
		if !r.begun {
			j.streams[name] = &stream{name: name, standing: st}
			return nil
		}
		if s := j.streams[name]; s == nil || s.standing != st {
			return fmt.Errorf("%s does not stand where the segment before left it", name)
		}
		return nil
	})
	if err == nil && r.begun && said != known {
		err = fmt.Errorf("%d streams are known, the segment names %d", known, said)
	}
	return err
}

// check refuses a log of which a part is missing.
func (r *recovery) check(ids []uint64) error {
	j := r.j
	if !r.begun && ids[0] != 1 {
		return r.corruptEnd(errors.New("the log has no beginning"))
	}
	if after := ids[len(ids)-1] - j.active().id; after > 2 {
		return r.corruptEnd(fmt.Errorf("the log ends, and %d segments follow", after))
	}
	for name, s := range j.streams {
		first := s.last + 1
		if len(s.runs) > 0 {
			first = s.runs[0].first
		}
		if first > s.trimmed+1 {
			return corrupt(j.path(j.segments[0]), 0, fmt.Errorf(
				"records %d to %d of %s are missing: segments before are gone", s.trimmed+1, first-1, name))
		}
	}
	return nil
}

// tidy removes a segment that was made ready for after one that never began, and puts those aside that are
// not needed any more.
func (r *recovery) tidy(ids []uint64) error {
	j := r.j
	for _, id := range ids {
		if id > j.active().id+1 {
			if err := removeIfThere(segmentPath(j.dir, id)); err != nil {
				return err
			}
		}
	}
	if j.end > pageSize {
		j.retireLocked() // nobody else has j yet
	}
	return nil
}

// again writes the newest batch once more: if the process before could not flush it, the kernel may hold
// its pages for clean although the disk never got them.
func (r *recovery) again() error {
	if !r.begun {
		return r.j.file.Sync()
	}
	if _, err := r.j.file.WriteAt(r.last, r.lastAt); err != nil {
		return err
	}
	return r.j.file.Sync()
}
