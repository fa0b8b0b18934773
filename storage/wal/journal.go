package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashlease/hashlease/storage"
)

var _ storage.Journal = (*Journal)(nil)

// Options say how to open a journal. The zero value is good.
type Options struct {
	// LockWait is how long to wait for another process to close the journal: 200 ms if 0.
	LockWait time.Duration
	// SegmentSize is that of a file of the log: 4 MiB if 0. It is 256 KiB or more, in whole pages of
	// 4 KiB.
	SegmentSize int64
	// MaxSize bounds the files together: without bound if 0. An Append that would pass it fails.
	MaxSize int64
}

const (
	defaultLockWait = 200 * time.Millisecond
	lockPoll        = 10 * time.Millisecond
	defaultSegment  = 4 << 20
	minSegment      = 256 << 10
	lockName        = "lock"
)

func (o Options) withDefaults() (Options, error) {
	if o.LockWait == 0 {
		o.LockWait = defaultLockWait
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegment
	}
	if o.LockWait < 0 || o.MaxSize < 0 {
		return o, fmt.Errorf("options must not be negative: %+v", o)
	}
	if o.SegmentSize < minSegment || o.SegmentSize%pageSize != 0 || o.SegmentSize > 1<<30 {
		return o, fmt.Errorf("segment size is %d: whole pages of %d bytes from %d to %d are accepted",
			o.SegmentSize, pageSize, minSegment, 1<<30)
	}
	return o, nil
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	// immutable after Open
	dir  string
	o    Options
	lock *os.File
	wake chan struct{} // to the keeper: make a segment ready; capacity 1
	stop chan struct{} // closed by Close: the keeper ends
	done chan struct{} // closed when the keeper has ended

	ready  sync.Mutex // held to make a segment
	full   error      // guarded by ready: why the newest file could not be made
	fullAt time.Time  // guarded by ready

	mu       sync.Mutex
	closed   bool
	leading  bool               // somebody writes, or was told to
	waiting  []*call            // for the next commit
	streams  map[string]*stream // written by the leader alone, who so reads it without mu
	segments []*segment         // oldest first; batches go into the last one
	next     *segment           // made ready for after the last one, or nil
	retired  []*segment         // without live records, oldest first
	snapFile uint64             // the newest snapshot's file

	calls sync.WaitGroup // calls in flight; Add only under mu while not closed

	// owned by the leader
	file   *os.File // the last segment
	end    int64    // where its next batch goes
	number uint64   // of the last batch
	marked bool     // it is the empty one of a Close
	failed error    // what is durable is open
	commit commit
}

// stream is what memory knows of one stream. Guarded by Journal.mu but for pending.
type stream struct {
	name string // immutable
	standing
	runs []run // of its records, oldest first

	// owned by the leader
	pending standing // as the batch in the making leaves it
	touched bool     // pending is in use
}

// run is records of one stream in one section of a batch.
type run struct {
	segment *segment
	offset  int64 // of the section
	size    int
	first   storage.Seq
	count   int
}

func (r *run) last() storage.Seq { return r.first + storage.Seq(r.count) - 1 }

// Open opens or creates the journal in the directory at path. It returns storage.ErrLocked if another
// process has it open. It starts the keeper, which Close ends.
func Open(path string, o Options) (*Journal, error) {
	j, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("opening journal %s: %w", path, err)
	}
	go j.keep() // ends when Close closes stop
	j.poke()
	return j, nil
}

func open(path string, o Options) (j *Journal, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if err := makeDir(path); err != nil {
		return nil, err
	}
	j = newJournal(path, o)
	if j.lock, err = lockDir(path, o.LockWait); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.release())
		}
	}()
	if err := removeIfThere(filepath.Join(path, nextName)); err != nil {
		return nil, err
	}
	return j, j.begin()
}

// begin reads the log, or makes its first segment, and opens it for writing.
func (j *Journal) begin() error {
	ids, err := segmentIDs(j.dir)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		s, err := j.makeSegment(1, nil)
		if err != nil {
			return err
		}
		j.segments, j.end = []*segment{s}, pageSize
		j.file, err = os.OpenFile(j.path(s), os.O_RDWR, 0)
		return err
	}
	r, err := j.recover(ids)
	if err != nil {
		return err
	}
	unnamed, err := j.findSnapshots()
	if err != nil {
		return err
	}
	removeAll(unnamed)
	if err := r.tidy(ids); err != nil {
		return err
	}
	if j.file, err = os.OpenFile(j.path(j.active()), os.O_RDWR, 0); err != nil {
		return err
	}
	return r.again()
}

// Verify reads the whole journal in the directory at path and says what is wrong with it. It changes
// nothing.
func Verify(path string) error {
	o, err := Options{}.withDefaults()
	if err != nil {
		return err
	}
	j := newJournal(path, o)
	if j.lock, err = lockDir(path, o.LockWait); err != nil {
		return fmt.Errorf("checking journal %s: %w", path, err)
	}
	ids, err := segmentIDs(path)
	if err == nil && len(ids) > 0 {
		if _, err = j.recover(ids); err == nil {
			_, err = j.findSnapshots()
		}
	}
	if err = errors.Join(err, j.release()); err != nil {
		return fmt.Errorf("checking journal %s: %w", path, err)
	}
	return nil
}

func newJournal(path string, o Options) *Journal {
	return &Journal{
		dir: path, o: o, streams: map[string]*stream{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// makeDir makes the journal's directory durably, for nobody else to read.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	switch {
	case errors.Is(err, os.ErrExist):
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%w: it is a file: a directory is accepted", storage.ErrCorrupt)
		}
		if info.Mode().Perm()&0o077 != 0 { // it may have been copied with wider rights
			return os.Chmod(path, 0o700)
		}
		return nil
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(path))
}

// lockDir takes the lock that the directory's one process holds.
func lockDir(path string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(wait); ; time.Sleep(min(lockPoll, wait)) {
		switch held, err := tryLock(f); {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("locking: %w", err), f.Close())
		case held:
			return f, nil
		case time.Now().After(until):
			return nil, errors.Join(storage.ErrLocked, f.Close())
		}
	}
}

// release gives up the files.
func (j *Journal) release() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	return errors.Join(err, j.lock.Close()) // the lock goes with its file
}

// active is the segment that batches go into. The leader needs no mu for it.
func (j *Journal) active() *segment { return j.segments[len(j.segments)-1] }

// Close answers every call in flight, marks the end and releases the files.
func (j *Journal) Close() error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	j.calls.Wait()
	if !first {
		<-j.done
		return nil
	}
	close(j.stop)
	<-j.done
	if err := errors.Join(j.mark(), j.release()); err != nil {
		return fmt.Errorf("closing journal: %w", err)
	}
	return nil
}

// enter admits one call, which must leave.
func (j *Journal) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return storage.ErrClosed
	}
	j.calls.Add(1)
	return nil
}

func (j *Journal) leave() { j.calls.Done() }
