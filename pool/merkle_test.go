package pool

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
)

// Ensure that a merkle path folds to the root of a mainnet block, and that the path is the one that
// is made of the block's transactions.
func TestMerklePath_IsThatOfMainnet(t *testing.T) {
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Folds []struct {
			Coinbase string   `json:"coinbase_txid_wire"`
			Path     []string `json:"merkle_path_wire"`
			Root     string   `json:"merkle_root_wire"`
		} `json:"merkle_path_fold"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Folds {
		var path []chainhash.Hash
		for _, p := range f.Path {
			path = append(path, fromHex(t, p))
		}
		if got := newHasher().foldPath(fromHex(t, f.Coinbase), path); got != fromHex(t, f.Root) {
			t.Errorf("root %x, want %s", got[:], f.Root)
		}
	}
	// Block 100000 has four transactions; these are the last three.
	var txs []Tx
	for _, id := range []string{
		"c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff",
		"c46e239ab7d28e2c019b6d66ad8fae98a56ef1f21aeecb94d1b1718186f05963",
		"1d0cb83721529a062d9675b98d6e5c587e4a770fc84ed00abc5a5de04568a6e9",
	} {
		txs = append(txs, Tx{ID: fromHex(t, id)})
	}
	want := []chainhash.Hash{fromHex(t, v.Folds[0].Path[0]), fromHex(t, v.Folds[0].Path[1])}
	if d := cmp.Diff(want, merklePath(txs)); d != "" {
		t.Errorf("path (-want +got):\n%s", d)
	}
}

func fromHex(t *testing.T, s string) (h chainhash.Hash) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || copy(h[:], b) != 32 {
		t.Fatalf("hash %q: %v", s, err)
	}
	return h
}
