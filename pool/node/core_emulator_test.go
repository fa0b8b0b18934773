package node_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool/node"
)

// emulator is the part of Bitcoin Core that a pool needs, on regtest: the same shapes, words,
// codes and HTTP statuses, and a chain that takes blocks. No Core could be had
// where this was written; the shapes are those of Core 28's source.
type emulator struct {
	server *httptest.Server
	cookie string // file

	// guarded by mu
	mu       sync.Mutex
	password string
	chain    string
	blocks   []*wire.MsgBlock // best chain, genesis first
	side     map[chainhash.Hash]bool
	tx       *wire.MsgTx // in the mempool; nil for none
	fee      int64
	failure  *failure // answer to getblocktemplate
	warming  bool     // -28 to everything
	busy     int      // answers of 503 to come
	conns    map[string]bool
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func newEmulator(tb testing.TB) *emulator {
	tb.Helper()
	e := &emulator{
		cookie: filepath.Join(tb.TempDir(), ".cookie"), chain: "regtest",
		blocks: []*wire.MsgBlock{chaincfg.RegressionNetParams.GenesisBlock},
		side:   make(map[chainhash.Hash]bool), conns: make(map[string]bool),
	}
	e.newCookie(tb, "one")
	e.server = httptest.NewServer(e)
	tb.Cleanup(e.server.Close)
	return e
}

// newCookie is what a restart of Core does.
func (e *emulator) newCookie(tb testing.TB, password string) {
	tb.Helper()
	if err := os.WriteFile(e.cookie, []byte("__cookie__:"+password), 0o600); err != nil {
		tb.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.password = password
}

func (e *emulator) config(tb testing.TB) node.Config {
	tb.Helper()
	return node.Config{
		Name: "core", Network: network(tb, "regtest"), Address: strings.TrimPrefix(e.server.URL, "http://"),
		Cookie: e.cookie, Poll: 10 * time.Millisecond, Refresh: 50 * time.Millisecond,
	}
}

func (e *emulator) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

func (e *emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns[r.RemoteAddr] = true
	user, password, _ := r.BasicAuth()
	if user != "__cookie__" || password != e.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if e.busy > 0 {
		e.busy--
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "Work queue depth exceeded")
		return
	}
	var req struct {
		ID     json.RawMessage
		Method string
		Params []json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	result, failed := e.answer(req.Method, req.Params)
	w.Header().Set("Content-Type", "application/json")
	if failed != nil {
		w.WriteHeader(http.StatusInternalServerError) // Core's way for JSON-RPC 1.0
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"result": result, "error": failed, "id": req.ID})
}

func (e *emulator) answer(method string, params []json.RawMessage) (any, *failure) {
	if e.warming {
		return nil, &failure{-28, "Loading block index…"}
	}
	var text string
	var height int
	if len(params) > 0 {
		_ = json.Unmarshal(params[0], &text)
		_ = json.Unmarshal(params[0], &height)
	}
	switch method {
	case "getblockchaininfo":
		return map[string]any{"chain": e.chain, "blocks": len(e.blocks) - 1}, nil
	case "getblockcount":
		return len(e.blocks) - 1, nil
	case "getbestblockhash":
		return e.tip().BlockHash().String(), nil
	case "getblockhash":
		if height >= len(e.blocks) {
			return nil, &failure{-8, "Block height out of range"}
		}
		return e.blocks[height].BlockHash().String(), nil
	case "getblockheader":
		return e.header(text, len(params) < 2 || string(params[1]) == "true")
	case "getblocktemplate":
		return e.template(params)
	case "submitblock":
		return e.submit(text)
	}
	return nil, &failure{-32601, "Method not found"}
}

func (e *emulator) tip() *wire.MsgBlock { return e.blocks[len(e.blocks)-1] }

func (e *emulator) header(hash string, verbose bool) (any, *failure) {
	i := slices.IndexFunc(e.blocks, func(b *wire.MsgBlock) bool { return b.BlockHash().String() == hash })
	if i < 0 {
		return nil, &failure{-5, "Block not found"}
	}
	if verbose {
		return map[string]any{"hash": hash, "height": i, "confirmations": len(e.blocks) - i}, nil
	}
	var out strings.Builder
	_ = e.blocks[i].Header.Serialize(hex.NewEncoder(&out))
	return out.String(), nil
}

func (e *emulator) template(params []json.RawMessage) (any, *failure) {
	var req struct{ Rules []string }
	if len(params) != 1 || json.Unmarshal(params[0], &req) != nil || !slices.Contains(req.Rules, "segwit") {
		return nil, &failure{-8, "getblocktemplate must be called with the segwit rule set " +
			`(call with {"rules": ["segwit"]})`}
	}
	if e.failure != nil {
		return nil, e.failure
	}
	txs := []any{}
	value, mintime := int64(50e8), e.medianTime()+1
	witness := chainhash.Hash{} // the coinbase's stands as zero
	if e.tx != nil {
		var raw strings.Builder
		_ = e.tx.Serialize(hex.NewEncoder(&raw))
		value += e.fee
		txs = append(txs, map[string]any{
			"data": raw.String(), "txid": e.tx.TxHash().String(), "hash": e.tx.WitnessHash().String(),
			"depends": []int{}, "fee": e.fee, "sigops": 0, "weight": 400,
		})
		w := e.tx.WitnessHash()
		witness = chainhash.DoubleHashH(append(make([]byte, 32), w[:]...))
	}
	commitment := chainhash.DoubleHashH(append(witness[:], make([]byte, 32)...))
	return map[string]any{
		"capabilities": []string{"proposal"}, "version": 0x20000000,
		"rules":       []string{"csv", "!segwit", "taproot"},
		"vbavailable": map[string]int{}, "vbrequired": 0, "previousblockhash": e.tip().BlockHash().String(),
		"transactions": txs, "coinbaseaux": map[string]any{}, "coinbasevalue": value,
		"longpollid": e.tip().BlockHash().String() + "1", "target": "7fffff" + strings.Repeat("0", 58),
		"mintime": mintime, "mutable": []string{"time", "transactions", "prevblock"},
		"noncerange": "00000000ffffffff", "sigoplimit": 80000, "sizelimit": 4000000, "weightlimit": 4000000,
		"curtime": max(time.Now().Unix(), mintime), "bits": "207fffff", "height": len(e.blocks),
		"default_witness_commitment": "6a24aa21a9ed" + hex.EncodeToString(commitment[:]),
	}, nil
}

func (e *emulator) medianTime() int64 {
	var times []int64
	for _, b := range e.blocks[max(0, len(e.blocks)-11):] {
		times = append(times, b.Header.Timestamp.Unix())
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (e *emulator) submit(text string) (any, *failure) {
	raw, err := hex.DecodeString(text)
	block := new(wire.MsgBlock)
	if err != nil || block.Deserialize(bytes.NewReader(raw)) != nil {
		return nil, &failure{-22, "Block decode failed"}
	}
	hash := block.BlockHash()
	for i, b := range e.blocks {
		switch {
		case b.BlockHash() == hash:
			return "duplicate", nil
		case e.side[hash]:
			return "duplicate-inconclusive", nil
		case b.BlockHash() == block.Header.PrevBlock && i < len(e.blocks)-1:
			e.side[hash] = true
			return "inconclusive", nil
		}
	}
	if block.Header.PrevBlock != e.tip().BlockHash() {
		return "prev-blk-not-found", nil
	}
	if reason := e.judge(block); reason != "" {
		return reason, nil
	}
	e.blocks = append(e.blocks, block)
	e.tx = nil
	return nil, nil
}

func (e *emulator) judge(block *wire.MsgBlock) string {
	coinbase := block.Transactions[0]
	most := int64(50e8)
	root := coinbase.TxHash()
	if len(block.Transactions) > 1 {
		most += e.fee
		id := block.Transactions[1].TxHash()
		root = chainhash.DoubleHashH(append(root[:], id[:]...))
	}
	outs := coinbase.TxOut
	switch {
	case root != block.Header.MerkleRoot:
		return "bad-txnmrklroot"
	case outs[0].Value > most:
		return "bad-cb-amount"
	case len(block.Transactions) > 1 && (len(outs) != 2 || len(outs[1].PkScript) != 38):
		return "unexpected-witness"
	case len(outs) == 2 && (len(coinbase.TxIn[0].Witness) != 1 || len(coinbase.TxIn[0].Witness[0]) != 32):
		return "bad-witness-nonce-size"
	}
	return ""
}
