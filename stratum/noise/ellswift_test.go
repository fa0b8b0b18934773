package noise

import (
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ellswift"
)

// Ensure that every case of the encoding agrees with the library's, where it has one, up to the sign of
// t, which both signs of a root give, and decodes to the key.
func TestEncode_AgreesWithTheLibrary(t *testing.T) {
	found := 0
	for range 200 {
		secret, err := btcec.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		var p btcec.JacobianPoint
		secret.PubKey().AsJacobian(&p)
		u, _ := btcec.NewPrivateKey()
		var uf btcec.FieldVal
		b := u.Key.Bytes()
		uf.SetBytes(&b)
		uf.Normalize()
		for which := range byte(8) {
			uc, xc := uf, p.X
			want := ellswift.XSwiftECInv(&uc, &xc, int(which))
			got := swiftInverse(&uf, &p.X, which)
			if (got == nil) != (want == nil) {
				t.Fatalf("case %d: got %v, want %v", which, got, want)
			}
			if got == nil {
				continue
			}
			found++
			negated := new(btcec.FieldVal).NegateVal(want, 1).Normalize()
			if !got.Equals(want) && !got.Equals(negated) {
				t.Fatalf("case %d: got %v, want %v or its negative", which, got, want)
			}
			var encoded [encodedSize]byte
			uf.PutBytesUnchecked(encoded[:32])
			got.PutBytesUnchecked(encoded[32:])
			x, err := xOnly(&encoded)
			if err != nil || x != *p.X.Bytes() {
				t.Fatalf("case %d decodes to %x, want %v: %v", which, x, p.X, err)
			}
		}
	}
	if found < 200 {
		t.Errorf("%d encodings were found of 1,600 attempts, where a quarter has one", found)
	}
}

// Ensure that two results of one decoding are what each alone would be.
func TestECDHBoth_AgreesWithEach(t *testing.T) {
	for range 20 {
		e, _ := newKeypair()
		s, _ := newKeypair()
		i, _ := newKeypair()
		ee, es, err := ecdhBoth(&e, &s, &i.encoded)
		if err != nil {
			t.Fatal(err)
		}
		wantE, _ := e.ecdh(&i.encoded, false)
		wantS, _ := s.ecdh(&i.encoded, false)
		if ee != wantE || es != wantS {
			t.Fatalf("got %x and %x, want %x and %x", ee, es, wantE, wantS)
		}
		if far, _ := i.ecdh(&e.encoded, true); far != ee {
			t.Fatalf("the other side has %x, want %x", far, ee)
		}
	}
}

// BenchmarkKeypair is one ephemeral key.
func BenchmarkKeypair(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newKeypair(); err != nil {
			b.Fatal(err)
		}
	}
}
