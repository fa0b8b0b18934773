package storagetest

import (
	"context"
	"errors"
	"sync"

	"github.com/hashlease/hashlease/storage"
)

// Errors of Faulty.
var (
	ErrFault  = errors.New("injected fault")
	ErrKilled = errors.New("injected crash")
)

// Faulty is a journal whose writes fail on command, to test those who keep state in one. Writes are calls
// of Append, PutSnapshot and Trim; they are counted from 1.
type Faulty struct {
	storage.Journal // immutable

	mu     sync.Mutex
	writes int  // guarded by mu: so far
	fail   int  // guarded by mu: writes that are still to fail
	kill   int  // guarded by mu: the last write, 0 for never
	after  bool // guarded by mu: the last write happens, though nobody learns
	dead   bool // guarded by mu
}

// NewFaulty wraps a journal. It works as the journal does until told otherwise.
func NewFaulty(j storage.Journal) *Faulty { return &Faulty{Journal: j} }

// Fail makes the next n writes fail without effect, as on a full disk.
func (f *Faulty) Fail(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = n
}

// KillAt makes write n the last, as if the process died in it: before it has an effect, or after it
// had one and before the caller learns. All later calls give ErrKilled.
func (f *Faulty) KillAt(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kill, f.after = n, after
}

// Writes is how many writes were tried.
func (f *Faulty) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// write runs one write as commanded.
func (f *Faulty) write(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return ErrKilled
	}
	f.writes++
	if f.fail > 0 {
		f.fail--
		return ErrFault
	}
	if f.writes != f.kill {
		return do()
	}
	f.dead = true
	if f.after {
		_ = do() // the caller is dead either way
	}
	return ErrKilled
}

// Append implements storage.Journal.
func (f *Faulty) Append(ctx context.Context, ws ...storage.Write) (seq storage.Seq, err error) {
	err = f.write(func() (err error) {
		seq, err = f.Journal.Append(ctx, ws...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// PutSnapshot implements storage.Journal.
func (f *Faulty) PutSnapshot(ctx context.Context, stream string, at storage.Seq, state []byte) error {
	return f.write(func() error { return f.Journal.PutSnapshot(ctx, stream, at, state) })
}

// Trim implements storage.Journal.
func (f *Faulty) Trim(ctx context.Context, stream string, upTo storage.Seq) error {
	return f.write(func() error { return f.Journal.Trim(ctx, stream, upTo) })
}
