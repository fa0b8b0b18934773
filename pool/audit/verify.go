package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Fault is what is wrong with a file of the log, and where: the first record that cannot be believed.
type Fault struct {
	Line int
	Seq  uint64 // 0: before the first record
	What string
}

// Error names the record.
func (f *Fault) Error() string {
	if f.Seq == 0 {
		return fmt.Sprintf("line %d: %s", f.Line, f.What)
	}
	return fmt.Sprintf("record %d (line %d): %s", f.Seq, f.Line, f.What)
}

// Trust is what is known of a log from elsewhere.
type Trust struct {
	Key  string // the server's, in hexadecimal; empty: the one that the file names
	Head string // hash of a record that the file must have; empty: any
	Open bool   // accept a file of the log itself, which has no seal: what follows may be missing
}

// Result is what a good file is.
type Result struct {
	First, Last uint64
	Hash        string // of the last record
	Records     uint64
	Skipped     uint64 // records that its writer left out
	Removed     uint64 // records before the first, that are not there
	Sealed      bool
	Key         string
	Bare        bool    // without records: the figures are the server's word alone
	Report      *Report // of a bundle, worked out anew from its records
	// Rules are the server's, if its program worked by others than this one; Differs are the figures that
	// come to something else by these.
	Rules   int
	Other   bool
	Differs []string
}

// verifier reads a file line by line.
type verifier struct {
	trust  Trust
	r      *lines
	sum    []byte // of all lines before the present one
	query  *Query
	fold   *fold
	prev   Hash
	seq    uint64 // that comes next
	res    Result
	said   *Report
	headed bool // a record with the trusted hash was there
}

// Verify checks a bundle, or with Trust.Open a file of the log: that each record is chained to the one
// before it, that none is missing or in another place, that all of it is signed, and that the figures are
// what the records come to. The first fault is a *Fault.
func Verify(r io.Reader, t Trust) (Result, error) {
	sum := sha256.New()
	v := &verifier{trust: t, r: newLines(r)}
	for {
		line, err := v.r.next()
		switch {
		case errors.Is(err, io.EOF):
			return v.res, v.end()
		case errors.Is(err, errTorn):
			return v.res, v.fault(v.seq, "the file ends within this line, or the line is too long")
		case err != nil:
			return v.res, err
		}
		v.sum = sum.Sum(v.sum[:0])
		if err := v.line(line); err != nil {
			return v.res, err
		}
		sum.Write(line)
		sum.Write([]byte{'\n'})
	}
}

func (v *verifier) fault(seq uint64, format string, args ...any) error {
	return &Fault{Line: v.r.line, Seq: seq, What: fmt.Sprintf(format, args...)}
}

func (v *verifier) line(line []byte) error {
	switch {
	case v.res.Sealed:
		return v.fault(v.seq, "something follows the seal")
	case v.r.line == 1:
		return v.first(line)
	case v.said != nil:
		return v.seal(line)
	case isRecord(line):
		return v.record(line)
	case bytes.HasPrefix(line, []byte(`{"skip":`)):
		return v.skip(line)
	case bytes.HasPrefix(line, []byte(`{"report":`)):
		return v.report(line)
	}
	return v.fault(v.seq, "this is neither a record, nor a skip, nor a report")
}

func (v *verifier) first(line []byte) error {
	h, prev, err := readHead(line)
	if err != nil {
		return v.fault(0, "%v", err)
	}
	v.seq, v.prev, v.query = h.First, prev, h.Query
	v.res.First, v.res.Removed = h.First, h.First-1
	if h.First == 1 && prev != (Hash{}) {
		return v.fault(1, "the first record follows no other, and yet the file names a hash before it")
	}
	if v.query != nil {
		if err := v.query.Validate(); err != nil {
			return v.fault(0, "its query is not acceptable: %v", err)
		}
		v.fold = newFold(*v.query)
	} else if !v.trust.Open {
		return v.fault(0, "this is a file of the log itself, not a bundle: --open accepts it")
	}
	return nil
}

func (v *verifier) record(line []byte) error {
	h, record, err := splitLine(line)
	if err != nil {
		return v.fault(v.seq, "%v", err)
	}
	g, err := look(record)
	switch {
	case err != nil:
		return v.fault(v.seq, "%v", err)
	case g.seq != v.seq:
		return v.fault(v.seq, "record %d is in its place: records are missing, or in another order", g.seq)
	case next(v.prev, record) != h:
		return v.fault(v.seq, "its hash is not that of its content and of the record before it")
	}
	r, err := ParseRecord(record)
	if err != nil {
		return v.fault(v.seq, "%v", err)
	}
	if v.fold != nil {
		v.fold.add(&r)
	}
	v.res.Records++
	v.take(g.seq, h)
	return nil
}

