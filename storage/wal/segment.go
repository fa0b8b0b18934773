package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashlease/hashlease/storage"
)

// The page at the beginning of a segment:
//
//	 0 16  "hashlease wal 1\n"
//	16  8  id, as in the name
//	24  8  salt, drawn for each use of the file
//	32  4  CRC-32C of all this
const (
	headerMagic = "hashlease wal 1\n"
	headerSize  = 36
)

const (
	mode       = 0o600
	segmentExt = ".seg"
	nextName   = "next"
	zeroStep   = 256 << 10 // zeros between two flushes: commits do not queue behind a whole segment's
)

// segment is one file of the log.
type segment struct {
	// immutable
	id   uint64
	salt uint64

	size int64 // guarded by Journal.mu; the leader, who alone changes it, reads it without
	live int   // guarded by Journal.mu: runs of records in it that are not trimmed
	pins int   // guarded by Journal.mu: readers; the file is not used again meanwhile
}

func (j *Journal) path(s *segment) string { return segmentPath(j.dir, s.id) }

func segmentPath(dir string, id uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", id, segmentExt))
}

// header is the first page of the segment.
func (s *segment) header() []byte {
	b := append(make([]byte, 0, pageSize), headerMagic...)
	b = binary.LittleEndian.AppendUint64(b, s.id)
	b = binary.LittleEndian.AppendUint64(b, s.salt)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:pageSize]
}

// readHeader reads a segment's first page.
func readHeader(b []byte, id uint64) (*segment, error) {
	if len(b) < pageSize || string(b[:len(headerMagic)-2]) != headerMagic[:len(headerMagic)-2] {
		return nil, fmt.Errorf("%w: the file is not a segment of a journal of hashlease", storage.ErrCorrupt)
	}
	if string(b[:len(headerMagic)]) != headerMagic {
		return nil, fmt.Errorf("segment has format %q: %q is accepted", b[:len(headerMagic)], headerMagic)
	}
	sum := crc32.Checksum(b[:headerSize-4], castagnoli)
	if sum != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return nil, fmt.Errorf("%w: checksum of the segment's header is wrong", storage.ErrCorrupt)
	}
	s := &segment{id: binary.LittleEndian.Uint64(b[16:]), salt: binary.LittleEndian.Uint64(b[24:])}
	if s.id != id {
		return nil, fmt.Errorf("%w: segment is %016x by its header", storage.ErrCorrupt, s.id)
	}
	return s, nil
}

// makeSegment makes the segment with an id durable under its name: a new file, or old used again.
func (j *Journal) makeSegment(id uint64, old *segment) (_ *segment, err error) {
	s := &segment{id: id, size: j.o.SegmentSize}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.salt = binary.LittleEndian.Uint64(salt[:])
	next := filepath.Join(j.dir, nextName)
	if old != nil { // its old name has to be gone for good before its content is
		if err := errors.Join(os.Rename(j.path(old), next), syncDir(j.dir)); err != nil {
			return nil, fmt.Errorf("using segment %016x again: %w", old.id, err)
		}
	}
	f, err := os.OpenFile(next, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return nil, fmt.Errorf("making segment %016x: %w", id, err)
	}
	if old == nil {
		err = errors.Join(f.Truncate(0), j.fillZeros(f, 0, s.size))
	}
	if err == nil {
		_, err = f.WriteAt(s.header(), 0)
	}
	if err == nil {
		err = f.Sync() // with the size and the map of blocks
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = errors.Join(os.Rename(next, j.path(s)), syncDir(j.dir))
	}
	if err != nil {
		return nil, fmt.Errorf("making segment %016x: %w", id, errors.Join(err, removeIfThere(next)))
	}
	return s, nil
}

// errStopping says that the journal is being closed.
var errStopping = errors.New("journal is being closed")

// fillZeros writes zeros, a step at a time, so that commits meanwhile wait for a step at most.
func (j *Journal) fillZeros(f *os.File, from, to int64) error {
	zeros := make([]byte, zeroStep)
	for ; from < to; from += zeroStep {
		select {
		case <-j.stop:
			return errStopping
		default:
		}
		if _, err := f.WriteAt(zeros[:min(zeroStep, to-from)], from); err != nil {
			return err
		}
		if err := datasync(f); err != nil {
			return err
		}
	}
	return nil
}

// grow makes a segment that nothing was written to at least so large.
func (j *Journal) grow(s *segment, f *os.File, size int64) error {
	if size <= s.size {
		return nil
	}
	j.ready.Lock()
	defer j.ready.Unlock()
	if err := j.room(size - s.size); err != nil {
		return err
	}
	if err := errors.Join(j.fillZeros(f, s.size, size), f.Sync()); err != nil {
		return fmt.Errorf("growing segment %016x: %w", s.id, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.size = size
	return nil
}

// readSegment reads a segment's header and all of its bytes.
func readSegment(dir string, id uint64, buf []byte) (*segment, []byte, error) {
	f, err := os.Open(segmentPath(dir, id))
	if err != nil {
		return nil, buf, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, buf, err
	}
	if size := int(info.Size()); cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:info.Size()]
	if _, err := io.ReadFull(f, buf); err != nil {
		return nil, buf, err
	}
	s, err := readHeader(buf, id)
	if err == nil {
		s.size = info.Size()
	}
	return s, buf, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
