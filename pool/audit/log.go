package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says where a log is and how much of it is kept.
type Config struct {
	Dir     string
	Queue   int           // records that may wait for the disk; beyond, they are counted and not kept
	Gather  time.Duration // between a record and the flush that it shares with others
	Segment int64         // bytes of a file from which on the next is begun
	Keep    int           // whole months that are kept besides the present; 0: all
	Log     *slog.Logger  // nil: silent
	Version string        // of the program, for people
}

// DefaultConfig keeps everything.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, Queue: 1 << 16, Gather: 100 * time.Millisecond, Segment: 16 << 20}
}

// Validate lists every fault at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir is missing"))
	}
	if c.Queue < 1 || c.Queue > 1<<22 {
		errs = append(errs, fmt.Errorf("queue is %d: 1 to 4194304 is accepted", c.Queue))
	}
	if c.Gather < 0 || c.Gather > time.Minute {
		errs = append(errs, fmt.Errorf("gather is %v: 0 to 1m is accepted", c.Gather))
	}
	if c.Segment < 4<<10 || c.Segment > 1<<30 {
		errs = append(errs, fmt.Errorf("segment is %d: 4096 to 1073741824 bytes are accepted", c.Segment))
	}
	if c.Keep < 0 || c.Keep > 1200 {
		errs = append(errs, fmt.Errorf("keep is %d: 0 (all) to 1200 months is accepted", c.Keep))
	}
	return errors.Join(errs...)
}

// Log is an open log. Note may be called from any goroutine; Run writes.
type Log struct {
	cfg   Config // immutable after Open
	log   *slog.Logger
	queue *queue
	key   ed25519.PrivateKey // immutable
	reads chan struct{}      // capacity 1: one reader of everything at a time

	writeMu sync.Mutex // held across writes
	file    *os.File   // guarded by writeMu, like all down to mu
	seq     uint64     // of the newest record in pending or in the file
	hash    Hash       // its hash
	size    int64      // of the file that is good
	dirty   bool       // the file may have more than that
	spare   []Record
	pending []Record // could not be written yet
	buf     []byte
	record  []byte
	failing bool
	closed  bool

	mu       sync.Mutex
	segments []segment // the newest last
	durable  Head      // the newest record that is on disk
	stats    Stats
}

// Head names the newest record.
type Head struct {
	Seq  uint64
	Hash Hash
}

// Stats are counts since the log was opened.
type Stats struct {
	Head     Head
	Records  uint64 // written
	Bytes    uint64
	Flushes  uint64
	Missing  uint64 // could not be kept
	Waiting  int
	Failures uint64 // writes that failed
	Segments int
}

// Open opens a log, or begins one, and notes how it found it. A torn end is cut at the last whole record.
func Open(cfg Config, now time.Time) (_ *Log, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, log: cfg.Log, queue: newQueue(cfg.Queue), reads: make(chan struct{}, 1)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if l.key, err = openKey(filepath.Join(cfg.Dir, keyName)); err != nil {
		return nil, err
	}
	found, err := l.openNewest(now)
	if err != nil {
		return nil, err
	}
	l.Note(Record{
		At: now, Kind: Started, Missing: uint64(found.rest), Text: found.say(cfg.Version),
		Warn: found.rest > 0, Head: fmt.Sprintf("%x", l.key.Public()),
	})
	l.Note(clockRecord(now))
	return l, nil
}

// say is what is noted of how the log was found.
func (t *tail) say(version string) string {
	text := "version " + version
	switch {
	case t.rest > 0 && t.torn:
		return text + fmt.Sprintf("; %d bytes of an unfinished record were cut off after %d", t.rest, t.last)
	case t.rest > 0:
		return text + fmt.Sprintf("; %d bytes after %d are not whole and were set aside", t.rest, t.last)
	case t.last > 0 && t.kind != Stopped:
		return text + "; the log before it was not closed"
	}
	return text
}

