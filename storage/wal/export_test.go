package wal

import (
	"fmt"
	"os"
	"runtime"

	"github.com/hashlease/hashlease/storage"
)

// Batches is how many batches the log ever had.
func (j *Journal) Batches() uint64 { return j.number }

// CutFile gives the active segment to the journal for reading only: a write fails, and the one that
// would undo it.
func (j *Journal) CutFile() error {
	f, err := os.Open(j.path(j.active()))
	if err != nil {
		return err
	}
	err = j.file.Close()
	j.file = f
	return err
}

// Hold keeps commits from beginning until n calls wait; release lets the first of them lead.
func (j *Journal) Hold() (release func(n int)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leading = true
	return func(n int) {
		for {
			j.mu.Lock()
			if len(j.waiting) == n {
				j.waiting[0].ready <- true
				j.mu.Unlock()
				return
			}
			j.mu.Unlock()
			runtime.Gosched()
		}
	}
}

// Drop lets go of the files as a process that dies does: without a mark, after the keeper has ended.
func (j *Journal) Drop() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.stop)
	<-j.done
	return j.release()
}

// WaitReady returns when the next segment is ready.
func (j *Journal) WaitReady() {
	for j.peekNext() == nil {
		runtime.Gosched()
	}
}

// PageSize is what batches are aligned to.
const PageSize = pageSize

// DecodeSegment decodes all that follows a segment's first page, as the recovery does, and writes it down.
func DecodeSegment(b []byte, salt uint64) (said []string, used int) {
	for used < len(b) {
		got, err := readBatch(b[used:], salt)
		if err != nil {
			return said, used
		}
		err = got.each(func(s section) error {
			said = append(said, fmt.Sprintf("%d %s %+v %d %d", s.kind, s.stream, s.state, s.first, s.count))
			return s.eachRecord(func(_ storage.Seq, r []byte) error {
				said = append(said, string(r))
				return nil
			})
		})
		if err != nil {
			return append(said, "bad"), used
		}
		used += pages(len(got.bytes))
	}
	return said, used
}

// EncodeBatch encodes one batch with a section of each kind.
func EncodeBatch(salt, number uint64, stream string, records [][]byte) []byte {
	b := beginBatch(nil)
	b = appendStanding(b, stream, standing{last: 7, trimmed: 5, at: 6, file: 1})
	b = appendRecords(b, stream, 8, records)
	b = appendNumbers(b, kindTrim, stream, 6)
	b = appendNumbers(b, kindSnapshot, stream, 7, 2)
	return endBatch(b, salt, number, 4)
}

// WaitCalls returns when n calls wait.
func (j *Journal) WaitCalls(n int) {
	for {
		j.mu.Lock()
		there := len(j.waiting)
		j.mu.Unlock()
		if there == n {
			return
		}
		runtime.Gosched()
	}
}
