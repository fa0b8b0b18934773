package ledger

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// maxWorker is the longest worker name: an identity without a worker gets ".default".
const maxWorker = pool.MaxIdentity + len(".default")

// reader decodes one record. Its first error stays, and every later read gives zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrRecord, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

// version reads the first byte and fails unless it is the one that is accepted.
func (r *reader) version(want byte) {
	if b := r.take(1); b != nil && b[0] != want {
		r.fail("version %#x: %#x is accepted; a newer hashlease may have written it", b[0], want)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.fail("%d bytes are needed, %d are left", n, len(r.b))
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("bad number with %d bytes left", len(r.b))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("bad number with %d bytes left", len(r.b))
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items follow, each of at least size bytes: a record cannot
// make us allocate more than it is long.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail("%d items cannot fit in %d bytes", n, len(r.b))
		return 0
	}
	return int(n)
}

// text reads a string of up to limit bytes.
func (r *reader) text(limit int) string {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail("text has %d bytes: up to %d are accepted", n, limit)
		return ""
	}
	return string(r.take(int(n)))
}

// worker reads a worker's name, which is never empty.
func (r *reader) worker() pool.WorkerID {
	s := r.text(maxWorker)
	if s == "" {
		r.fail("worker has no name")
	}
	return pool.WorkerID(s)
}

// work reads a sum of hashes.
func (r *reader) work() unit.Work {
	n := r.take(1)
	if n == nil {
		return unit.Work{}
	}
	if n[0] > 16 {
		r.fail("work has %d bytes: up to 16 are accepted", n[0])
		return unit.Work{}
	}
	b := r.take(int(n[0]))
	if len(b) > 0 && b[0] == 0 {
		r.fail("work begins with a zero byte")
		return unit.Work{}
	}
	var full [16]byte
	copy(full[16-len(b):], b)
	return unit.WorkFromBytes(full)
}

// time reads an instant in milliseconds.
func (r *reader) time() time.Time { return time.UnixMilli(r.varint()).UTC() }

// end gives the first error, or one if bytes are left.
func (r *reader) end() error {
	if len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendWork(dst []byte, w unit.Work) []byte {
	full := w.Bytes()
	b := full[:]
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return append(append(dst, byte(len(b))), b...)
}

func appendTime(dst []byte, t time.Time) []byte { return binary.AppendVarint(dst, t.UnixMilli()) }
