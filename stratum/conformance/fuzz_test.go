package conformance

import (
	"bytes"
	"testing"
)

// FuzzParseCoinbase reads what a pool under test sent as a coinbase: nothing of it may be more than came.
func FuzzParseCoinbase(f *testing.F) {
	good := append([]byte{2, 0, 0, 0, 1}, make([]byte, 32)...)
	good = append(good, 255, 255, 255, 255, 2, 1, 7, 255, 255, 255, 255, 1)
	good = append(append(good, make([]byte, 8)...), 0, 0, 0, 0, 0)
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(bytes.Repeat([]byte{255}, 60))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tx []byte) {
		c, err := parseCoinbase(tx)
		if err != nil {
			return
		}
		size := 4 + 1 + 36 + len(c.scriptSig) + 4 + 4
		for _, o := range c.outputs {
			size += 8 + len(o.script)
		}
		if size > len(tx) {
			t.Errorf("%d bytes are read from %d", size, len(tx))
		}
	})
}
