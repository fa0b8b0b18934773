package leaserpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/lease/leaserpc"
)

// Ensure a key names its owner, also one with underscores, and only the whole key is good.
func TestKeyring_KnowsItsKeys(t *testing.T) {
	for _, owner := range []string{"acme", "a_b", "x-1", leaserpc.Admin, strings.Repeat("z", 40)} {
		key, err := leaserpc.NewKey(owner)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := leaserpc.ParseKey(key); err != nil || got != owner {
			t.Errorf("%s names %q: %v", key, got, err)
		}
		second, err := leaserpc.NewKey(owner)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := leaserpc.NewKeyring([]leaserpc.Key{
			{Owner: owner, Hash: leaserpc.HashKey(key)}, {Owner: owner, Hash: leaserpc.HashKey(second)},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{key, second} {
			who, ok := ring.Identify(k)
			if !ok || who.Admin != (owner == leaserpc.Admin) || (!who.Admin && string(who.Tenant) != owner) {
				t.Errorf("%s is %+v %v", owner, who, ok)
			}
		}
		for i := range key {
			changed := []byte(key)
			if changed[i] = 'a'; key[i] == 'a' {
				changed[i] = 'b'
			}
			if _, ok := ring.Identify(string(changed)); ok {
				t.Errorf("byte %d changed and still good", i)
			}
		}
	}
	for _, owner := range []string{"", "A", "a b", "_a", strings.Repeat("z", 41)} {
		if _, err := leaserpc.NewKey(owner); err == nil {
			t.Errorf("a key for %q was made", owner)
		}
	}
}

// Ensure a hash is the same after its text.
func TestHash_SurvivesItsText(t *testing.T) {
	h := leaserpc.HashKey("hl_acme_x")
	b, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back leaserpc.Hash
	if err := back.UnmarshalText(b); err != nil || back != h || string(b) != h.String() {
		t.Errorf("%s read back as %s: %v", b, back, err)
	}
	for _, s := range []string{"", "00", strings.Repeat("x", 64)} {
		if err := back.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// FuzzParseKey looks for keys that are accepted and do not name a tenant.
func FuzzParseKey(f *testing.F) {
	key, err := leaserpc.NewKey("acme")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{key, "", "hl_", "hl__", "hl_a_b_" + strings.Repeat("a", 52)} {
		f.Add(s)
	}
	ring, err := leaserpc.NewKeyring([]leaserpc.Key{{Owner: "acme", Hash: leaserpc.HashKey(key)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		owner, err := leaserpc.ParseKey(s)
		if err == nil && !strings.HasPrefix(s, "hl_"+owner+"_") {
			t.Errorf("%q names %q", s, owner)
		}
		if _, ok := ring.Identify(s); ok != (s == key) {
			t.Errorf("%q is good: %v", s, ok)
		}
	})
}

// A server holds hashes only, and knows a key by them.
func ExampleNewKeyring() {
	key, err := leaserpc.NewKey("acme") // shown to the tenant once
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := leaserpc.NewKeyring([]leaserpc.Key{{Owner: "acme", Hash: leaserpc.HashKey(key)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	who, ok := ring.Identify(key)
	fmt.Println(who.Tenant, ok)
	// Output: acme true
}
