package sv2

import (
	"errors"
	"fmt"
)

// ErrCoinbase means that bytes which should be a coinbase are none.
var ErrCoinbase = errors.New("not a coinbase transaction")

const (
	// txVersionSize is in front of the marker and the flag of BIP141.
	txVersionSize = 4
	// outpointSize is the null outpoint of a coinbase's one input.
	outpointSize = 36
	lockTimeSize = 4
	sequenceSize = 4
	outputValue  = 8
)

// StripBIP141 takes marker, flag and witness out of the two parts of a coinbase, between which
// extranonceSize bytes belong: jobs go to miners without them (05 §5.3.16), since the hash of
// what is left is the transaction's id. Parts that have none come back as they are. The
// results alias the arguments or are copies; the arguments are not changed.
func StripBIP141(prefix, suffix []byte, extranonceSize int) (p, s []byte, err error) {
	// Without a witness the number of inputs, 1, follows the version; the marker is a 0 there.
	if len(prefix) < txVersionSize+2 || prefix[txVersionSize] != 0 {
		return prefix, suffix, nil
	}
	if prefix[txVersionSize+1] != 1 {
		return nil, nil, fmt.Errorf("%w: flag %#02x after the marker, where 0x01 is known",
			ErrCoinbase, prefix[txVersionSize+1])
	}
	r := reader{rest: prefix[txVersionSize+2:]}
	if n := r.compactSize("inputs"); r.err == nil && n != 1 {
		return nil, nil, fmt.Errorf("%w: %d inputs", ErrCoinbase, n)
	}
	r.take("outpoint", outpointSize)
	script := r.compactSize("script length")
	if r.err != nil {
		return nil, nil, fmt.Errorf("%w: prefix: %s: %w", ErrCoinbase, r.field, r.err)
	}
	have := uint64(len(r.rest)) + uint64(max(extranonceSize, 0))
	if script < have {
		return nil, nil, fmt.Errorf("%w: a script of %d bytes where prefix and extranonce have %d",
			ErrCoinbase, script, have)
	}
	outputs, err := witnessStart(suffix, script-have)
	if err != nil {
		return nil, nil, err
	}
	p = append(append(make([]byte, 0, len(prefix)-2), prefix[:txVersionSize]...), prefix[txVersionSize+2:]...)
	s = append(make([]byte, 0, outputs+lockTimeSize), suffix[:outputs]...)
	return p, append(s, suffix[len(suffix)-lockTimeSize:]...), nil
}

// witnessStart is where in suffix the outputs end and the witness begins, after checking that
// one witness and the lock time are all that follows. The first script bytes of suffix still
// belong to the input's script.
func witnessStart(suffix []byte, script uint64) (int, error) {
	r := reader{rest: suffix}
	r.takeMany("script", script)
	r.take("sequence", sequenceSize)
	for n := r.compactSize("outputs"); n > 0 && r.err == nil; n-- {
		r.take("value", outputValue)
		r.takeMany("output script", r.compactSize("output script length"))
	}
	start := len(suffix) - len(r.rest)
	for n := r.compactSize("witness items"); n > 0 && r.err == nil; n-- {
		r.takeMany("witness item", r.compactSize("witness item length"))
	}
	r.take("lock time", lockTimeSize)
	if r.err != nil {
		return 0, fmt.Errorf("%w: suffix: %s: %w", ErrCoinbase, r.field, r.err)
	}
	if len(r.rest) > 0 {
		return 0, fmt.Errorf("%w: suffix: %d bytes after the lock time", ErrCoinbase, len(r.rest))
	}
	return start, nil
}

// takeMany is take for a length that a peer wrote in up to 64 bits.
func (r *reader) takeMany(field string, n uint64) {
	if n > uint64(len(r.rest)) {
		r.fail(field, ErrTruncated)
		return
	}
	r.take(field, int(n))
}

// compactSize is the length prefix of Bitcoin's own format.
func (r *reader) compactSize(field string) uint64 {
	switch first := r.u8(field); first {
	case 0xfd:
		return uint64(r.u16(field))
	case 0xfe:
		return uint64(r.u32(field))
	case 0xff:
		return r.u64(field)
	default:
		return uint64(first)
	}
}
