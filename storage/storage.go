// Package storage is the port through which every room makes things durable: a journal of named
// streams. It knows bytes only.
//
// What the bytes mean, and folding them into state, belongs to the rooms that
// write them. Implementations are in storage/mem, storage/bolt and storage/wal;
// storage/storagetest is the one conformance suite that all of them pass.
package storage

import (
	"context"
	"errors"
)

// Seq is a position in one stream. The first record of a stream has Seq 1.
type Seq uint64

// Any as Write.Expect asks for no check.
const Any = ^Seq(0)

// Errors of the port, by phase of life.
var (
	// ErrLocked says that another process has the journal open.
	ErrLocked = errors.New("journal is in use by another process")
	// ErrClosed says that the journal was closed before the call.
	ErrClosed = errors.New("journal is closed")
	// ErrExpect says that a stream's last Seq was not the expected one. Nothing was written.
	ErrExpect = errors.New("stream has moved on")
	// ErrTrimmed says that Replay was asked for records that are gone.
	ErrTrimmed = errors.New("records were trimmed")
	// ErrInvalid says that a name or a record is outside the bounds. Nothing was written.
	ErrInvalid = errors.New("invalid write")
	// ErrCorrupt says that what is stored is not what was written.
	ErrCorrupt = errors.New("journal is corrupt")
	// ErrFailed says that the medium failed in a way that leaves open what is durable. Every later
	// write fails until the journal is opened again.
	ErrFailed = errors.New("journal failed and must be opened again")
)

// Write is a few records for one stream. Without records it only checks Expect.
type Write struct {
	Stream  string
	Expect  Seq // the stream's last Seq before this write, 0 for an empty stream, or Any
	Records [][]byte
}

// Journal is an append-only log of named streams. Its methods may be called concurrently.
//
// Append is one atomic durable unit over several streams: after it returns nil, all of
// its records survive kill -9; after an error none of them exist (ErrFailed alone
// leaves it open until the next opening). Concurrent calls share a commit and do not share
// failures of each other's Expect. It returns the last Seq of the first write's stream.
// Records are copied. Writes to the same stream count one after the other. A context that
// ends before the commit begins withdraws the call; after that the call is
// answered by the commit alone.
//
// Last is the Seq of the stream's newest durable record, 0 if it never had one. Streams
// are the names that ever had a record, sorted.
//
// Replay calls fn for every record of the stream with Seq > after that was durable when it began, in
// order, and stops at fn's first error. fn must not call the journal. The
// record is valid only during the call.
//
// A snapshot stands for all records up to its Seq: a fold is the last snapshot and the
// records after it. Its Seq is from 1 to the stream's last and never goes back. Trim drops records with
// Seq <= upTo; the stream's last Seq stays, and a snapshot too. Trim works in steps: after an error some
// of the oldest records may be gone.
//
// Close waits for calls in flight. Calls after it return ErrClosed; closing again does nothing.
type Journal interface {
	Append(ctx context.Context, writes ...Write) (Seq, error)
	Replay(ctx context.Context, stream string, after Seq, fn func(Seq, []byte) error) error
	Last(ctx context.Context, stream string) (Seq, error)
	Streams(ctx context.Context) ([]string, error)
	Snapshot(ctx context.Context, stream string) (Seq, []byte, error) // 0, nil, nil if there is none
	PutSnapshot(ctx context.Context, stream string, at Seq, state []byte) error
	Trim(ctx context.Context, stream string, upTo Seq) error
	Close() error
}

// Term is a fencing epoch: it grows by at least one every time that somebody leads.
type Term uint64

// Elector gives leadership. With one process it is given at once; what it returns is durable
// before it returns.
type Elector interface {
	Lead(ctx context.Context) (Term, error)
}
