package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	"github.com/hashlease/hashlease/storage"
)

// Last implements storage.Journal.
func (j *Journal) Last(ctx context.Context, name string) (storage.Seq, error) {
	s, err := j.look(ctx, name)
	return s.last, err
}

// look is where a stream durably begins and ends.
func (j *Journal) look(ctx context.Context, name string) (standing, error) {
	if err := storage.CheckStream(name); err != nil {
		return standing{}, err
	}
	if err := j.enter(ctx); err != nil {
		return standing{}, err
	}
	defer j.leave()
	return j.standing(name), nil
}

func (j *Journal) standing(name string) standing {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.streams[name]; s != nil {
		return s.standing
	}
	return standing{}
}

// Streams implements storage.Journal.
func (j *Journal) Streams(ctx context.Context) ([]string, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for name, s := range j.streams {
		if s.last > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// reader reads runs of one stream.
type reader struct {
	j    *Journal
	at   *segment // whose file is open
	file *os.File
	buf  []byte
}

// Replay implements storage.Journal.
func (j *Journal) Replay(
	ctx context.Context, name string, after storage.Seq, fn func(storage.Seq, []byte) error,
) error {
	if err := storage.CheckStream(name); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	r := reader{j: j}
	defer r.close()
	last := j.standing(name).last
	for after < last {
		found, err := j.pin(name, after+1)
		if err != nil {
			return err
		}
		err = r.read(found, name, func(seq storage.Seq, b []byte) error {
			if seq <= after || seq > last {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("replaying %s: %w", name, err)
			}
			return fn(seq, b)
		})
		j.unpin(found.segment)
		if err != nil {
			return err
		}
		after = found.last()
	}
	return nil
}

// pin finds the run of a stream that has a record, and keeps its segment from being used again.
func (j *Journal) pin(name string, seq storage.Seq) (run, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.streams[name]
	if seq <= s.trimmed {
		return run{}, fmt.Errorf("%w: %s begins after %d, not %d", storage.ErrTrimmed, name, s.trimmed, seq-1)
	}
	i := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].last() >= seq })
	if i == len(s.runs) || s.runs[i].first > seq {
		return run{}, fmt.Errorf("%w: record %d of %s is missing", storage.ErrCorrupt, seq, name)
	}
	s.runs[i].segment.pins++
	return s.runs[i], nil
}

func (j *Journal) unpin(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.pins--
}

// read reads a run, whose segment is pinned.
func (r *reader) read(of run, name string, fn func(storage.Seq, []byte) error) error {
	b, err := r.bytes(of)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	s, err := readSection(b)
	if err == nil && (s.kind != kindRecords || string(s.stream) != name ||
		s.first != of.first || s.count != of.count) {
		err = fmt.Errorf("section is not records %d to %d of %s", of.first, of.last(), name)
	}
	if err != nil {
		return corrupt(r.j.path(of.segment), of.offset, err)
	}
	return s.eachRecord(fn)
}

// bytes reads a run's section.
func (r *reader) bytes(of run) ([]byte, error) {
	if r.at != of.segment {
		r.close()
		f, err := os.Open(r.j.path(of.segment))
		if err != nil {
			return nil, err
		}
		r.at, r.file = of.segment, f
	}
	if cap(r.buf) < of.size {
		r.buf = make([]byte, of.size)
	}
	r.buf = r.buf[:of.size]
	_, err := r.file.ReadAt(r.buf, of.offset)
	if errors.Is(err, io.EOF) {
		return nil, corrupt(r.j.path(of.segment), of.offset, errors.New("the file ends before"))
	}
	return r.buf, err
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
		r.at, r.file = nil, nil
	}
}

// corrupt says where the disk did not keep what it was given, and what to do.
func corrupt(path string, offset int64, err error) error {
	return fmt.Errorf("%w: %s at offset %d: %w; look for faults of the disk, and put the whole "+
		"directory back from a backup", storage.ErrCorrupt, path, offset, err)
}
