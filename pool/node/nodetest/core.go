package nodetest

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

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
)

// Core is the part of Bitcoin Core that a pool needs, on regtest: the same shapes, words,
// codes and HTTP statuses, and a chain that takes blocks. No Core could be had
// where this was written; the shapes are those of Core 28's source.
//
// The exported fields are its state and its faults; they change in Set only.
type Core struct {
	server *httptest.Server
	cookie string // file

	// guarded by mu
	mu       sync.Mutex
	blocks   []*wire.MsgBlock // best chain, genesis first
	side     map[chainhash.Hash]bool
	Password string // what its cookie should hold
	Chain    string
	Tx       *wire.MsgTx // in the mempool; nil for none
	Fee      int64
	Failure  *Failure // answer to getblocktemplate
	Warming  bool     // -28 to everything
	Busy     int      // answers of 503 to come
	Conns    map[string]bool
	Holds    map[string]func() // called before a method is answered, without the lock
	Verdict  string            // reason to refuse every block; none if empty
}

// Failure is a JSON-RPC error.
type Failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// NewCore serves until the test ends.
func NewCore(tb testing.TB) *Core {
	tb.Helper()
	e := &Core{
		cookie: filepath.Join(tb.TempDir(), ".cookie"), Chain: "regtest",
		blocks: []*wire.MsgBlock{chaincfg.RegressionNetParams.GenesisBlock},
		side:   make(map[chainhash.Hash]bool), Conns: make(map[string]bool), Holds: make(map[string]func()),
	}
	e.NewCookie(tb, "one")
	e.server = httptest.NewServer(e)
	tb.Cleanup(e.server.Close)
	return e
}

// NewCookie is what a restart of Core does.
func (e *Core) NewCookie(tb testing.TB, password string) {
	tb.Helper()
	if err := os.WriteFile(e.cookie, []byte("__cookie__:"+password), 0o600); err != nil {
		tb.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Password = password
}

// Config is how a node.Core reaches it, with short waiting times.
func (e *Core) Config(tb testing.TB) node.Config {
	tb.Helper()
	return node.Config{
		Name: "core", Network: &chaincfg.RegressionNetParams,
		Address: strings.TrimPrefix(e.server.URL, "http://"),
		Cookie:  e.cookie, Poll: 10 * time.Millisecond, Refresh: 50 * time.Millisecond,
	}
}

// Set changes the exported fields, or looks at them.
func (e *Core) Set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// ServeHTTP implements http.Handler.
func (e *Core) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Conns[r.RemoteAddr] = true
	user, password, _ := r.BasicAuth()
	if user != "__cookie__" || password != e.Password {
		w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if e.Busy > 0 {
		e.Busy--
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "Work queue depth exceeded") //nolint:errcheck // the peer may be gone
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
	if hold := e.Holds[req.Method]; hold != nil {
		e.mu.Unlock()
		hold()
		e.mu.Lock()
	}
	result, failed := e.answer(req.Method, req.Params)
	w.Header().Set("Content-Type", "application/json")
	if failed != nil {
		w.WriteHeader(http.StatusInternalServerError) // Core's way for JSON-RPC 1.0
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"result": result, "error": failed, "id": req.ID})
}

func (e *Core) answer(method string, params []json.RawMessage) (any, *Failure) {
	if e.Warming {
		return nil, &Failure{-28, "Loading block index…"}
	}
	var text string
	var height int
	if len(params) > 0 {
		_ = json.Unmarshal(params[0], &text)
		_ = json.Unmarshal(params[0], &height)
	}
	switch method {
	case "getblockchaininfo":
		return map[string]any{"chain": e.Chain, "blocks": len(e.blocks) - 1}, nil
	case "getblockcount":
		return len(e.blocks) - 1, nil
	case "getbestblockhash":
		return e.tip().BlockHash().String(), nil
	case "getblockhash":
		if height >= len(e.blocks) {
			return nil, &Failure{-8, "Block height out of range"}
		}
		return e.blocks[height].BlockHash().String(), nil
	case "getblockheader":
		return e.header(text, len(params) < 2 || string(params[1]) == "true")
	case "getblocktemplate":
		return e.template(params)
	case "submitblock":
		return e.submit(text)
	}
	return nil, &Failure{-32601, "Method not found"}
}

func (e *Core) tip() *wire.MsgBlock { return e.blocks[len(e.blocks)-1] }

func (e *Core) header(hash string, verbose bool) (any, *Failure) {
	i := slices.IndexFunc(e.blocks, func(b *wire.MsgBlock) bool { return b.BlockHash().String() == hash })
	if i < 0 {
		return nil, &Failure{-5, "Block not found"}
	}
	if verbose {
		return map[string]any{"hash": hash, "height": i, "confirmations": len(e.blocks) - i}, nil
	}
	var out strings.Builder
	_ = e.blocks[i].Header.Serialize(hex.NewEncoder(&out))
	return out.String(), nil
}

func (e *Core) template(params []json.RawMessage) (any, *Failure) {
	var req struct{ Rules []string }
	if len(params) != 1 || json.Unmarshal(params[0], &req) != nil || !slices.Contains(req.Rules, "segwit") {
		return nil, &Failure{-8, "getblocktemplate must be called with the segwit rule set " +
			`(call with {"rules": ["segwit"]})`}
	}
	if e.Failure != nil {
		return nil, e.Failure
	}
	txs := []any{}
	value, mintime := int64(50e8), e.medianTime()+1
	witness := chainhash.Hash{} // the coinbase's stands as zero
	if e.Tx != nil {
		var raw strings.Builder
		_ = e.Tx.Serialize(hex.NewEncoder(&raw))
		value += e.Fee
		txs = append(txs, map[string]any{
			"data": raw.String(), "txid": e.Tx.TxHash().String(), "hash": e.Tx.WitnessHash().String(),
			"depends": []int{}, "fee": e.Fee, "sigops": 0, "weight": 400,
		})
		w := e.Tx.WitnessHash()
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

func (e *Core) medianTime() int64 {
	var times []int64
	for _, b := range e.blocks[max(0, len(e.blocks)-11):] {
		times = append(times, b.Header.Timestamp.Unix())
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (e *Core) submit(text string) (any, *Failure) {
	raw, err := hex.DecodeString(text)
	block := new(wire.MsgBlock)
	if err != nil || block.Deserialize(bytes.NewReader(raw)) != nil {
		return nil, &Failure{-22, "Block decode failed"}
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
	if e.Verdict != "" {
		return e.Verdict, nil
	}
	if reason := e.judge(block); reason != "" {
		return reason, nil
	}
	e.blocks = append(e.blocks, block)
	e.Tx = nil
	return nil, nil
}

func (e *Core) judge(block *wire.MsgBlock) string {
	coinbase := block.Transactions[0]
	most := int64(50e8)
	root := coinbase.TxHash()
	if len(block.Transactions) > 1 {
		most += e.Fee
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

// Take puts a block onto the chain as if another miner had found it; the answer is submitblock's.
func (e *Core) Take(b *pool.Block) (any, *Failure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.submit(hex.EncodeToString(b.Raw))
}

// Drop takes the newest block off the chain, as a reorganisation begins; it is then on the side.
func (e *Core) Drop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.side[e.tip().BlockHash()] = true
	e.blocks = e.blocks[:len(e.blocks)-1]
}
