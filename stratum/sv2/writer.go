package sv2

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// writer appends one frame to a slice.
type writer struct {
	b     []byte
	start int // where the frame begins in b
}

// begin appends a header whose length end will fill in.
func begin(dst []byte, extension uint16, typ uint8) writer {
	w := writer{start: len(dst)}
	w.b = Header{Extension: extension, Type: typ}.Append(dst)
	return w
}

// end fills in the length and is the slice with the frame.
func (w *writer) end() []byte {
	setLength(w.b[w.start:])
	return w.b
}

// setLength makes the header of frame say its payload's length.
func setLength(frame []byte) {
	n := len(frame) - HeaderSize
	mustFit("payload", n, MaxPayload)
	frame[3], frame[4], frame[5] = byte(n), byte(n>>8), byte(n>>16)
}

// mustFit panics when our own code made a field that its length prefix cannot
// express: cutting it would make another coinbase or another block of it.
func mustFit(field string, n, limit int) {
	if n > limit {
		panic(fmt.Sprintf("sv2: %s has %d, at most %d fit", field, n, limit))
	}
}

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *writer) u24(v int)    { w.b = append(w.b, byte(v), byte(v>>8), byte(v>>16)) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }

func (w *writer) f32(v float32) { w.u32(math.Float32bits(v)) }

func (w *writer) boolean(v bool) {
	if v {
		w.u8(1)
		return
	}
	w.u8(0)
}

func (w *writer) u256(v *[32]byte) { w.b = append(w.b, v[:]...) }

// text is a STR0_255. What is longer is cut: texts are for people.
func (w *writer) text(s string) {
	s = s[:min(len(s), math.MaxUint8)]
	w.u8(uint8(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes8(field string, limit int, b []byte) {
	mustFit(field, len(b), limit)
	w.u8(uint8(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) bytes16(field string, b []byte) {
	mustFit(field, len(b), math.MaxUint16)
	w.u16(uint16(len(b)))
	w.b = append(w.b, b...)
}

// optionU32 is an OPTION[U32], v if ok.
func (w *writer) optionU32(v uint32, ok bool) {
	w.boolean(ok)
	if ok {
		w.u32(v)
	}
}

func (w *writer) hashes(field string, list []chainhash.Hash) {
	mustFit(field, len(list), math.MaxUint8)
	w.u8(uint8(len(list)))
	for i := range list {
		w.b = append(w.b, list[i][:]...)
	}
}

func (w *writer) hashes16(field string, list []chainhash.Hash) {
	mustFit(field, len(list), math.MaxUint16)
	w.u16(uint16(len(list)))
	for i := range list {
		w.b = append(w.b, list[i][:]...)
	}
}

func (w *writer) u16s(field string, list []uint16) {
	mustFit(field, len(list), math.MaxUint16)
	w.u16(uint16(len(list)))
	for _, v := range list {
		w.u16(v)
	}
}

func (w *writer) u32s(field string, list []uint32) {
	mustFit(field, len(list), math.MaxUint16)
	w.u16(uint16(len(list)))
	for _, v := range list {
		w.u32(v)
	}
}

func (w *writer) blobs(field string, list [][]byte) {
	mustFit(field, len(list), math.MaxUint16)
	w.u16(uint16(len(list)))
	for _, b := range list {
		mustFit(field, len(b), MaxPayload)
		w.u24(len(b))
		w.b = append(w.b, b...)
	}
}
