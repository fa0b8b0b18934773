package service

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/hashlease/hashlease/lease"
)

// FuzzDecodeSnapshot reads any bytes as a stored state, packed and not: what is accepted has a book and can
// be written again.
func FuzzDecodeSnapshot(f *testing.F) {
	good, err := encodeSnapshot(snapshot{History: 3, Book: &lease.Snapshot{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte(`{"history":3,"book":{}}`))
	f.Add([]byte{}, []byte(`{"book":null}`))
	f.Add([]byte{0x1f, 0x8b}, []byte(`[`))
	f.Fuzz(func(t *testing.T, packed, plain []byte) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(plain)
		_ = z.Close()
		for _, raw := range [][]byte{packed, b.Bytes()} {
			s, err := decodeSnapshot(raw)
			if err != nil {
				continue
			}
			if s.Book == nil {
				t.Fatal("a state without a book")
			}
			if _, err := encodeSnapshot(*s); err != nil {
				t.Errorf("it does not encode again: %v", err)
			}
		}
	})
}
