package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// maxScriptSig is what consensus allows a coinbase's scriptSig.
const maxScriptSig = 100

// coinbase is a coinbase transaction as its txid is computed from: without BIP141 bytes.
type coinbase struct {
	scriptSig []byte
	outputs   []txOutput
}

type txOutput struct {
	value  uint64
	script []byte
}

// commitmentHead begins the script of a witness commitment (BIP141).
const commitmentHead = "\x6a\x24\xaa\x21\xa9\xed"

// committed reports whether an output commits to witnesses.
func (c *coinbase) committed() bool {
	for _, o := range c.outputs {
		if len(o.script) >= 38 && string(o.script[:6]) == commitmentHead {
			return true
		}
	}
	return false
}

var (
	errMarker = errors.New("BIP141 marker and flag are in coinbase_tx_prefix")
	errShort  = errors.New("it ends too early")
)

// reader takes a transaction apart; after an error all it gives is zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errors.Join(r.err, errShort)
		return make([]byte, min(n, 8))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// size is a CompactSize.
func (r *reader) size() uint64 {
	switch n := r.take(1)[0]; n {
	case 0xfd:
		return uint64(binary.LittleEndian.Uint16(r.take(2)))
	case 0xfe:
		return uint64(binary.LittleEndian.Uint32(r.take(4)))
	case 0xff:
		return binary.LittleEndian.Uint64(r.take(8))
	default:
		return uint64(n)
	}
}

// parseCoinbase reads a transaction with one input, to its last byte.
func parseCoinbase(tx []byte) (*coinbase, error) {
	r := &reader{rest: tx}
	r.take(4) // version
	inputs := r.take(1)[0]
	if inputs == 0 && r.err == nil {
		return nil, errMarker
	}
	if inputs != 1 {
		return nil, fmt.Errorf("it has %d inputs: 1 is expected", inputs)
	}
	for i, b := range r.take(36) { // the null outpoint
		if want := byte(0xff); r.err == nil && (i < 32 && b != 0 || i >= 32 && b != want) {
			return nil, errors.New("its input is not the null outpoint")
		}
	}
	c := &coinbase{scriptSig: r.take(r.size())}
	r.take(4) // sequence
	for n := r.size(); n > 0 && r.err == nil; n-- {
		value := binary.LittleEndian.Uint64(r.take(8))
		c.outputs = append(c.outputs, txOutput{value, r.take(r.size())})
	}
	r.take(4) // lock time
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes follow the lock time: BIP141 witness", len(r.rest))
	}
	return c, r.err
}

// checkCoinbase judges the coinbase of an extended job on a channel, whose full extranonce has so many
// bytes.
func checkCoinbase(f *Frame, m sv2.NewExtendedMiningJob, extranonce int) {
	tx := append([]byte(nil), m.CoinbasePrefix...)
	tx = append(tx, make([]byte, extranonce)...)
	tx = append(tx, m.CoinbaseSuffix...)
	c, err := parseCoinbase(tx)
	if err != nil {
		f.fault(111, "expected a coinbase without BIP141 bytes, around %d bytes of extranonce: %w",
			extranonce, err)
		f.fault(112, "expected a coinbase around %d bytes of extranonce: %w", extranonce, err)
		return
	}
	if end := len(m.CoinbasePrefix) + extranonce; end > 4+1+36+1+len(c.scriptSig) {
		f.fault(112, "expected the scriptSig of %d bytes to contain the extranonce", len(c.scriptSig))
	}
	if n := len(c.scriptSig); n < 2 || n > maxScriptSig {
		f.fault(119, "expected a scriptSig of 2 to %d bytes, got %d", maxScriptSig, n)
	}
	if len(m.MerklePath) > 0 && !c.committed() {
		f.fault(116, "expected a witness commitment in the coinbase of a job with transactions")
	}
}
