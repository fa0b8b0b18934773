package pool

import "github.com/btcsuite/btcd/chainhash/v2"

// Job is a template with a coinbase: what miners hash, but for the extranonce. It is
// immutable. Assembler makes jobs; a job without a template can be judged but gives
// no complete block.
type Job struct {
	Seq     uint64         // unique in this process and rising; it tells duplicate sets apart
	Height  int32          // of the block to be mined
	Version uint32         // header version before rolling
	Prev    chainhash.Hash // block that it extends; zero if it fits on any block of its height
	Bits    uint32         // compact network target that it was made for; 0 if it fits any
	Time    uint32         // the node's clock when the template was made; 0 if unknown
	Prefix  []byte         // coinbase before the extranonce, without BIP141 bytes
	Suffix  []byte         // coinbase after the extranonce, without BIP141 bytes
	Path    []chainhash.Hash

	Template *Template
}

// AppendCoinbase appends the coinbase without BIP141 bytes: its double hash is the transaction id.
// The extranonce comes in two parts, fixed prefix and roll part.
func (j *Job) AppendCoinbase(dst, prefix, roll []byte) []byte {
	dst = append(dst, j.Prefix...)
	dst = append(dst, prefix...)
	dst = append(dst, roll...)
	return append(dst, j.Suffix...)
}

// CoinbaseSize is the size of the coinbase that miners see, extranonce and all.
func (j *Job) CoinbaseSize() int { return len(j.Prefix) + ExtranonceSize + len(j.Suffix) }

// Root is the merkle root for a full extranonce in two parts.
func (j *Job) Root(prefix, roll []byte) chainhash.Hash {
	h := borrowHasher()
	h.text = j.AppendCoinbase(h.text[:0], prefix, roll)
	root := h.foldPath(h.hashText(), j.Path)
	hashers.Put(h)
	return root
}

// fitsOn reports whether the job can be mined on the tip.
func (j *Job) fitsOn(t Tip) bool {
	return j.Height == t.Height &&
		(j.Prev == chainhash.Hash{} || j.Prev == t.Prev) && (j.Bits == 0 || j.Bits == t.Bits)
}
