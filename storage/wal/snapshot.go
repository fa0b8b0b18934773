package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/storage"
)

const snapshotExt = ".snap"

func snapshotPath(dir string, file uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", file, snapshotExt))
}

// snapshotHead is what a snapshot's file begins with: CRC-32C of all that follows, seq, and the length
// of the stream's name, which follows before the state.
const snapshotHead = 4 + 8 + 1

func encodeSnapshot(name string, at storage.Seq, state []byte) []byte {
	b := make([]byte, 4, snapshotHead+len(name)+len(state))
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = append(b, byte(len(name)))
	b = append(append(b, name...), state...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// decodeSnapshot reads what encodeSnapshot wrote for a stream and a seq.
func decodeSnapshot(b []byte, name string, at storage.Seq) ([]byte, error) {
	if len(b) < snapshotHead || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return nil, errors.New("checksum of the snapshot is wrong")
	}
	state, named := bytes.CutPrefix(b[snapshotHead:], []byte(name))
	if !named || int(b[snapshotHead-1]) != len(name) || storage.Seq(binary.LittleEndian.Uint64(b[4:])) != at {
		return nil, fmt.Errorf("it is not the snapshot of %s at %d", name, at)
	}
	return state, nil
}

// PutSnapshot implements storage.Journal. The state is durable in a file of its own before the log
// names it.
func (j *Journal) PutSnapshot(ctx context.Context, name string, at storage.Seq, state []byte) error {
	s, err := j.look(ctx, name)
	if err != nil {
		return err
	}
	if err := storage.CheckSnapshot(at, s.at, s.last, len(state)); err != nil {
		return err // before anything is written
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	j.mu.Lock()
	j.snapFile++
	file := j.snapFile
	j.mu.Unlock()
	path := snapshotPath(j.dir, file)
	if err := writeFile(path, encodeSnapshot(name, at, state)); err != nil {
		return fmt.Errorf("writing snapshot of %s: %w", name, errors.Join(err, removeIfThere(path)))
	}
	c := take(runSnapshot, recordCost)
	defer c.give()
	c.stream, c.standing = name, standing{at: at, file: file}
	if err := j.submit(ctx, c); err != nil {
		if !errors.Is(err, storage.ErrFailed) { // or the log may name it
			err = errors.Join(err, removeIfThere(path))
		}
		return err
	}
	return nil
}

func runSnapshot(j *Journal, c *call) error {
	m, s := &j.commit, j.touch(c.stream)
	if err := storage.CheckSnapshot(c.standing.at, s.pending.at, s.pending.last, 0); err != nil {
		return err
	}
	if s.pending.file != 0 && s.pending.file != s.file { // of the same batch
		m.dropped = append(m.dropped, snapshotPath(j.dir, s.pending.file))
	}
	s.pending.at, s.pending.file = c.standing.at, c.standing.file
	m.buf = appendNumbers(m.buf, kindSnapshot, s.name, uint64(s.pending.at), s.pending.file)
	m.sections++
	return nil
}

// writeFile makes a new file durable.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Snapshot implements storage.Journal.
func (j *Journal) Snapshot(ctx context.Context, name string) (storage.Seq, []byte, error) {
	for {
		s, err := j.look(ctx, name)
		if err != nil || s.at == 0 {
			return 0, nil, err
		}
		path := snapshotPath(j.dir, s.file)
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && j.standing(name) != s {
			continue // a newer one has come
		}
		if err != nil {
			return 0, nil, fmt.Errorf("reading snapshot of %s: %w", name, err)
		}
		state, err := decodeSnapshot(b, name, s.at)
		if err != nil {
			return 0, nil, corrupt(path, 0, err)
		}
		return s.at, state, nil
	}
}

// removeAll removes files that the log no longer names. What is left is removed at the next opening.
func removeAll(paths []string) {
	for _, path := range paths {
		_ = os.Remove(path)
	}
}

// findSnapshots returns the files that the log does not name, and refuses to go on without one that it
// does.
func (j *Journal) findSnapshots() (unnamed []string, err error) {
	named := map[uint64]bool{}
	for _, s := range j.streams {
		if s.file != 0 {
			named[s.file] = true
		}
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), snapshotExt)
		file, err := strconv.ParseUint(digits, 16, 64)
		if !ok || err != nil || len(digits) != 16 {
			continue
		}
		j.snapFile = max(j.snapFile, file)
		if !named[file] {
			unnamed = append(unnamed, filepath.Join(j.dir, e.Name()))
		}
		delete(named, file)
	}
	for file := range named {
		return nil, corrupt(snapshotPath(j.dir, file), 0, errors.New("the log names it and it is not there"))
	}
	return unnamed, nil
}
