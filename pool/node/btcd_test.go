package node_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/btcsuite/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
)

func anyoneAddress(tb testing.TB, p *chaincfg.Params) string {
	tb.Helper()
	program := sha256.Sum256([]byte{0x51})
	a, err := address.NewAddressWitnessScriptHash(program[:], p)
	if err != nil {
		tb.Fatal(err)
	}
	return a.EncodeAddress()
}

// sameWork compares what miners see of a partial template with the node's own.
func sameWork(t *testing.T, partial, full *pool.Template) {
	t.Helper()
	if !partial.Partial || full.Partial {
		t.Fatalf("partial %v, then %v: first true and then false is wanted", partial.Partial, full.Partial)
	}
	partial2 := *partial
	partial2.Value += full.Fees()
	opts := cmpopts.IgnoreFields(pool.Template{}, "Time", "Partial", "Txs", "Commitment")
	if diff := cmp.Diff(full, &partial2, opts); diff != "" {
		t.Errorf("partial template at height %d (-node +ours):\n%s", full.Height, diff)
	}
}

// Ensure a new tip gives a template made from its header first, and that it says what the node says later.
func TestBtcd_GivesPartialTemplateAndThenFullOneOnNewTip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"simnet", "regtest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, network(t, name))
			b, gate := followHeld(t, c.Config())
			gate <- struct{}{}
			last := next(t, b, nil)
			if last.Partial || last.Height != 1 || last.Value != 50e8 || last.Next.Value != 50e8 {
				t.Fatalf("first template: %+v", last)
			}
			for height := int32(2); height < 20; height++ {
				call(t, c, "generate", 1)
				partial := next(t, b, last)
				gate <- struct{}{}
				full := next(t, b, partial)
				if full.Height != height {
					t.Fatalf("height %d, want %d", full.Height, height)
				}
				sameWork(t, partial, full)
				last = full
			}
			if got := b.State().String(); got != "ready" {
				t.Errorf("state %q", got)
			}
			if s := b.Stats(); s.Height != 18 || s.Partials != 18 || s.Connections != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// Ensure subsidies in partial templates follow the network's halving interval.
func TestBtcd_PartialTemplateKnowsHalving(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	call(t, c, "generate", 147)
	b, gate := followHeld(t, c.Config())
	gate <- struct{}{}
	last := next(t, b, nil)
	for range 4 {
		call(t, c, "generate", 1)
		partial := next(t, b, last)
		gate <- struct{}{}
		full := next(t, b, partial)
		sameWork(t, partial, full)
		last = full
	}
	if last.Height != 152 || last.Value != 25e8 {
		t.Errorf("height %d value %d, want 152 and 25 BTC", last.Height, last.Value)
	}
}

// Ensure the target after a difficulty change is computed as the node does it, and that no
// partial template is guessed where simnet's target depends on the clock.
func TestBtcd_PartialTemplateFollowsRetarget(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "simnet"))
	for _, n := range []int{1000, 1000, 1000, 1030} { // the first boundary changes nothing
		call(t, c, "generate", n)
	}
	b, gate := followHeld(t, c.Config())
	gate <- struct{}{}
	last := next(t, b, nil)
	call(t, c, "generate", 1)
	partial := next(t, b, last)
	gate <- struct{}{}
	full := next(t, b, partial)
	if partial.Tip != full.Tip || full.Height != 4032 || full.Bits == last.Bits {
		t.Errorf("partial %+v, full %+v, before %+v", partial.Tip, full.Tip, last.Tip)
	}
	call(t, c, "generate", 1)
	gate <- struct{}{}
	if after := next(t, b, full); after.Partial {
		t.Errorf("partial template with bits %08x where they depend on the clock", after.Bits)
	}
}

// Ensure a block of ours gets onto the chain, and that sending it twice is no fault.
func TestBtcd_TakesSolvedBlock(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"simnet", "regtest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := follow(t, startChild(t, network(t, name)).Config())
			block := solve(t, next(t, b, nil))
			for range 2 {
				if err := b.SubmitBlock(t.Context(), block); err != nil {
					t.Fatal(err)
				}
			}
			if at, err := b.BlockAt(t.Context(), block.Height); err != nil || at == nil || *at != block.Hash {
				t.Errorf("at its height is %v, %v", at, err)
			}
			if at, err := b.BlockAt(t.Context(), block.Height+1); err != nil || at != nil {
				t.Errorf("above it is %v, %v", at, err)
			}
		})
	}
}

