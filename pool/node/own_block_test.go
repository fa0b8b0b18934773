package node_test

import (
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/node/nodetest"
)

// way is the way of an own block: relay over emulated nodes, watch, feed.
type way struct {
	nodes  []*nodetest.Core
	blocks *fakeBlocks
	relay  *node.Relay
	feed   *pool.Feed
	maker  *pool.Assembler
}

// newWay runs it until the test ends, and returns when there is full work.
func newWay(tb testing.TB, nodes ...*nodetest.Core) *way {
	tb.Helper()
	w := &way{nodes: nodes, blocks: newBlocks(), feed: pool.NewFeed()}
	var sources []node.Source
	for _, e := range nodes {
		c, err := node.NewCore(e.Config(tb))
		if err != nil {
			tb.Fatal(err)
		}
		sources = append(sources, c)
	}
	var err error
	if w.maker, err = pool.NewAssembler(pool.CoinbaseConfig{Script: anyoneScript}, 1); err != nil {
		tb.Fatal(err)
	}
	w.relay = newRelay(tb, tb.TempDir(), w.blocks, sources...)
	run(tb, node.NewWatch(w.relay, w.maker, w.feed, quiet).Run)
	run(tb, w.relay.Run)
	w.await(tb, func(r *pool.Round) bool { return r.Full != nil })
	return w
}

// await waits for a round that is wanted.
func (w *way) await(tb testing.TB, want func(*pool.Round) bool) *pool.Round {
	tb.Helper()
	wake, cancel := w.feed.Subscribe()
	defer cancel()
	late := time.After(deadline)
	for {
		if r := w.feed.Current(); r != nil && want(r) {
			return r
		}
		select {
		case <-wake:
		case <-late:
			tb.Fatalf("no such round; the newest is %+v", w.feed.Current())
		}
	}
}

// heldSubmits makes a node answer submitblock only after release, and tells that it was asked.
func heldSubmits(e *nodetest.Core) (asked <-chan struct{}, release func()) {
	called, gate := make(chan struct{}, 100), make(chan struct{})
	e.Set(func() {
		e.Holds["submitblock"] = func() {
			called <- struct{}{}
			<-gate
		}
	})
	return called, sync.OnceFunc(func() { close(gate) })
}

// Ensure that an own block is the tip of the miners' feed before any node has answered; that it stays when
// a node takes it, and that the old tip is back when all refuse it.
func TestRelay_OwnBlockIsPublishedBeforeTheNodesAnswer(t *testing.T) {
	t.Parallel()
	for name, verdict := range map[string]string{"taken": "", "refused by all": "bad-cb-amount"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := nodetest.NewCore(t), nodetest.NewCore(t)
			w := newWay(t, one, two)
			before := w.feed.Current()
			one.Set(func() { one.Verdict = verdict })
			two.Set(func() { two.Verdict = verdict })
			asked1, release1 := heldSubmits(one)
			asked2, release2 := heldSubmits(two)
			defer release1()
			defer release2()
			block := solve(t, before.Best().Template)
			if err := w.relay.SubmitBlock(t.Context(), block); err != nil {
				t.Fatal(err)
			}
			ahead := w.await(t, func(r *pool.Round) bool { return r.Tip.Prev == block.Hash })
			if ahead.Tip.Height != block.Height+1 || ahead.Full != nil {
				t.Errorf("the round ahead is %+v", ahead)
			}
			<-asked1
			<-asked2
			if outcome := w.blocks.outcome(block); outcome != "" {
				t.Errorf("nobody has answered, and the outcome is %q", outcome)
			}
			release1()
			release2()
			outcome := w.blocks.await(t, block)
			if verdict == "" {
				full := w.await(t, func(r *pool.Round) bool {
					return r.Full != nil && r.Tip.Prev == block.Hash
				})
				if outcome != node.OutcomeAccepted || full.Seq <= ahead.Seq {
					t.Errorf("outcome %q, round %+v", outcome, full.Tip)
				}
				return
			}
			back := w.await(t, func(r *pool.Round) bool {
				return r.Seq > ahead.Seq && r.Tip.Prev == before.Tip.Prev
			})
			if back.Full == nil || back.Tip.Height != block.Height {
				t.Errorf("after the refusal the round is %+v", back)
			}
		})
	}
}

// Ensure that a new tip goes out while the node is still busy with the full template before it.
func TestCore_NewTipDoesNotWaitForATemplate(t *testing.T) {
	t.Parallel()
	e := nodetest.NewCore(t)
	w := newWay(t, e)
	before := w.feed.Current()
	asked, gate := make(chan struct{}, 100), make(chan struct{})
	defer close(gate)
	e.Set(func() {
		e.Holds["getblocktemplate"] = func() {
			asked <- struct{}{}
			<-gate
		}
	})
	<-asked // the template is being made, for as long as the gate is shut
	block := solve(t, before.Best().Template)
	if result, failed := e.Take(block); result != nil || failed != nil {
		t.Fatalf("emulator: %v %v", result, failed)
	}
	r := w.await(t, func(r *pool.Round) bool { return r.Tip.Prev == block.Hash })
	if r.Full != nil || r.Tip.Height != block.Height+1 {
		t.Errorf("round %+v", r)
	}
}
