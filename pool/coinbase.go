package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	// ExtranonceSize is the size of a full extranonce in bytes: prefix and roll part.
	ExtranonceSize = 20
	// MaxTag is the longest coinbase tag in bytes. With it the scriptSig is never above the
	// 100 bytes that consensus allows: height 5, tag 1+64, wraps 5, salt and extranonce 25.
	MaxTag = 64

	saltSize       = 4
	maxScriptSig   = 100
	maxPayout      = 100 // bytes of an output script; the longest standard one has 67
	coinbaseTx     = 2   // transaction version
	sequenceNotMax = 0xfffffffe
)

// CoinbaseConfig is what the operator decides about the coinbase.
type CoinbaseConfig struct {
	Script []byte // output script that is paid; see PayoutScript
	Tag    string // printable ASCII shown by block explorers
}

// Validate lists every fault of the configuration.
func (c CoinbaseConfig) Validate() error {
	var faults []error
	if n := len(c.Script); n == 0 || n > maxPayout {
		faults = append(faults, fmt.Errorf("payout script has %d bytes: 1 to %d are accepted", n, maxPayout))
	}
	if n := len(c.Tag); n > MaxTag {
		faults = append(faults, fmt.Errorf("coinbase tag has %d bytes: up to %d are accepted", n, MaxTag))
	}
	for i := range len(c.Tag) {
		if c.Tag[i] < ' ' || c.Tag[i] > '~' {
			err := fmt.Errorf("coinbase tag byte %d is %q: printable ASCII is accepted", i, c.Tag[i])
			faults = append(faults, err)
			break
		}
	}
	return errors.Join(faults...)
}

// coinbasePrefix is the coinbase up to the extranonce, without BIP141 bytes:
//
//	version 4 | inputs 1 | null outpoint 36 | scriptSig length 1 |
//	height push | tag push | wraps push | 0x18 | salt 4
//
// The salt is the process epoch and the low 16 bits of the job's number. The wraps push holds the
// number's higher bits and is absent while they are zero, so that the salt never repeats.
func coinbasePrefix(tag string, height int32, epoch uint16, seq uint64) []byte {
	p := make([]byte, 0, 4+1+36+1+maxScriptSig)
	p = binary.LittleEndian.AppendUint32(p, coinbaseTx)
	p = append(p, 1)
	p = append(p, make([]byte, 32)...)
	p = append(p, 0xff, 0xff, 0xff, 0xff)
	length := len(p)
	p = append(p, 0)
	p = appendHeight(p, height)
	if tag != "" {
		p = append(p, byte(len(tag)))
		p = append(p, tag...)
	}
	if wraps := uint32(seq >> 16); wraps != 0 {
		n := (bits.Len32(wraps) + 7) / 8
		p = append(p, byte(n))
		p = append(p, binary.LittleEndian.AppendUint32(nil, wraps)[:n]...)
	}
	p = append(p, saltSize+ExtranonceSize)
	p = binary.LittleEndian.AppendUint16(p, epoch)
	p = binary.LittleEndian.AppendUint16(p, uint16(seq))
	p[length] = byte(len(p) - length - 1 + ExtranonceSize)
	return p
}

// output is one payment of a coinbase.
type output struct {
	value  int64 // satoshi
	script string
}

// outputs splits a coinbase's value exactly: the pool's part first, then the miner's.
func (p Payout) outputs(pool []byte, value int64) []output {
	if !p.Solo() {
		return []output{{value, string(pool)}}
	}
	fee := value / 100 * int64(p.Percent)
	fee += value % 100 * int64(p.Percent) / 100
	if fee == 0 {
		return []output{{value, p.Script}}
	}
	return []output{{fee, string(pool)}, {value - fee, p.Script}}
}

// pay is what a template's coinbase of at most limit bytes pays under a payout: the pool and the miner
// always, then what fits of what is owed besides. Coinbase-only jobs stay small, because they have to
// reach everybody first.
func (c *CoinbaseConfig) pay(t *Template, p Payout, owed []Output, limit int) []output {
	out := p.outputs(c.Script, t.Value)
	if t.Partial || len(owed) == 0 || len(out) == 1 && p.Solo() {
		return out
	}
	room := limit - c.frame(t)
	for _, o := range out {
		room -= o.size()
	}
	rest, made := fit(out[0], owed, room)
	if out[0] = rest; rest.value == 0 && len(made) > 0 {
		out = out[1:]
	}
	return append(out, made...)
}

// frame is the size of a template's coinbase without payments, for every salt that it may ever get.
func (c *CoinbaseConfig) frame(t *Template) int {
	const most = 1<<48 - 1 // the longest push of wraps
	n := len(coinbasePrefix(c.Tag, t.Height, 0, most)) + ExtranonceSize
	return n + len(coinbaseSuffix(nil, t.Height, t.Commitment)) + 2 // the count may need three bytes
}

// coinbaseSuffix is the coinbase after the extranonce, without BIP141 bytes:
//
//	sequence 4 | outputs 1, or fd and 2 | payouts | witness commitment, if any | lock time 4
//
// Lock time and sequence make every coinbase unique as BIP54 will require.
func coinbaseSuffix(payouts []output, height int32, commitment *chainhash.Hash) []byte {
	s := make([]byte, 0, 4+3+len(payouts)*(8+1+maxPayout)+8+1+38+4)
	s = binary.LittleEndian.AppendUint32(s, sequenceNotMax)
	n := len(payouts)
	if commitment != nil {
		n++
	}
	if n < 0xfd {
		s = append(s, byte(n))
	} else {
		s = append(s, 0xfd, byte(n), byte(n>>8))
	}
	for _, o := range payouts {
		s = binary.LittleEndian.AppendUint64(s, uint64(o.value))
		s = append(s, byte(len(o.script)))
		s = append(s, o.script...)
	}
	if commitment != nil {
		s = binary.LittleEndian.AppendUint64(s, 0)
		s = append(s, 38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed) // OP_RETURN, push 36, BIP141 header
		s = append(s, commitment[:]...)
	}
	return binary.LittleEndian.AppendUint32(s, uint32(height-1))
}

// appendHeight appends the height as BIP34 wants it: the smallest push of a script number.
func appendHeight(dst []byte, height int32) []byte {
	switch {
	case height <= 0:
		return append(dst, 0) // OP_0
	case height <= 16:
		return append(dst, 0x50+byte(height)) // OP_1 .. OP_16
	}
	n := bits.Len32(uint32(height))/8 + 1 // one bit is kept for the sign
	dst = append(dst, byte(n))
	for range n {
		dst = append(dst, byte(height))
		height >>= 8
	}
	return dst
}