// openNewest finds the end of the newest segment, or makes the first.
func (l *Log) openNewest(now time.Time) (tail, error) {
	list, err := listSegments(l.cfg.Dir)
	if err != nil {
		return tail{}, err
	}
	for len(list) > 0 {
		s := &list[len(list)-1]
		path := filepath.Join(l.cfg.Dir, s.name())
		t, err := readTail(path)
		if err != nil {
			return t, fmt.Errorf("reading %s: %w", path, err)
		}
		if !t.headed && len(list) > 1 && s.size <= int64(maxLine) { // a crash while it was begun
			if err := os.Remove(path); err != nil {
				return t, err
			}
			list = list[:len(list)-1]
			continue
		}
		if !t.headed && s.size > int64(maxLine) {
			return t, fmt.Errorf("%s does not begin as a log does: move it away, "+
				"or put it back from a backup", path)
		}
		if !t.headed {
			break
		}
		return t, l.resume(list, path, t)
	}
	l.segments = []segment{{month: now.UTC().Format(monthForm), first: 1}}
	s := &l.segments[0]
	l.file, err = makeSegment(l.cfg.Dir, s, Hash{})
	l.size = s.size
	return tail{}, err
}

// resume goes on after the last whole record. What is behind it is cut off; if it has whole lines, which no
// crash leaves, it is set aside first.
func (l *Log) resume(list []segment, path string, t tail) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if t.rest > 0 && !t.torn {
		if err := setAside(f, path, t); err != nil {
			return errors.Join(fmt.Errorf("setting aside what is not whole: %w", err), f.Close())
		}
	}
	if t.rest > 0 {
		l.log.Warn("the end of the evidence log was not whole", slog.String("file", path),
			slog.Int64("bytes", t.rest), slog.Uint64("last_record", t.last))
		if err := errors.Join(f.Truncate(t.size), f.Sync()); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	list[len(list)-1].size = t.size
	l.segments, l.file, l.size, l.seq, l.hash = list, f, t.size, t.last, t.hash
	l.durable = Head{t.last, t.hash}
	return nil
}

// setAside copies the rest of a segment to a file of its own.
func setAside(f *os.File, path string, t tail) error {
	name := fmt.Sprintf("%s.after-%d", path, t.last)
	aside, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(aside, io.NewSectionReader(f, t.size, t.rest))
	return errors.Join(err, aside.Sync(), aside.Close())
}

// Note takes a record into the log. It never blocks: if too many wait, it is counted as missing.
func (l *Log) Note(r Record) { l.queue.put(&r) }

// Head is the newest durable record.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Stats are the present counts.
func (l *Log) Stats() Stats {
	waiting, lost := l.queue.waiting()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Head, s.Segments, s.Waiting, s.Missing = l.durable, len(l.segments), waiting, lost
	return s
}

// Pauses of the writer.
const (
	clockEvery = time.Hour
	retryAfter = time.Second
	retryMost  = 30 * time.Second
)

// Run writes what is noted until ctx ends. What is noted after that waits for Close.
func (l *Log) Run(ctx context.Context) error {
	clock := time.NewTicker(clockEvery)
	defer clock.Stop()
	pause := l.cfg.Gather
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			l.Note(clockRecord(time.Now()))
			continue
		case <-l.queue.wake:
		}
		if !sleep(ctx, pause) {
			return nil
		}
		if pause = l.cfg.Gather; l.Flush() != nil { // it was said
			pause = min(max(2*pause, retryAfter), retryMost)
			l.again()
		}
	}
}

// again makes Run try once more.
func (l *Log) again() {
	select {
	case l.queue.wake <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Close writes what waits, and that the log ends in order. What is noted after it is lost; closing again
// does nothing.
func (l *Log) Close(now time.Time) error {
	l.writeMu.Lock()
	closed := l.closed
	l.closed = true
	l.writeMu.Unlock()
	if closed {
		return nil
	}
	l.Note(Record{At: now, Kind: Stopped})
	err := l.Flush()
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	return errors.Join(err, l.file.Close())
}
