package sv2_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// identity is the TLV that names a worker.
func identity(name string) sv2.TLV {
	return sv2.TLV{Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte(name)}
}

// Ensure a worker's name is found behind a share, in either byte order and among strangers.
func TestUserIdentity_FindsName(t *testing.T) {
	const big = "\x00\x02\x01\x00\x04name"
	little := string(sv2.AppendTLV(make([]byte, sv2.HeaderSize), 0, identity("name"))[sv2.HeaderSize:])
	stranger := "\x57\x48\x01\x02\x00zz"
	otherField := "\x02\x00\x09\x01\x00z"
	for rest, want := range map[string]string{
		"": "", little: "name", big: "name", stranger + little: "name", stranger + big: "name",
		otherField + little: "name", stranger: "", little + "\x01": "name", "garbage": "",
		"\x02\x00\x01\x09\x00abc": "",
	} {
		share := sv2.SubmitSharesExtended{Sequence: 3, Extranonce: []byte{1, 2}}
		frame := append(share.AppendFrame(nil), rest...)
		m, tlvs, err := sv2.DecodeSubmitSharesExtended(frame[sv2.HeaderSize:])
		if err != nil || m.Sequence != 3 {
			t.Fatalf("%q: %+v, %v", rest, m, err)
		}
		if got, err := sv2.UserIdentity(tlvs); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", rest, got, err, want)
		}
	}
}

// Ensure a name longer than its extension allows is refused, not cut.
func TestUserIdentity_RefusesLongName(t *testing.T) {
	for n, ok := range map[int]bool{0: true, 32: true, 33: false, 200: false} {
		frame := sv2.AppendTLV(make([]byte, sv2.HeaderSize), 0, identity(strings.Repeat("x", n)))
		got, err := sv2.UserIdentity(frame[sv2.HeaderSize:])
		if ok && (err != nil || got == nil || len(got) != n) || !ok && !errors.Is(err, sv2.ErrTooLong) {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
}

// Ensure appending a TLV keeps the frame's extension and counts in its length.
func TestSV2_239_AppendTLVKeepsTheExtension(t *testing.T) {
	before := []byte("earlier frame")
	b := sv2.SubmitSharesExtended{}.AppendFrame(before)
	b = sv2.AppendTLV(b, len(before), identity("rig7"))
	h, payload := split(b[len(before):])
	if h.Extension != sv2.ChannelBit || int(h.Length) != len(payload) {
		t.Errorf("header %+v for %d bytes", h, len(payload))
	}
}

// FuzzUserIdentity reads arbitrary bytes after a share.
func FuzzUserIdentity(f *testing.F) {
	f.Add([]byte("\x00\x02\x01\x00\x04name"))
	f.Add([]byte("\x02\x00\x01\x04\x00name"))
	f.Fuzz(func(t *testing.T, rest []byte) {
		if name, err := sv2.UserIdentity(rest); err == nil && len(name) > sv2.MaxUserIdentity {
			t.Errorf("a name of %d bytes", len(name))
		}
	})
}
