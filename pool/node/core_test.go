package node_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/node/nodetest"
)

func followCore(tb testing.TB, cfg node.Config) *node.Core {
	tb.Helper()
	c, err := node.NewCore(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, c.Run)
	return c
}

func witnessTx() *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 7}, nil, [][]byte{{0x51}}))
	tx.AddTxOut(wire.NewTxOut(1, anyoneScript))
	return tx
}

// Ensure blocks with and without transactions get onto Core's chain, over few connections.
func TestCore_TakesSolvedBlocks(t *testing.T) {
	t.Parallel()
	e := nodetest.NewCore(t)
	c := followCore(t, e.Config(t))
	last := next(t, c, nil)
	for height := int32(1); height < 15; height++ {
		full := nextWhere(t, c, func(got *pool.Template) bool { return got.Height == height && !got.Partial })
		if full.Commitment == nil {
			t.Fatalf("template without commitment: %+v", full)
		}
		block := solve(t, full)
		if height%3 == 0 { // made without us: heard by asking
			if result, failed := e.Take(block); result != nil || failed != nil {
				t.Fatalf("emulator: %v %v", result, failed)
			}
			continue
		}
		if err := c.SubmitBlock(t.Context(), block); err != nil {
			t.Fatal(err)
		}
	}
	e.Set(func() { e.Tx, e.Fee = witnessTx(), 5000 })
	paid := nextWhere(t, c, func(got *pool.Template) bool { return got.Fees() == 5000 })
	if paid.Tip.Height != 15 || paid.Prev == last.Prev {
		t.Errorf("template %+v", paid.Tip)
	}
	block := solve(t, paid)
	for range 2 {
		if err := c.SubmitBlock(t.Context(), block); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := c.BlockAt(t.Context(), block.Height); err != nil || at == nil || *at != block.Hash {
		t.Errorf("at its height is %v, %v", at, err)
	}
	if at, err := c.BlockAt(t.Context(), block.Height+1); err != nil || at != nil {
		t.Errorf("above it is %v, %v", at, err)
	}
	e.Set(func() {
		if len(e.Conns) > 6 {
			t.Errorf("%d connections were opened", len(e.Conns))
		}
	})
}

// Ensure Core's words for blocks that it does not have on its best chain are understood.
func TestCore_UnderstandsRefusals(t *testing.T) {
	t.Parallel()
	e := nodetest.NewCore(t)
	c := followCore(t, e.Config(t))
	tmpl := next(t, c, nil)
	winner, loser := solve(t, tmpl), solve(t, tmpl)
	greedy := *tmpl
	greedy.Value++
	above := *tmpl
	above.Prev, above.Height = loser.Hash, 5
	broken := *winner
	broken.Raw = broken.Raw[:90]

	check := func(b *pool.Block, kind error, want string) {
		t.Helper()
		err := c.SubmitBlock(t.Context(), b)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	check(solve(t, &greedy), node.ErrRefused, "bad-cb-amount")
	check(&broken, node.ErrRefused, "Block decode failed")
	check(solve(t, &above), pool.ErrNodeNotReady, "behind: node does not know the chain so far")
	if err := c.SubmitBlock(t.Context(), winner); err != nil {
		t.Fatal(err)
	}
	check(loser, node.ErrRefused, "lost the race")
	check(loser, node.ErrRefused, "lost the race") // duplicate-inconclusive
}

// Ensure what Core says about itself becomes a state, and that it passes.
func TestCore_StatesComeAndGo(t *testing.T) {
	t.Parallel()
	e := nodetest.NewCore(t)
	c := followCore(t, e.Config(t))
	next(t, c, nil)
	fails := func(code int, message string) func() {
		return func() { e.Failure = &nodetest.Failure{Code: code, Message: message} }
	}
	for _, tt := range []struct {
		want   string
		broken func()
		well   func()
	}{
		{
			`syncing: node says "Bitcoin Core is in initial sync and waiting for blocks..." (code -10)`,
			fails(-10, "Bitcoin Core is in initial sync and waiting for blocks..."),
			func() { e.Failure = nil },
		},
		{
			`no peers: node says "Bitcoin Core is not connected!" (code -9)`,
			fails(-9, "Bitcoin Core is not connected!"), func() { e.Failure = nil },
		},
		{
			`starting: node says "Loading block index…" (code -28)`,
			func() { e.Warming = true }, func() { e.Warming = false },
		},
		{`wrong network: it is on main, the configuration says regtest`, func() {
			e.Chain, e.Password = "main", "two" // a new session finds it
		}, func() { e.Chain = "regtest" }},
		{`Work queue depth exceeded`, func() { e.Busy = 1 }, func() {}},
	} {
		e.Set(tt.broken)
		if strings.Contains(tt.want, "wrong network") {
			e.NewCookie(t, "two")
		}
		waitState(t, c, func(s node.State) bool { return strings.Contains(s.String(), tt.want) })
		e.Set(tt.well)
		waitState(t, c, func(s node.State) bool { return s.Phase == node.Ready })
	}
	e.Set(func() { e.Password = "three" })
	waitState(t, c, func(s node.State) bool { return s.Phase == node.Denied })
	e.NewCookie(t, "three")
	waitState(t, c, func(s node.State) bool { return s.Phase == node.Ready })
}

// waitState waits until the node's state is as wanted.
func waitState(t *testing.T, n node.Source, want func(node.State) bool) {
	t.Helper()
	for until := time.Now().Add(deadline); !want(n.State()); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("state %q", n.State())
		}
	}
}

// Ensure a server that is no node at all is refused in words.
func TestCore_RefusesOtherServers(t *testing.T) {
	t.Parallel()
	for want, handler := range map[string]http.HandlerFunc{
		"broken: calling getblockchaininfo: the node answers 200 OK": func(
			w http.ResponseWriter, _ *http.Request,
		) {
			_, _ = w.Write([]byte("<html>"))
		},
		"broken: node answers out of form: field id": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"id":99,"result":1}`))
		},
		"access denied: node does not accept the user and password: it does not accept this machine": func(
			w http.ResponseWriter, _ *http.Request,
		) {
			w.WriteHeader(http.StatusForbidden)
		},
		"the node answers 302 Found": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
	} {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		c := followCore(t, node.Config{
			Network: network(t, "regtest"), Address: strings.TrimPrefix(s.URL, "http://"),
			User: "u", Password: "p",
		})
		if _, err := c.Next(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
