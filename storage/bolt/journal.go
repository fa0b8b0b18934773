package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hashlease/hashlease/storage"
)

var (
	_ storage.Journal = (*Journal)(nil)
	_ storage.Elector = (*Journal)(nil)
)

// Options say how to open a journal. The zero value is good.
type Options struct {
	// LockWait is how long to wait for another process to close the file: 200 ms if 0.
	LockWait time.Duration
	// MmapSize is the address space to reserve, so that the file can grow to it
	// without waiting for readers: 1 GiB if 0. It takes no memory.
	MmapSize int64
	// MaxSize bounds the file: without bound if 0. An Append that would pass it fails.
	MaxSize int64
}

const (
	defaultLockWait = 200 * time.Millisecond
	defaultMmap     = 1 << 30
	mode            = 0o600
	queueLen        = 4096 // calls that may wait for the next commit; further ones block at the door
)

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	// immutable after Open
	db    *bbolt.DB
	queue chan *call    // to the writer; closed by Close when no sender is left
	done  chan struct{} // closed when the writer has ended

	failed bool // owned by the writer: what is durable is open

	mu     sync.RWMutex
	closed bool            // guarded by mu
	heads  map[string]head // guarded by mu: what is durable; written by the writer alone

	calls sync.WaitGroup // calls in flight; Add only under mu while not closed
}

// head is where a stream begins and ends.
type head struct {
	last    storage.Seq
	trimmed storage.Seq
	at      storage.Seq // of the snapshot, 0 without one
}

// Open opens or creates the journal at path. It returns storage.ErrLocked if another process has it
// open. It starts the writer, which Close ends.
func Open(path string, o Options) (*Journal, error) {
	if o.LockWait < 0 || o.MmapSize < 0 || o.MaxSize < 0 {
		return nil, fmt.Errorf("opening journal %s: options must not be negative: %+v", path, o)
	}
	if o.LockWait == 0 {
		o.LockWait = defaultLockWait
	}
	if o.MmapSize == 0 {
		o.MmapSize = defaultMmap
	}
	info, statErr := os.Stat(path)
	if statErr == nil && info.Size() > 0 {
		if err := verify(path, o); err != nil {
			return nil, fmt.Errorf("opening journal %s: %w", path, err)
		}
	}
	db, err := openFile(path, o, false)
	if err != nil {
		return nil, fmt.Errorf("opening journal %s: %w", path, err)
	}
	heads, err := prepare(db)
	if err == nil && errors.Is(statErr, os.ErrNotExist) {
		err = syncDir(filepath.Dir(path)) // or the new file could vanish with its name
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening journal %s: %w", path, err), db.Close())
	}
	j := &Journal{
		db: db, heads: heads,
		queue: make(chan *call, queueLen), done: make(chan struct{}),
	}
	go j.write() // ends when Close closes the queue
	return j, nil
}

// openFile opens the bbolt file and turns its panics on broken pages into errors.
func openFile(path string, o Options, readOnly bool) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %v", storage.ErrCorrupt, p)
			if file != nil {
				err = errors.Join(err, file.Close()) // gives up the lock
			}
		}
	}()
	db, err = bbolt.Open(path, mode, &bbolt.Options{
		Timeout:         o.LockWait,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: int(o.MmapSize),
		MaxSize:         int(o.MaxSize),
		NoStatistics:    true,
		ReadOnly:        readOnly,
		OpenFile: func(name string, flag int, m os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, m)
			if err != nil {
				return nil, err
			}
			if err := f.Chmod(mode); err != nil { // it may have been copied with wider rights
				return nil, errors.Join(err, f.Close())
			}
			file = f
			return f, nil
		},
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, storage.ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
	}
	return db, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close answers every call in flight, ends the writer and releases the file.
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
	close(j.queue)
	<-j.done
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("closing journal: %w", err)
	}
	return nil
}

// enter admits one call, which must leave.
func (j *Journal) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the journal: %w", err)
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return storage.ErrClosed
	}
	j.calls.Add(1)
	return nil
}

func (j *Journal) leave() { j.calls.Done() }

// head is where a stream durably begins and ends.
func (j *Journal) head(stream string) head {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.heads[stream]
}
