package pool

import "github.com/btcsuite/btcd/chainhash/v2"

// merklePath are the hashes that, folded in order onto the coinbase's id with the
// running hash on the left, give the merkle root (sv2-spec 05 §5.3.16).
func merklePath(txs []Tx) []chainhash.Hash {
	if len(txs) == 0 {
		return nil
	}
	// level[0] stands for the coinbase's branch, which is not known here.
	level := make([]chainhash.Hash, len(txs)+1, len(txs)+2)
	for i := range txs {
		level[i+1] = txs[i].ID
	}
	path := make([]chainhash.Hash, 0, 16)
	h := borrowHasher()
	defer hashers.Put(h)
	for len(level) > 1 {
		path = append(path, level[1])
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		half := len(level) / 2
		for i := 1; i < half; i++ {
			level[i] = h.hashPair(&level[2*i], &level[2*i+1])
		}
		level = level[:half]
	}
	return path
}
