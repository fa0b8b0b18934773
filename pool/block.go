package pool

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// headerSize is the size of a block header in bytes.
const headerSize = 80

// Block is a solved block, complete and ready to be sent. It is immutable.
type Block struct {
	Hash   chainhash.Hash
	Prev   chainhash.Hash
	Height int32
	Worker WorkerID // who found it
	Value  int64    // satoshi that the coinbase claims
	Raw    []byte   // serialised with witness; the header alone if the job has no template
}

// AppendBlock appends the whole block for a header and an extranonce in two parts:
//
//	header 80 | transaction count | coinbase with witness | transactions
//
// The coinbase carries its witness exactly if there is a witness commitment (BIP141).
func (j *Job) AppendBlock(dst []byte, header *[headerSize]byte, prefix, roll []byte) []byte {
	dst = append(dst, header[:]...)
	t := j.Template
	if t == nil {
		return dst
	}
	dst = appendCompact(dst, uint64(1+len(t.Txs)))
	if t.Commitment == nil {
		dst = j.AppendCoinbase(dst, prefix, roll)
	} else {
		dst = append(dst, j.Prefix[:4]...)
		dst = append(dst, 0, 1) // marker, flag
		dst = append(dst, j.Prefix[4:]...)
		dst = append(dst, prefix...)
		dst = append(dst, roll...)
		lock := len(j.Suffix) - 4
		dst = append(dst, j.Suffix[:lock]...)
		dst = append(dst, 1, 32) // one item: the reserved value
		dst = append(dst, make([]byte, 32)...)
		dst = append(dst, j.Suffix[lock:]...)
	}
	for i := range t.Txs {
		dst = append(dst, t.Txs[i].Raw...)
	}
	return dst
}

// block is the block that was found with a header. The extranonce comes in two parts.
func (j *Job) block(header *[headerSize]byte, prefix, roll []byte) *Block {
	b := &Block{
		Hash:   doubleHash(header[:]),
		Prev:   chainhash.Hash(header[4:36]),
		Height: j.Height,
	}
	size := headerSize + 9 + len(j.Prefix) + len(prefix) + len(roll) + len(j.Suffix) + 36
	if j.Template != nil {
		b.Value = j.Template.Value
		for i := range j.Template.Txs {
			size += len(j.Template.Txs[i].Raw)
		}
	}
	b.Raw = j.AppendBlock(make([]byte, 0, size), header, prefix, roll)
	return b
}

// appendCompact appends a count in Bitcoin's variable-length form.
func appendCompact(dst []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16(append(dst, 0xfd), uint16(n))
	case n <= 0xffffffff:
		return binary.LittleEndian.AppendUint32(append(dst, 0xfe), uint32(n))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xff), n)
}
