package pool_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

func newSessionKey(tb rapid.TB, secret string) *pool.SessionKey {
	tb.Helper()
	k, err := pool.NewSessionKey([]byte(secret))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// Ensure that a session id survives the process that made it, and that nobody without the secret makes
// one: any other text, however near, names no prefix.
func TestSessionKey_TakesOnlyItsOwnIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "prefix"))
		id := newSessionKey(t, "the secret of this pool").ID(prefix)
		k := newSessionKey(t, "the secret of this pool") // of the next process
		for _, text := range []string{id, strings.ToUpper(id)} {
			if got, ok := k.Prefix(text); !ok || got != prefix {
				t.Fatalf("%s names %x, %v; want %x", text, got, ok, prefix)
			}
		}
		if _, ok := newSessionKey(t, "the secret of another").Prefix(id); ok {
			t.Fatal("another pool takes the id")
		}
		forged := []byte(id)
		i := rapid.IntRange(0, len(forged)-1).Draw(t, "digit")
		forged[i] = rapid.SampledFrom([]byte("0123456789abcdefg \x00\xff")).Draw(t, "by")
		if _, ok := k.Prefix(string(forged)); ok != bytes.Equal(forged, []byte(id)) {
			t.Fatalf("%q: %v, the id is %s", forged, ok, id)
		}
		if _, ok := k.Prefix(id[:rapid.IntRange(0, len(id)-1).Draw(t, "cut")]); ok {
			t.Fatal("a part of an id is taken")
		}
	})
}

// Ensure that a secret that could be guessed is refused.
func TestNewSessionKey_RefusesAShortSecret(t *testing.T) {
	_, err := pool.NewSessionKey([]byte("fifteen letters"))
	names(t, err, "15 bytes", "16 or more")
}

// FuzzSessionKey_Prefix: whatever a miner sends for a session id, nothing but an id names a prefix.
func FuzzSessionKey_Prefix(f *testing.F) {
	k, err := pool.NewSessionKey(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{k.ID([4]byte{1, 2, 3, 4}), "", "deadbeef", strings.Repeat("0", 24), "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		prefix, ok := k.Prefix(s)
		if ok != (k.ID(prefix) == strings.ToLower(s)) {
			t.Errorf("%q names %x, %v", s, prefix, ok)
		}
	})
}

// A session id is the prefix, readable, and what proves that it was given out.
func ExampleSessionKey() {
	k, err := pool.NewSessionKey(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	id := k.ID([4]byte{7, 0, 0, 42})
	prefix, ok := k.Prefix(id)
	fmt.Printf("%s %x %v\n", id, prefix, ok)
	// Output: 0700002aca6261958de95b93 0700002a true
}