// Ensure our own block is the tip before the node has said a word.
func TestBtcd_OwnBlockIsTipAtOnce(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "regtest")).Config())
	last := next(t, b, nil)
	for range 3 {
		block := solve(t, last)
		if err := b.SubmitBlock(t.Context(), block); err != nil {
			t.Fatal(err)
		}
		last = nextWhere(t, b, func(got *pool.Template) bool { return got.Prev == block.Hash })
	}
	full := nextWhere(t, b, func(got *pool.Template) bool { return got.Height == 4 && !got.Partial })
	if s := b.Stats(); s.Partials != 3 {
		t.Errorf("%d partial templates, want one per block; now %+v", s.Partials, full.Tip)
	}
}

// Ensure a refusal gives the node's words and takes the step ahead back.
func TestBtcd_RefusedBlockIsNoTip(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "regtest")).Config())
	good := next(t, b, nil)
	greedy := *good
	greedy.Value++
	block := solve(t, &greedy)

	var seen []*pool.Template
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := good; ; {
			got, err := b.Next(ctx, last)
			if err != nil {
				return
			}
			seen, last = append(seen, got), got
		}
	})
	err := b.SubmitBlock(t.Context(), block)
	if !errors.Is(err, node.ErrRefused) || !strings.Contains(err.Error(), "coinbase transaction") {
		t.Errorf("error %v, want the node's reason", err)
	}
	back := nextWhere(t, b, func(got *pool.Template) bool { return got.Prev == good.Prev })
	cancel()
	wg.Wait()
	if back.Height != good.Height || back.Partial {
		t.Errorf("after the refusal: %+v", back)
	}
	if len(seen) > 0 && seen[0].Prev != block.Hash && seen[0] != good {
		t.Errorf("saw %+v first", seen[0].Tip)
	}
	if err := b.SubmitBlock(t.Context(), solve(t, back)); err != nil {
		t.Errorf("the next block: %v", err)
	}
}

// Ensure bytes that are no block are refused with a reason.
func TestBtcd_RefusesMalformedBlock(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "regtest")).Config())
	block := *solve(t, next(t, b, nil))
	block.Raw = block.Raw[:100]
	err := b.SubmitBlock(t.Context(), &block)
	if !errors.Is(err, node.ErrRefused) || !strings.Contains(err.Error(), "decode failed") {
		t.Errorf("error %v", err)
	}
}

// Ensure null for a block that lost the race is not taken for success.
func TestBtcd_LostRaceIsRefused(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "simnet")).Config())
	tmpl := next(t, b, nil)
	winner, loser := solve(t, tmpl), solve(t, tmpl)
	if err := b.SubmitBlock(t.Context(), winner); err != nil {
		t.Fatal(err)
	}
	err := b.SubmitBlock(t.Context(), loser)
	if !errors.Is(err, node.ErrRefused) || !strings.Contains(err.Error(), "lost the race") {
		t.Errorf("error %v", err)
	}
}

// Ensure null for a block with an unknown parent is not taken for success, and that it
// counts once the parent has come.
func TestBtcd_OrphanWaitsForItsParent(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "regtest")).Config())
	tmpl := next(t, b, nil)
	parent := solve(t, tmpl)
	above := *tmpl
	above.Prev, above.Height, above.Time = parent.Hash, 2, tmpl.Time+1
	child := solve(t, &above)
	for range 2 {
		err := b.SubmitBlock(t.Context(), child)
		if !errors.Is(err, pool.ErrNodeNotReady) || !strings.Contains(err.Error(), "waits for its parent") {
			t.Fatalf("error %v", err)
		}
	}
	if err := b.SubmitBlock(t.Context(), parent); err != nil {
		t.Logf("parent: %v", err) // its child may be on top of it already
	}
	if err := b.SubmitBlock(t.Context(), child); err != nil {
		t.Errorf("child: %v", err)
	}
}

// Ensure a segwit transaction gives a bare commitment that works in a block of ours.
func TestBtcd_CommitsToWitnesses(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "simnet"))
	call(t, c, "generate", 310) // segwit needs 300 on simnet, the coinbase 100
	b := follow(t, c.Config())
	before := next(t, b, nil)
	if before.Version == 0x20000000 {
		t.Logf("version %08x: no deployment is signalled", before.Version)
	}
	spend := spendCoinbase(t, c, 1, 50e8)
	call(t, c, "sendrawtransaction", spend)
	if err := b.SubmitBlock(t.Context(), solve(t, before)); err != nil { // empties the node's stale template
		t.Fatal(err)
	}
	full := nextWhere(t, b, func(got *pool.Template) bool { return len(got.Txs) > 0 })
	if len(full.Txs) != 1 || full.Commitment == nil || full.Fees() != 1000 || full.Txs[0].Fee != 1000 {
		t.Fatalf("template %+v", full)
	}
	if got := hex.EncodeToString(full.Txs[0].Raw); got != spend {
		t.Errorf("transaction %s, want %s", got, spend)
	}
	if err := b.SubmitBlock(t.Context(), solve(t, full)); err != nil {
		t.Errorf("a block with a witness: %v", err)
	}
}