// take goes on behind a record.
func (v *verifier) take(seq uint64, h Hash) {
	v.seq, v.prev = seq+1, h
	v.res.Last, v.res.Hash = seq, h.String()
	v.headed = v.headed || v.res.Hash == v.trust.Head
}

func (v *verifier) skip(line []byte) error {
	var s skip
	err := readStrict(line, &s)
	h, bad := ParseHash(s.Hash)
	switch {
	case errors.Join(err, bad) != nil:
		return v.fault(v.seq, "the line is no skip: %v", errors.Join(err, bad))
	case v.query == nil || s.Skip < v.seq:
		return v.fault(v.seq, "it skips to record %d", s.Skip)
	}
	v.res.Skipped += s.Skip - v.seq + 1
	v.take(s.Skip, h)
	return nil
}

func (v *verifier) report(line []byte) error {
	var said reportLine
	if err := readStrict(line, &said); err != nil {
		return v.fault(v.seq, "the line is no report: %v", err)
	}
	v.said = &said.Report
	if v.query == nil {
		return v.fault(v.seq, "a report without a query")
	}
	if v.res.Records == 0 {
		v.res.Bare, v.res.Report = true, v.said
		return nil
	}
	r := v.fold.done()
	v.res.Report = &r
	if v.said.Rules != Rules {
		v.res.Other, v.res.Rules, v.res.Differs = true, v.said.Rules, differing(&r, v.said)
		return nil
	}
	if again := appendJSON(nil, reportLine{r}); !bytes.Equal(again[:len(again)-1], line) {
		return v.fault(v.seq, "the figures are not what the records come to%s", differs(&r, v.said))
	}
	return nil
}

// differing names the figures that were said to be others.
func differing(r, said *Report) (names []string) {
	for _, f := range r.Figures {
		if o, ok := said.Figure(f.Name); !ok || o.Value != f.Value || o.Known != f.Known {
			names = append(names, f.Name)
		}
	}
	return names
}

// differs names the first figure that was said to be another.
func differs(r, said *Report) string {
	for _, f := range r.Figures {
		if o, ok := said.Figure(f.Name); !ok || o.Value != f.Value || o.Known != f.Known {
			return fmt.Sprintf(": %s is said to be %d %s and is %d", f.Name, o.Value, f.Unit, f.Value)
		}
	}
	return ""
}

func (v *verifier) seal(line []byte) error {
	var s seal
	if err := readStrict(line, &s); err != nil {
		return v.fault(v.seq, "the line is no seal: %v", err)
	}
	if v.res.Bare {
		v.res.Last, v.res.Hash = s.Seq, s.Head
	}
	key, err := hex.DecodeString(s.Key)
	signature, bad := hex.DecodeString(s.Signature)
	switch {
	case s.Seq != v.res.Last || s.Head != v.res.Hash:
		return v.fault(v.res.Last, "the seal is of record %d: records are missing at the end", s.Seq)
	case errors.Join(err, bad) != nil || len(key) != ed25519.PublicKeySize ||
		s.Key != hex.EncodeToString(key) || s.Signature != hex.EncodeToString(signature):
		return v.fault(v.seq, "key and signature of the seal are not lower-case hexadecimal")
	case v.trust.Key != "" && v.trust.Key != s.Key:
		return v.fault(v.seq, "it is signed with the key %s, not with the server's", s.Key)
	case !ed25519.Verify(key, s.message(v.sum), signature):
		return v.fault(v.seq, "the signature is not that of these lines: something in them was changed")
	}
	v.res.Sealed, v.res.Key = true, s.Key
	return nil
}

// end is the verdict at the end of the file.
func (v *verifier) end() error {
	switch {
	case v.r.line == 0:
		return v.fault(0, "the file is empty")
	case !v.res.Sealed && (v.query != nil || !v.trust.Open):
		return v.fault(v.seq, "the file ends without its seal: what followed is missing")
	case v.trust.Head != "" && !v.headed:
		return v.fault(v.seq, "no record has the hash %s", v.trust.Head)
	}
	return nil
}
