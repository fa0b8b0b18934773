package pool

import "github.com/btcsuite/btcd/chainhash/v2"

// Block is a solved block, complete and ready to be sent. It is immutable.
type Block struct {
	Hash   chainhash.Hash
	Prev   chainhash.Hash
	Height int32
	Worker WorkerID // who found it
	Value  int64    // satoshi that the coinbase claims
	Raw    []byte   // serialised with witness
}
