package sv2

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// reader takes fields off the front of a payload. The first failure sticks, and
// every later field reads as zero, so that decoders need one check at the end.
type reader struct {
	rest  []byte
	field string // of the failure
	err   error
}

// end is what a decoder returns next to its message.
func (r *reader) end(message string) ([]byte, error) {
	if r.err != nil {
		return nil, fmt.Errorf("decoding %s: %s: %w", message, r.field, r.err)
	}
	return r.rest, nil
}

func (r *reader) fail(field string, err error) {
	if r.err == nil {
		r.field, r.err = field, err
	}
	r.rest = nil
}

// take is the next n bytes, nil after a failure.
func (r *reader) take(field string, n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail(field, ErrTruncated)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u8(field string) uint8 {
	if b := r.take(field, 1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16(field string) uint16 {
	if b := r.take(field, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u24(field string) int {
	if b := r.take(field, 3); b != nil {
		return int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	}
	return 0
}

func (r *reader) u32(field string) uint32 {
	if b := r.take(field, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64(field string) uint64 {
	if b := r.take(field, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// boolean looks at bit 0 only; the others must not be interpreted (03 §3.1).
func (r *reader) boolean(field string) bool { return r.u8(field)&1 != 0 }

// f32 is a hashrate: all numbers of the protocol that are not whole are hashrates.
func (r *reader) f32(field string) float32 {
	f := math.Float32frombits(r.u32(field))
	if math.Signbit(float64(f)) || math.IsNaN(float64(f)) || f > math.MaxFloat32 {
		r.fail(field, ErrFloat)
		return 0
	}
	return f
}

func (r *reader) u256(field string) (v [32]byte) {
	copy(v[:], r.take(field, len(v)))
	return v
}

// text is a STR0_255, copied.
func (r *reader) text(field string) string { return string(r.bytes8(field, math.MaxUint8)) }

// bytes8 is a B0_255, or a B0_32 with limit 32.
func (r *reader) bytes8(field string, limit int) []byte {
	n := int(r.u8(field))
	if n > limit {
		r.fail(field, ErrTooLong)
	}
	return r.take(field, n)
}

// bytes16 is a B0_64K.
func (r *reader) bytes16(field string) []byte { return r.take(field, int(r.u16(field))) }

// optionU32 is an OPTION[U32].
func (r *reader) optionU32(field string) (v uint32, ok bool) {
	switch r.u8(field) {
	case 0:
		return 0, false
	case 1:
		return r.u32(field), true
	default:
		r.fail(field, ErrOption)
		return 0, false
	}
}

// count is n if that many elements of at least size bytes can be there. It is asked before they get memory.
func (r *reader) count(field string, n, size int) int {
	if n*size > len(r.rest) {
		r.fail(field, ErrTruncated)
		return 0
	}
	return n
}

// hashes is a SEQ0_255[U256].
func (r *reader) hashes(field string) []chainhash.Hash {
	return r.hashList(field, r.count(field, int(r.u8(field)), chainhash.HashSize))
}

// hashes16 is a SEQ0_64K[U256].
func (r *reader) hashes16(field string) []chainhash.Hash {
	return r.hashList(field, r.count(field, int(r.u16(field)), chainhash.HashSize))
}

func (r *reader) hashList(field string, n int) []chainhash.Hash {
	if n == 0 {
		return nil
	}
	list := make([]chainhash.Hash, n)
	for i := range list {
		list[i] = r.u256(field)
	}
	return list
}

// u16s is a SEQ0_64K[U16].
func (r *reader) u16s(field string) []uint16 {
	n := r.count(field, int(r.u16(field)), 2)
	if n == 0 {
		return nil
	}
	list := make([]uint16, n)
	for i := range list {
		list[i] = r.u16(field)
	}
	return list
}

// u32s is a SEQ0_64K[U32].
func (r *reader) u32s(field string) []uint32 {
	n := r.count(field, int(r.u16(field)), 4)
	if n == 0 {
		return nil
	}
	list := make([]uint32, n)
	for i := range list {
		list[i] = r.u32(field)
	}
	return list
}

// blobs is a SEQ0_64K[B0_16M].
func (r *reader) blobs(field string) [][]byte {
	n := r.count(field, int(r.u16(field)), 3)
	if n == 0 {
		return nil
	}
	list := make([][]byte, n)
	for i := range list {
		list[i] = r.take(field, r.u24(field))
	}
	return list
}
