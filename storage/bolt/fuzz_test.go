package bolt

import (
	"bytes"
	"testing"

	"github.com/hashlease/hashlease/storage"
)

// FuzzUnframe reads any stored bytes: a value comes back only under the checksum, stream and place that it
// was written with, and a snapshot only with the place that it is of.
func FuzzUnframe(f *testing.F) {
	f.Add("shares", uint64(7), []byte("value"), []byte{})
	f.Add("", uint64(0), []byte{}, []byte{1})
	f.Add("book", uint64(0), make([]byte, 9), make([]byte, 20))
	f.Fuzz(func(t *testing.T, stream string, at uint64, value, change []byte) {
		frame := appendFrame(nil, stream, storage.Seq(at), value)
		changed := bytes.Clone(frame)
		for i := range min(len(change), len(changed)) {
			changed[i] ^= change[i]
		}
		got, err := unframe(changed, stream, storage.Seq(at))
		if same := bytes.Equal(changed, frame); same && (err != nil || !bytes.Equal(got, value)) {
			t.Fatalf("%x came back as %x (%v)", value, got, err)
		}
		if _, err := unframe(frame, stream+"x", storage.Seq(at)); err == nil {
			t.Error("a record of another stream was taken")
		}
		if _, _, err := decodeSnapshot(stream, value); err == nil && value != nil && len(value) < sumSize+8 {
			t.Errorf("%d bytes are a snapshot", len(value))
		}
		seq, state, err := decodeSnapshot(stream, changed)
		if err == nil && (seq == 0 || len(state) > len(value)) {
			t.Errorf("snapshot at %d with %d bytes of %d", seq, len(state), len(value))
		}
	})
}
