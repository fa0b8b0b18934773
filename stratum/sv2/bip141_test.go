package sv2_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure the bytes of BIP141 leave a coinbase as published, and others stay as they are.
func TestStripBIP141_MatchesVectors(t *testing.T) {
	list := loadVectors(t).BIP141Strip
	if len(list) < 2 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		prefix, suffix := unhex(t, v.PrefixIn), unhex(t, v.SuffixIn)
		wantPrefix, wantSuffix := unhex(t, v.PrefixOut), unhex(t, v.SuffixOut)
		if v.Expect == "unchanged" {
			wantPrefix, wantSuffix = prefix, suffix
		}
		p, s, err := sv2.StripBIP141(prefix, suffix, 32)
		if err != nil || !bytes.Equal(p, wantPrefix) || !bytes.Equal(s, wantSuffix) {
			t.Errorf("got %x %x %v, want %x %x", p, s, err, wantPrefix, wantSuffix)
		}
		if again, _, err := sv2.StripBIP141(p, s, 32); err != nil || !bytes.Equal(again, p) {
			t.Errorf("a second time: %x, %v", again, err)
		}
		if v.Expect == "unchanged" {
			continue
		}
		if _, _, err := sv2.StripBIP141(prefix, suffix, 33); !errors.Is(err, sv2.ErrCoinbase) {
			t.Errorf("an extranonce beyond the script: got %v", err)
		}
		for n := range suffix {
			if _, _, err := sv2.StripBIP141(prefix, suffix[:n], 32); !errors.Is(err, sv2.ErrCoinbase) {
				t.Errorf("a suffix of %d bytes: got %v", n, err)
			}
		}
	}
}

// FuzzStripBIP141 takes arbitrary parts: what it strips stays stripped.
func FuzzStripBIP141(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 0, 1, 1}, []byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0}, 4)
	f.Fuzz(func(t *testing.T, prefix, suffix []byte, size int) {
		p, s, err := sv2.StripBIP141(prefix, suffix, size)
		if err != nil {
			return
		}
		if len(p) > len(prefix) || len(s) > len(suffix) {
			t.Fatalf("grew to %d and %d bytes", len(p), len(s))
		}
	})
}
