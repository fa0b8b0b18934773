package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	mode       = 0o600
	segmentExt = ".jsonl"
	monthForm  = "2006-01"
)

// segment is one file of the log: a head, then records. Its name is the month that it was begun in, by
// UTC, and its first record: 2026-11.0000000000000001.jsonl. All but the newest are never written again.
type segment struct {
	month string
	first uint64
	size  int64 // durable bytes; guarded by Log.mu for the newest
}

func (s *segment) name() string { return fmt.Sprintf("%s.%016d%s", s.month, s.first, segmentExt) }

// listSegments finds the segments of a directory, oldest first.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentExt)
		month, digits, two := strings.Cut(name, ".")
		first, err := strconv.ParseUint(digits, 10, 64)
		if _, bad := time.Parse(monthForm, month); !ok || !two || err != nil || bad != nil ||
			len(digits) != 16 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, segment{month, first, info.Size()})
	}
	slices.SortFunc(list, func(a, b segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return list, nil
}

// makeSegment makes a segment durable that begins after prev.
func makeSegment(dir string, s *segment, prev Hash) (*os.File, error) {
	path := filepath.Join(dir, s.name())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return nil, err
	}
	b := appendHead(nil, s.first, prev, nil)
	s.size = int64(len(b))
	if _, err = f.Write(b); err == nil {
		err = errors.Join(f.Sync(), syncDir(dir))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tail is how far a segment is whole.
type tail struct {
	headed bool  // it has a head
	size   int64 // of what is whole
	rest   int64 // bytes behind it
	torn   bool  // the rest has no whole line: what a crash leaves
	last   uint64
	hash   Hash
	kind   Kind // of the last record
	at     time.Time
}

// readTail checks a segment from its beginning, as far as it is whole.
func readTail(path string) (tail, error) {
	f, err := os.Open(path)
	if err != nil {
		return tail{}, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	var t tail
	r := newLines(f)
	for {
		line, err := r.next()
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, io.EOF) {
			return t, err
		}
		if err != nil || !t.add(line) {
			t.rest = info.Size() - t.size
			t.torn = errors.Is(err, errTorn) && t.rest <= int64(maxLine)
			return t, nil
		}
		t.size = r.offset
	}
}

// add takes the next line if it continues the chain.
func (t *tail) add(line []byte) bool {
	if !t.headed {
		h, prev, err := readHead(line)
		t.headed, t.last, t.hash = err == nil, h.First-1, prev
		return err == nil
	}
	h, record, err := splitLine(line)
	if err != nil || next(t.hash, record) != h {
		return false
	}
	g, err := look(record)
	if err != nil || g.seq != t.last+1 {
		return false
	}
	t.last, t.hash, t.kind, t.at = g.seq, h, g.kind, g.at
	return true
}

// errTorn says that a file ends in the middle of a line, or in one that is too long.
var errTorn = errors.New("the file ends within a line")

// maxReport is the longest line: the report of a bundle.
const maxReport = 4 << 20

// lines reads a file line by line, each of them bounded.
type lines struct {
	r      *bufio.Reader
	long   []byte
	offset int64 // behind the newest line
	line   int
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 32<<10)} }

// next is the next line without its line feed, good until the next call; io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	b, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(l.long) < maxReport {
			l.long = append(l.long, b...)
			b, err = l.r.ReadSlice('\n')
		}
		l.long = append(l.long, b...)
		b = l.long
	}
	switch {
	case errors.Is(err, io.EOF) && len(b) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	l.offset += int64(len(b))
	l.line++
	return bytes.TrimSuffix(b, []byte{'\n'}), nil
}
