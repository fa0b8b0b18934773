package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// batch is how many bytes are written at a time, about.
const batch = 1 << 20

// Flush makes everything durable that was noted before. After an error what could not be written waits
// for the next one.
func (l *Log) Flush() error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	err := l.flush(l.pending)
	if err == nil {
		l.pending = nil
		records, missing, kinds := l.queue.take(l.spare)
		l.spare = records
		if missing > 0 {
			records = append(records, l.gapRecord(missing, kinds))
		}
		err = l.flush(records)
	}
	l.say(err)
	return err
}

func (l *Log) gapRecord(missing uint64, kinds string) Record {
	r := Record{At: time.Now(), Kind: Gap, Missing: missing, Text: "the queue was full: " + kinds, Warn: true}
	if l.failing {
		r.Text = "the disk could not be written and the queue was full: " + kinds
	}
	return r
}

// say tells people when writing begins to fail, and when it works again.
func (l *Log) say(err error) {
	switch {
	case err != nil && !l.failing:
		l.log.Warn("the evidence log cannot be written: records wait, then they are counted as missing",
			slog.Any("error", err))
	case err == nil && l.failing:
		l.log.Info("the evidence log is written again")
	}
	l.failing = err != nil
	if err != nil {
		l.mu.Lock()
		l.stats.Failures++
		l.mu.Unlock()
	}
}

// flush writes records in batches. What is left after an error becomes pending. The caller holds writeMu.
func (l *Log) flush(records []Record) error {
	for len(records) > 0 {
		n, err := l.write(records)
		if err != nil {
			l.pending = append([]Record(nil), records...)
			return err
		}
		records = records[n:]
	}
	return nil
}

// write writes some of the records, and says how many.
func (l *Log) write(records []Record) (int, error) {
	if err := l.repair(); err != nil {
		return 0, err
	}
	month := records[0].At.UTC().Format(monthForm)
	if l.size >= l.cfg.Segment || month > l.newest().month {
		if err := l.roll(records[0].At); err != nil {
			return 0, fmt.Errorf("beginning a file: %w", err)
		}
	}
	seq, hash, n := l.seq, l.hash, 0
	l.buf = l.buf[:0]
	for n < len(records) && len(l.buf) < batch && l.size+int64(len(l.buf)) < l.cfg.Segment {
		r := &records[n]
		if n > 0 && r.At.UTC().Format(monthForm) > max(month, l.newest().month) {
			break
		}
		seq++
		r.Seq = seq
		l.record = r.Append(l.record[:0])
		hash = next(hash, l.record)
		l.buf = appendLine(l.buf, hash, l.record)
		n++
	}
	l.dirty = true
	if _, err := l.file.WriteAt(l.buf, l.size); err != nil {
		return 0, fmt.Errorf("writing %s: %w", l.file.Name(), err)
	}
	if err := l.file.Sync(); err != nil {
		return 0, fmt.Errorf("flushing %s: %w", l.file.Name(), err)
	}
	l.dirty, l.seq, l.hash = false, seq, hash
	l.size += int64(len(l.buf))
	l.wrote(n)
	return n, nil
}

func (l *Log) newest() *segment { return &l.segments[len(l.segments)-1] }

// wrote makes what was written visible.
func (l *Log) wrote(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest().size = l.size
	l.durable = Head{l.seq, l.hash}
	l.stats.Records += uint64(n)
	l.stats.Bytes += uint64(len(l.buf))
	l.stats.Flushes++
}

// repair cuts off what a failed write has left. The kernel may have forgotten pages that it could not
// flush, so they are written anew.
func (l *Log) repair() error {
	if !l.dirty {
		return nil
	}
	if err := l.file.Truncate(l.size); err != nil {
		return fmt.Errorf("cutting %s: %w", l.file.Name(), err)
	}
	l.dirty = false
	return nil
}

// roll begins the next segment and removes what is older than is kept.
func (l *Log) roll(at time.Time) error {
	s := segment{month: max(at.UTC().Format(monthForm), l.newest().month), first: l.seq + 1}
	if l.newest().first == s.first { // nothing is in it
		return nil
	}
	f, err := makeSegment(l.cfg.Dir, &s, l.hash)
	if err != nil {
		return err
	}
	_ = l.file.Close() // nothing in it is unflushed
	l.file, l.size = f, s.size
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.retire(at)
	return nil
}

// retire removes segments of months that are not kept. First the chain says what is removed.
func (l *Log) retire(at time.Time) {
	now, err := time.Parse(monthForm, l.newest().month)
	if l.cfg.Keep == 0 || err != nil {
		return
	}
	oldest := now.AddDate(0, -l.cfg.Keep, 0).Format(monthForm)
	n := 0
	for n < len(l.segments)-1 && l.segments[n].month < oldest {
		n++
	}
	if n == 0 {
		return
	}
	first := l.segments[n].first
	head, err := l.prevOf(&l.segments[n])
	if err == nil {
		_, err = l.write([]Record{{
			At: at, Kind: Removed, Number: first - 1, Head: head.String(),
			Text: fmt.Sprintf("records up to %d, of months before %s", first-1, oldest),
		}})
	}
	if err != nil {
		l.log.Warn("removing old evidence failed", slog.Any("error", err))
		return
	}
	l.mu.Lock()
	gone := append([]segment(nil), l.segments[:n]...)
	l.segments = append([]segment(nil), l.segments[n:]...)
	l.mu.Unlock()
	var errs []error
	for i := range gone {
		errs = append(errs, os.Remove(filepath.Join(l.cfg.Dir, gone[i].name())))
	}
	if err := errors.Join(errs...); err != nil {
		l.log.Warn("removing old evidence failed", slog.Any("error", err))
	}
}

// prevOf is the hash before a segment's first record.
func (l *Log) prevOf(s *segment) (Hash, error) {
	f, err := os.Open(filepath.Join(l.cfg.Dir, s.name()))
	if err != nil {
		return Hash{}, err
	}
	defer func() { _ = f.Close() }() // only read
	line, err := newLines(f).next()
	if err != nil {
		return Hash{}, err
	}
	_, prev, err := readHead(line)
	return prev, err
}