// spendCoinbase spends the coinbase of a height with a fee of 1000 satoshi.
func spendCoinbase(t *testing.T, c *node.Child, height int, value int64) string {
	t.Helper()
	hash := strings.Trim(call(t, c, "getblockhash", height), `"`)
	raw, err := hex.DecodeString(strings.Trim(call(t, c, "getblock", hash, 0), `"`))
	if err != nil {
		t.Fatal(err)
	}
	var block wire.MsgBlock
	if err := block.Deserialize(strings.NewReader(string(raw))); err != nil {
		t.Fatal(err)
	}
	id := block.Transactions[0].TxHash()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&id, 0), nil, [][]byte{{0x51}}))
	tx.AddTxOut(wire.NewTxOut(value-1000, anyoneScript))
	var out strings.Builder
	if err := tx.Serialize(hex.NewEncoder(&out)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Ensure a node on another network is named as such, and gives no work.
func TestBtcd_NamesWrongNetwork(t *testing.T) {
	t.Parallel()
	cfg := startChild(t, network(t, "simnet")).Config()
	for configured, want := range map[string]string{
		"regtest":   "it is on simnet, the configuration says regtest",
		"signet:51": "it is on simnet, the configuration says signet with magic",
	} {
		cfg.Network = network(t, configured)
		b := follow(t, cfg)
		_, err := b.Next(t.Context(), nil)
		if !errors.Is(err, pool.ErrNodeNotReady) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if got := b.State(); got.Phase != node.WrongNetwork {
			t.Errorf("state %q", got)
		}
		if err := b.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("probe: %v", err)
		}
		if err := b.SubmitBlock(t.Context(), &pool.Block{}); !errors.Is(err, pool.ErrNodeNotReady) {
			t.Errorf("submit: %v", err)
		}
	}
}

