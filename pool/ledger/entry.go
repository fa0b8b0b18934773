package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// Bounds of an entry.
const (
	MaxEntryID = 128  // bytes, printable ASCII
	MaxMemo    = 512  // bytes, valid UTF-8
	MaxLines   = 4096 // at least 2
	MaxAccount = 300  // bytes: letters, digits and - _ : . / with a kind before the first /
)

// Line moves an amount on one account: above zero is a credit to it, below zero a charge.
type Line struct {
	Account string // "tenant/acme", "site/yard", "worker/alice.s21-1"
	Amount  unit.Msat
}

// Entry is one posting. Its lines sum to zero.
type Entry struct {
	ID    string    // unique for ever: posting the same entry twice posts it once
	At    time.Time // of the business event, kept to the millisecond
	Memo  string
	Lines []Line
}

// Posted is an entry with its place in the ledger.
type Posted struct {
	Seq storage.Seq
	Entry
}

// Validate lists every fault of the entry.
func (e *Entry) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if e.ID == "" || len(e.ID) > MaxEntryID || strings.ContainsFunc(e.ID, notPrintable) {
		fault("id %q: 1 to %d printable ASCII bytes are accepted", clip(e.ID, MaxEntryID), MaxEntryID)
	}
	if e.At.Year() < 1970 || e.At.Year() > 9999 {
		fault("at %v: a time from 1970 to 9999 is accepted", e.At)
	}
	if len(e.Memo) > MaxMemo || !utf8.ValidString(e.Memo) {
		fault("memo of %d bytes: valid UTF-8 of up to %d bytes is accepted", len(e.Memo), MaxMemo)
	}
	if len(e.Lines) < 2 || len(e.Lines) > MaxLines {
		fault("%d lines: 2 to %d are accepted", len(e.Lines), MaxLines)
	} else {
		errs = append(errs, checkLines(e.Lines)...)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
	}
	return nil
}

// checkLines lists every fault of an entry's lines.
func checkLines(lines []Line) (errs []error) {
	var sum unit.Msat
	inRange := true
	for i, l := range lines {
		if err := checkAccount(l.Account); err != nil {
			errs = append(errs, fmt.Errorf("lines[%d].account: %w", i, err))
		}
		if l.Amount == 0 {
			errs = append(errs, fmt.Errorf("lines[%d].amount is 0: any other amount is accepted", i))
		}
		var ok bool
		sum, ok = addMsat(sum, l.Amount)
		inRange = inRange && ok
	}
	switch {
	case !inRange:
		errs = append(errs, errors.New("lines: their sum passes the range of an amount"))
	case sum != 0:
		errs = append(errs, fmt.Errorf("lines sum to %d msat: 0 is accepted", int64(sum)))
	}
	return errs
}

func notPrintable(c rune) bool { return c <= ' ' || c > '~' }

// checkAccount accepts "kind/name".
func checkAccount(s string) error {
	kind, name, ok := strings.Cut(s, "/")
	if !ok || kind == "" || name == "" || len(s) > MaxAccount {
		return fmt.Errorf("%q: kind/name of up to %d bytes is accepted", clip(s, MaxAccount), MaxAccount)
	}
	const accepted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:./"
	if strings.Trim(s, accepted) != "" {
		return fmt.Errorf("%q: letters, digits and - _ : . / are accepted", clip(s, MaxAccount))
	}
	return nil
}

// addMsat adds and reports whether the sum is in range.
func addMsat(a, b unit.Msat) (unit.Msat, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

// digest is a shortened SHA-256: enough that no two IDs or contents meet.
type digest [16]byte

func digestOf(b []byte) digest {
	full := sha256.Sum256(b)
	return digest(full[:16])
}

const entryV1 = 0x01

// encodeEntry encodes an entry; equal entries have equal bytes:
//
//	entryV1 | uvarint len, id | varint Unix ms | uvarint len, memo
//	| uvarint n | n x (uvarint len, account, varint msat)
func encodeEntry(e *Entry) []byte {
	dst := appendText([]byte{entryV1}, e.ID)
	dst = appendText(appendTime(dst, e.At), e.Memo)
	dst = binary.AppendUvarint(dst, uint64(len(e.Lines)))
	for _, l := range e.Lines {
		dst = binary.AppendVarint(appendText(dst, l.Account), int64(l.Amount))
	}
	return dst
}

// decodeEntry reads what encodeEntry wrote and accepts only what Validate does.
func decodeEntry(b []byte) (Entry, error) {
	r := reader{b: b}
	r.version(entryV1)
	e := Entry{ID: r.text(MaxEntryID), At: r.time(), Memo: r.text(MaxMemo)}
	n := r.count(2)
	e.Lines = make([]Line, 0, n)
	for range n {
		e.Lines = append(e.Lines, Line{Account: r.text(MaxAccount), Amount: unit.Msat(r.varint())})
	}
	if err := r.end(); err != nil {
		return Entry{}, err
	}
	if err := e.Validate(); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return e, nil
}
