package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Hash is the SHA-256 over the hash before it and a record's canonical bytes.
type Hash [sha256.Size]byte

// String is the hash in 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String writes.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return h, fmt.Errorf("hash has %d characters: 64 hexadecimal digits are accepted", len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil || h.String() != s {
		return h, errors.New("hash is not of 64 lower-case hexadecimal digits")
	}
	return h, nil
}

// next is the hash of a record after prev.
func next(prev Hash, record []byte) Hash {
	var buf [sha256.Size + 1024]byte
	b := append(buf[:0], prev[:]...)
	return sha256.Sum256(append(b, record...))
}

// A line of the log is
//
//	 0  9  {"hash":"
//	 9 64  hash of the record, lower-case hexadecimal
//	73 11  ","record":
//	84  n  the record's canonical bytes
//	 .  2  } and a line feed
const (
	lineBegin  = `{"hash":"`
	lineMiddle = `","record":`
	recordAt   = len(lineBegin) + 2*sha256.Size + len(lineMiddle)
	maxLine    = recordAt + MaxRecord + 2
)

func appendLine(dst []byte, h Hash, record []byte) []byte {
	dst = append(dst, lineBegin...)
	dst = hex.AppendEncode(dst, h[:])
	dst = append(dst, lineMiddle...)
	dst = append(dst, record...)
	return append(dst, '}', '\n')
}

// splitLine parts a line without its line feed into hash and record.
func splitLine(line []byte) (Hash, []byte, error) {
	if !isRecord(line) || len(line) < recordAt+3 || line[len(line)-1] != '}' ||
		string(line[recordAt-len(lineMiddle):recordAt]) != lineMiddle {
		return Hash{}, nil, errors.New(`the line is not of the form {"hash":"...","record":{...}}`)
	}
	h, err := ParseHash(string(line[len(lineBegin) : len(lineBegin)+2*sha256.Size]))
	return h, line[recordAt : len(line)-1], err
}

func isRecord(line []byte) bool { return bytes.HasPrefix(line, []byte(lineBegin)) }

// head says where a file's chain begins: before its first record stands prev.
type head struct {
	Audit int    `json:"audit"` // version of the format
	First uint64 `json:"first"`
	Prev  string `json:"prev"`
	Query *Query `json:"query,omitempty"` // of a bundle
}

const version = 1

// appendHead writes the first line of a file.
func appendHead(dst []byte, first uint64, prev Hash, q *Query) []byte {
	return appendJSON(dst, head{version, first, prev.String(), q})
}

// appendJSON writes a line of what encoding/json always writes the same.
func appendJSON(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types have nothing that JSON has not
	}
	return append(append(dst, b...), '\n')
}

// readHead reads the first line of a file, without its line feed.
func readHead(line []byte) (head, Hash, error) {
	var h head
	if err := readStrict(line, &h); err != nil {
		return h, Hash{}, fmt.Errorf("the first line is not the head of a log: %w", err)
	}
	if h.Audit != version {
		return h, Hash{}, fmt.Errorf("the log has version %d: %d is accepted", h.Audit, version)
	}
	prev, err := ParseHash(h.Prev)
	if err == nil && h.First == 0 {
		err = errors.New("it begins with record 0: 1 is the first")
	}
	return h, prev, err
}

// readStrict reads a line that has to be exactly what appendJSON writes.
func readStrict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if again := appendJSON(nil, v); !bytes.Equal(again[:len(again)-1], line) {
		return errors.New("the line is not written as this program writes it")
	}
	return nil
}

// glance is what can be told of a record without reading all of it.
type glance struct {
	seq  uint64
	at   time.Time
	kind Kind
}

// look reads the fields that every record begins with.
func look(record []byte) (glance, error) {
	var g glance
	fault := errors.New("the record does not begin with its number, time and kind")
	rest, ok := bytes.CutPrefix(record, []byte(`{"seq":`))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 {
		return g, fault
	}
	n, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	if err != nil || n == 0 {
		return g, fault
	}
	g.seq = n
	rest, ok = bytes.CutPrefix(rest[end:], []byte(`,"at":"`))
	if !ok || len(rest) < len(timeForm) {
		return g, fault
	}
	if g.at, err = time.Parse(timeForm, string(rest[:len(timeForm)])); err != nil {
		return g, fault
	}
	rest, ok = bytes.CutPrefix(rest[len(timeForm):], []byte(`","kind":"`))
	end = bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return g, fault
	}
	g.kind = Kind(rest[:end])
	return g, nil
}