// Ensure wrong credentials and an absent node are told apart.
func TestBtcd_SaysWhyItHasNoAccess(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	good := c.Config()
	bad := good
	bad.Password = "wrong"
	p2p := good
	p2p.Address, p2p.Timeout = c.P2P(), time.Second
	gone := good
	gone.Address = "127.0.0.1:1"
	for _, tt := range []struct {
		name, want string
		cfg        node.Config
	}{
		{"password", "access denied: node does not accept the user and password", bad},
		{"peer-to-peer port", "away: opening the websocket", p2p},
		{"nobody", "away: dial tcp 127.0.0.1:1", gone},
	} {
		b := follow(t, tt.cfg)
		_, err := b.Next(t.Context(), nil)
		if !errors.Is(err, pool.ErrNodeNotReady) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Ensure a killed node shows as away, and that the follower comes back with it.
func TestBtcd_ComesBackWithTheNode(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	b := follow(t, c.Config())
	first := next(t, b, nil)
	c.Kill()
	_, err := b.Next(t.Context(), first)
	if !errors.Is(err, pool.ErrNodeNotReady) || b.State().Phase != node.Away {
		t.Fatalf("error %v, state %v", err, b.State())
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := nextWhere(t, b, func(*pool.Template) bool { return true })
	if again.Tip != first.Tip || b.State().Phase != node.Ready {
		t.Errorf("%+v, state %v", again.Tip, b.State())
	}
}

// Ensure a private signet needs a peer, serves templates with one, and passes blocks on.
func TestBtcd_PrivateSignetPair(t *testing.T) {
	t.Parallel()
	signet := network(t, "signet:51")
	first := startChild(t, signet)
	a := follow(t, first.Config())
	_, err := a.Next(t.Context(), nil)
	if !errors.Is(err, pool.ErrNodeNotReady) || a.State().Phase != node.NoPeers ||
		!strings.Contains(err.Error(), "Bitcoin is not connected") {
		t.Fatalf("without peers: %v", err)
	}
	b := follow(t, startChild(t, signet, first.P2P()).Config())
	tmpl := nextWhere(t, a, func(*pool.Template) bool { return true })
	if tmpl.Bits != 0x1e0377ae || tmpl.Height != 1 {
		t.Fatalf("template %+v", tmpl)
	}
	nextWhere(t, b, func(*pool.Template) bool { return true })
	block := solve(t, tmpl)
	if err := a.SubmitBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node.Btcd{a, b} {
		got := nextWhere(t, n, func(got *pool.Template) bool {
			return got.Prev == block.Hash && !got.Partial
		})
		if got.Height != 2 {
			t.Errorf("height %d", got.Height)
		}
	}
}

// Ensure a new tip is found by asking when notifications stop.
func TestBtcd_PollsWhenNothingIsAnnounced(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	cfg := c.Config()
	cfg.Poll = 10 * time.Millisecond
	b, err := node.NewBtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Mute()
	run(t, b.Run)
	next(t, b, nil)
	call(t, c, "generate", 1)
	nextWhere(t, b, func(got *pool.Template) bool { return got.Height == 2 && !got.Partial })
	call(t, c, "generate", 100) // more than the headers that we keep
	nextWhere(t, b, func(got *pool.Template) bool { return got.Height == 102 && !got.Partial })
	if s := b.Stats(); s.Partials < 1 || s.Connections != 1 {
		t.Errorf("stats %+v", s)
	}
}

// Ensure a reorganisation is followed.
func TestBtcd_FollowsReorganisation(t *testing.T) {
	t.Parallel()
	b := follow(t, startChild(t, network(t, "regtest")).Config())
	tmpl := next(t, b, nil)
	short, first := solve(t, tmpl), solve(t, tmpl)
	if err := b.SubmitBlock(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	nextWhere(t, b, func(got *pool.Template) bool { return got.Prev == short.Hash && !got.Partial })
	above := *tmpl
	above.Prev, above.Height, above.Time = first.Hash, 2, tmpl.Time+1
	second := solve(t, &above)
	if err := b.SubmitBlock(t.Context(), first); !errors.Is(err, node.ErrRefused) {
		t.Fatalf("side chain: %v", err)
	}
	if err := b.SubmitBlock(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	got := nextWhere(t, b, func(got *pool.Template) bool { return got.Prev == second.Hash && !got.Partial })
	if err := b.SubmitBlock(t.Context(), solve(t, got)); got.Height != 3 || err != nil {
		t.Errorf("height %d, %v", got.Height, err)
	}
}

// Ensure a server that speaks websocket but no sense is a state, never a crash.
func TestBtcd_SurvivesHostileNode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ answer, want string }{
		{"[]", "broken: calling notifyblocks: connection to the node is closed"},
		{`{"method":"filteredblockconnected","params":[1]}`, "broken: calling notifyblocks"},
		{`{"method":"filteredblockconnected","params":[1,"00"]}`, "broken: calling notifyblocks"},
		{`{"id":1,"result":null,"error":{"code":-1,"message":"` + strings.Repeat("x", 999) + `"}}`, "..."},
		{strings.Repeat(`{"id":1,"result":[`, 100), "broken"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ws, err := websocket.Upgrade(w, r, nil, 0, 0)
			if err != nil {
				return
			}
			defer ws.Close()
			_, _, _ = ws.ReadMessage()
			_ = ws.WriteMessage(websocket.TextMessage, []byte(tt.answer))
			_, _, _ = ws.ReadMessage()
		}))
		t.Cleanup(s.Close)
		b := follow(t, node.Config{
			Network: network(t, "regtest"), Address: strings.TrimPrefix(s.URL, "http://"),
			User: "u", Password: "p",
		})
		_, err := b.Next(t.Context(), nil)
		if !errors.Is(err, pool.ErrNodeNotReady) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// Ensure blocks get through while ten long polls hold all of btcd's HTTP slots.
func TestBtcd_SubmitsWithAllSlotsTaken(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	cfg := c.Config()
	b := follow(t, cfg)
	tmpl := next(t, b, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var full atomic.Bool
	for range 10 {
		wg.Go(func() { // a poll for a template that was replaced meanwhile is answered at once
			for ctx.Err() == nil && !full.Load() {
				longPoll(ctx, c, cfg)
			}
		})
	}
	taken := time.Now()
	for {
		status, err := post(t.Context(), cfg, `{"jsonrpc":"1.0","id":1,"method":"getblockcount","params":[]}`)
		if status == http.StatusServiceUnavailable {
			full.Store(true)
			break
		}
		if time.Since(taken) > deadline {
			t.Fatalf("the slots are still free: status %d, %v", status, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := b.SubmitBlock(t.Context(), solve(t, tmpl)); err != nil {
		t.Errorf("old connection: %v", err)
	}
	fresh := follow(t, cfg)
	if got := next(t, fresh, nil); got.Height != 2 {
		t.Errorf("new connection: height %d", got.Height)
	}
}

// longPoll waits for a template other than the present one.
func longPoll(ctx context.Context, c *node.Child, cfg node.Config) {
	text, err := c.Call(ctx, "getblocktemplate")
	var id struct{ LongPollID string }
	if err != nil || json.Unmarshal(text, &id) != nil { // no slot is free
		time.Sleep(10 * time.Millisecond)
		return
	}
	_, _ = post(ctx, cfg, `{"jsonrpc":"1.0","id":1,"method":"getblocktemplate","params":[`+
		`{"capabilities":["coinbasevalue"],"longpollid":"`+id.LongPollID+`"}]}`)
}

func post(ctx context.Context, cfg node.Config, body string) (int, error) {
	url := "http://" + cfg.Address
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(cfg.User, cfg.Password)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
