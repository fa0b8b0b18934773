package node_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage/mem"
)

var quiet = slog.New(slog.DiscardHandler)

// fakeNode is a node under the test's thumb.
type fakeNode struct {
	name string

	mu       sync.Mutex
	template *pool.Template
	err      error
	verdict  error
	got      []chainhash.Hash
	chain    map[int32]chainhash.Hash // its best one
	looked   int                      // calls of BlockAt
}

// BlockAt is nil where the chain has nothing.
func (f *fakeNode) BlockAt(_ context.Context, height int32) (*chainhash.Hash, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	if at, ok := f.chain[height]; ok {
		return &at, nil
	}
	return nil, nil
}

// advance puts a block at a height and gives the template after the newest.
func (f *fakeNode) advance(at int32, hash chainhash.Hash, newest int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chain[at] = hash
	f.template = template(newest + 1)
}

func (f *fakeNode) Name() string      { return f.name }
func (f *fakeNode) State() node.State { return node.State{Phase: node.Ready} }

func (f *fakeNode) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (f *fakeNode) set(t *pool.Template, err, verdict error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.template, f.err, f.verdict = t, err, verdict
}

func (f *fakeNode) sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

func (f *fakeNode) Next(ctx context.Context, after *pool.Template) (*pool.Template, error) {
	for {
		f.mu.Lock()
		t, err := f.template, f.err
		f.mu.Unlock()
		if err != nil || t != after && t != nil {
			return t, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (f *fakeNode) SubmitBlock(_ context.Context, b *pool.Block) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, b.Hash)
	return f.verdict
}

// fakeBlocks is a journal under the test's thumb.
type fakeBlocks struct {
	mu       sync.Mutex
	err      error
	found    map[chainhash.Hash]int
	outcomes map[chainhash.Hash]string
}

func newBlocks() *fakeBlocks {
	return &fakeBlocks{found: make(map[chainhash.Hash]int), outcomes: make(map[chainhash.Hash]string)}
}

func (f *fakeBlocks) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeBlocks) Found(_ context.Context, b *pool.Block) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.found[b.Hash]++
	return nil
}

func (f *fakeBlocks) Outcome(_ context.Context, hash chainhash.Hash, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.outcomes[hash] = text
	return nil
}

func (f *fakeBlocks) Accepted() (list []*pool.Block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for hash, text := range f.outcomes {
		if text == node.OutcomeAccepted || strings.HasPrefix(text, node.OutcomeOrphaned) {
			list = append(list, &pool.Block{Hash: hash, Height: 7})
		}
	}
	return list
}

func (f *fakeBlocks) outcome(b *pool.Block) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcomes[b.Hash]
}

func (f *fakeBlocks) times(b *pool.Block) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[b.Hash]
}

// await waits for a block's outcome.
func (f *fakeBlocks) await(t *testing.T, b *pool.Block) string {
	t.Helper()
	for until := time.Now().Add(deadline); f.outcome(b) == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no outcome")
		}
	}
	return f.outcome(b)
}

// fakeBlock is in form, as far as a relay looks.
func fakeBlock(n uint32) *pool.Block {
	raw := make([]byte, 200)
	binary.LittleEndian.PutUint32(raw, n)
	raw[4] = 9
	return &pool.Block{
		Hash: chainhash.DoubleHashH(raw[:80]), Prev: chainhash.Hash{9}, Height: 7,
		Worker: "a.b", Value: 5, Raw: raw,
	}
}

func template(height int32) *pool.Template {
	return &pool.Template{Tip: pool.Tip{Height: height, Bits: 0x207fffff, Prev: chainhash.Hash{byte(height)}}}
}

var (
	errAway    = fmt.Errorf("gone: %w", pool.ErrNodeNotReady)
	errRefused = fmt.Errorf("%w: bad-cb-amount", node.ErrRefused)
)

func newRelay(tb testing.TB, dir string, blocks node.Blocks, nodes ...node.Source) *node.Relay {
	tb.Helper()
	r, err := node.NewRelay(dir, blocks, quiet, nodes...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func files(tb testing.TB, dir string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	return names
}

// bubble runs a test with a relay in a bubble of its own time.
func bubble(
	t *testing.T, nodes []*fakeNode,
	test func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, dir string),
) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		blocks := newBlocks()
		sources := make([]node.Source, len(nodes))
		for i, n := range nodes {
			sources[i] = n
		}
		r := newRelay(t, dir, blocks, sources...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		test(ctx, r, blocks, dir)
		cancel()
		wg.Wait()
	})
}

// Ensure templates come from the first node while it is ready, and from the next one while not.
func TestRelay_FailsOverAndBack(t *testing.T) {
	a, b := &fakeNode{name: "a"}, &fakeNode{name: "b"}
	bubble(t, []*fakeNode{a, b}, func(ctx context.Context, r *node.Relay, _ *fakeBlocks, _ string) {
		ta, tb, tc, td := template(5), template(5), template(5), template(9)
		want := func(after, want *pool.Template) {
			t.Helper()
			if got, err := r.Next(ctx, after); got != want || err != nil {
				t.Errorf("%+v %v, want %+v", got, err, want)
			}
		}
		a.set(ta, nil, nil)
		want(nil, ta)
		b.set(tb, nil, nil)
		time.Sleep(time.Second)
		a.set(nil, errAway, nil)
		want(ta, tb)
		a.set(tc, nil, nil)
		want(tb, tc)
		b.set(td, nil, nil) // a falls behind: it is ready no more
		want(tc, td)
		a.set(nil, errAway, nil)
		time.Sleep(time.Second) // or a would be ready again when b is not
		b.set(nil, errAway, nil)
		_, err := r.Next(ctx, td)
		if !errors.Is(err, pool.ErrNodeNotReady) || strings.Count(err.Error(), "gone") != 2 {
			t.Errorf("error %v", err)
		}
		if states := r.States(); len(states) != 2 || states[1].Name != "b" {
			t.Errorf("states %v", states)
		}
	})
}

// Ensure a block goes to all nodes, and that one of them is enough.
func TestRelay_OneAcceptanceIsEnough(t *testing.T) {
	a, b := &fakeNode{name: "a", verdict: errRefused}, &fakeNode{name: "b", verdict: errAway}
	bubble(t, []*fakeNode{a, b}, func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, dir string) {
		block := fakeBlock(1)
		for range 2 {
			if err := r.SubmitBlock(ctx, block); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		got := blocks.outcome(block)
		if a.sent() != 1 || b.sent() != 1 || got != "" || len(files(t, dir)) != 1 {
			t.Errorf("sent %d and %d, outcome %q, files %v", a.sent(), b.sent(), got, files(t, dir))
		}
		b.set(nil, nil, nil)
		time.Sleep(time.Minute)
		got = blocks.outcome(block)
		if a.sent() != 1 || b.sent() != 2 || got != node.OutcomeAccepted || len(files(t, dir)) != 0 {
			t.Errorf("sent %d and %d, outcome %q, files %v", a.sent(), b.sent(), got, files(t, dir))
		}
		want := node.RelayStats{Found: 1, Accepted: 1, Resent: 1}
		if got := r.Stats(); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

// Ensure a refusal counts when all nodes have said it, or the others stay away.
func TestRelay_RefusalNeedsAllNodes(t *testing.T) {
	a, b := &fakeNode{name: "a", verdict: errRefused}, &fakeNode{name: "b", verdict: errRefused}
	bubble(t, []*fakeNode{a, b}, func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, dir string) {
		first, second := fakeBlock(1), fakeBlock(2)
		if err := r.SubmitBlock(ctx, first); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := blocks.outcome(first)
		if !strings.HasPrefix(got, node.OutcomeRefused) || strings.Count(got, "bad-cb") != 2 {
			t.Errorf("outcome %q", got)
		}
		b.set(nil, errAway, errAway)
		if err := r.SubmitBlock(ctx, second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := blocks.outcome(second); got != "" {
			t.Errorf("outcome %q after five minutes", got)
		}
		time.Sleep(6 * time.Minute)
		if got := blocks.outcome(second); !strings.HasPrefix(got, node.OutcomeRefused) {
			t.Errorf("outcome %q after eleven minutes", got)
		}
		if got := r.Stats(); got.Refused != 2 || got.Pending != 0 || len(files(t, dir)) != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

// Ensure a node that comes back gets what waits for it at once.
func TestRelay_SendsWhenNodeIsBack(t *testing.T) {
	a := &fakeNode{name: "a", err: errAway, verdict: errAway}
	bubble(t, []*fakeNode{a}, func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, _ string) {
		block := fakeBlock(1)
		if err := r.SubmitBlock(ctx, block); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // the next attempt is up to half a minute away
		a.set(template(7), nil, nil)
		time.Sleep(time.Second)
		if got := blocks.outcome(block); got != node.OutcomeAccepted {
			t.Errorf("outcome %q", got)
		}
	})
}

// Ensure nothing leaves the spool before the journal has it.
func TestRelay_SpoolOutlastsJournalFaults(t *testing.T) {
	a := &fakeNode{name: "a"}
	bubble(t, []*fakeNode{a}, func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, dir string) {
		blocks.fail(errors.New("disk is full"))
		block := fakeBlock(1)
		if err := r.SubmitBlock(ctx, block); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(files(t, dir)) != 1 || r.Stats().Accepted != 1 {
			t.Errorf("files %v, stats %+v", files(t, dir), r.Stats())
		}
		blocks.fail(nil)
		time.Sleep(time.Minute)
		got := blocks.outcome(block)
		if len(files(t, dir)) != 0 || blocks.times(block) != 1 || got != node.OutcomeAccepted {
			t.Errorf("files %v, found %d times", files(t, dir), blocks.times(block))
		}
	})
}

// Ensure blocks that nobody takes are bounded, and nonsense is not taken.
func TestRelay_BoundsPendingBlocks(t *testing.T) {
	a := &fakeNode{name: "a", verdict: errAway}
	bubble(t, []*fakeNode{a}, func(ctx context.Context, r *node.Relay, _ *fakeBlocks, dir string) {
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = r.SubmitBlock(ctx, fakeBlock(uint32(n)))
		}
		if !errors.Is(err, node.ErrSpoolFull) || n != 129 || len(files(t, dir)) != 128 {
			t.Errorf("block %d: %v; %d files", n, err, len(files(t, dir)))
		}
		for _, edit := range []func(*pool.Block){
			func(b *pool.Block) { b.Hash[0]++ },
			func(b *pool.Block) { b.Prev[0]++ },
			func(b *pool.Block) { b.Height = 0 },
			func(b *pool.Block) { b.Raw = b.Raw[:79] },
			func(b *pool.Block) { b.Raw = append(b.Raw, make([]byte, 4_000_000)...) },
		} {
			bad := fakeBlock(0xffff)
			edit(bad)
			if err := r.SubmitBlock(ctx, bad); err == nil || errors.Is(err, node.ErrSpoolFull) {
				t.Errorf("error %v", err)
			}
		}
	})
}

// Ensure a restart takes up whole spool files and puts others aside.
func TestNewRelay_TakesUpSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	a := &fakeNode{name: "a", verdict: errAway}
	block := fakeBlock(1)
	if err := newRelay(t, dir, newBlocks(), a).SubmitBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"torn.block":  string(text[:len(text)-1]),
		"other.block": string(text),
		"empty.block": "",
		".new-123":    "half of a blo",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.set(nil, nil, nil)
	blocks := newBlocks()
	r := newRelay(t, dir, blocks, a)
	run(t, r.Run)
	blocks.await(t, block)
	for until := time.Now().Add(deadline); len(files(t, dir)) != 3; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("files %v", files(t, dir))
		}
	}
	for _, name := range files(t, dir) {
		if !strings.HasSuffix(name, ".bad") {
			t.Errorf("file %s is left", name)
		}
	}
}

// Ensure a relay without nodes or a place for its spool is refused.
func TestNewRelay_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := node.NewRelay(t.TempDir(), newBlocks(), quiet)
	if err == nil || !strings.Contains(err.Error(), "nodes") {
		t.Errorf("error %v", err)
	}
	for _, dir := range []string{"", "/dev/null/spool"} {
		_, err := node.NewRelay(dir, newBlocks(), quiet, &fakeNode{})
		if err == nil || !strings.Contains(err.Error(), "spool") {
			t.Errorf("error %v", err)
		}
	}
}

// Ensure a block that was found while the node was dead is on its chain after both have restarted.
func TestRelay_BlockSurvivesNodeAndPool(t *testing.T) {
	t.Parallel()
	c := startChild(t, network(t, "regtest"))
	dir := t.TempDir()
	source := func() node.Source {
		b, err := node.NewBtcd(c.Config())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := newRelay(t, dir, newBlocks(), source())
	stop := run(t, first.Run)
	tmpl := next(t, first, nil)
	c.Kill() // btcd loses blocks of its last minutes then: the block to come is the first one
	block := solve(t, tmpl)
	if err := first.SubmitBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	awaitNotReady(t, first, tmpl, block)
	stop()
	if len(files(t, dir)) != 1 {
		t.Fatalf("spool %v", files(t, dir))
	}

	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	blocks := newBlocks()
	again := newRelay(t, dir, blocks, source())
	run(t, again.Run)
	nextWhere(t, again, func(got *pool.Template) bool { return got.Prev == block.Hash })
	if got := blocks.await(t, block); got != node.OutcomeAccepted {
		t.Errorf("outcome %q, stats %+v", got, again.Stats())
	}
}

// awaitNotReady waits until the death of the node that gave tmpl is noticed. Until then our own block may
// be stepped ahead onto, and taken back when it cannot be sent.
func awaitNotReady(t *testing.T, r *node.Relay, tmpl *pool.Template, block *pool.Block) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for after := tmpl; ; {
		got, err := r.Next(ctx, after)
		switch {
		case errors.Is(err, pool.ErrNodeNotReady):
			return
		case err != nil:
			t.Fatalf("error %v", err)
		case got != tmpl && (got.Prev != block.Hash || !got.Partial):
			t.Fatalf("a dead node gave a template on %v at height %d", got.Prev, got.Height)
		}
		after = got
	}
}

// Ensure a block that one of two unconnected nodes refuses counts when the other takes it.
func TestRelay_SendsToAllNodes(t *testing.T) {
	t.Parallel()
	regtest := network(t, "regtest")
	children := []*node.Child{startChild(t, regtest), startChild(t, regtest)}
	var sources []node.Source
	for _, c := range children {
		b, err := node.NewBtcd(c.Config())
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, b)
	}
	blocks := newBlocks()
	r := newRelay(t, t.TempDir(), blocks, sources...)
	run(t, r.Run)
	block := solve(t, next(t, r, nil))
	for _, s := range sources {
		waitState(t, s, func(s node.State) bool { return s.Phase == node.Ready })
	}
	if err := r.SubmitBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		nextWhere(t, s, func(got *pool.Template) bool { return got.Prev == block.Hash })
	}
	blocks.await(t, block)
	// The outcome is settled by the first node that has the block; the other has its own time.
	for _, c := range children {
		for until := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
			got := strings.Trim(call(t, c, "getbestblockhash"), `"`)
			if got == block.Hash.String() {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("best block %s, want %v", got, block.Hash)
			}
		}
	}
}

// Ensure that an accepted block that a reorganisation takes off the best chain is journaled as orphaned, is
// accepted again when it comes back, and is left alone when it is deep enough.
func TestRelay_RevisesAcceptedBlocks(t *testing.T) {
	b, rival := fakeBlock(1), chainhash.Hash{42}
	n := &fakeNode{name: "one", template: template(7), chain: map[int32]chainhash.Hash{}}
	bubble(t, []*fakeNode{n}, func(ctx context.Context, r *node.Relay, blocks *fakeBlocks, _ string) {
		if err := r.SubmitBlock(ctx, b); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at     chainhash.Hash
			newest int32
			want   string
		}{
			{b.Hash, 7, node.OutcomeAccepted},
			{rival, 8, node.OutcomeOrphaned + fmt.Sprintf("block %v has height 7", rival)},
			{b.Hash, 9, node.OutcomeAccepted},
		} {
			n.advance(7, step.at, step.newest)
			time.Sleep(time.Second)
			if got := blocks.outcome(b); got != step.want {
				t.Errorf("with %v at its height the outcome is %q, want %q", step.at, got, step.want)
			}
		}
		n.advance(7, rival, 120)
		looked := n.looked
		time.Sleep(time.Second)
		if got := blocks.outcome(b); got != node.OutcomeAccepted || n.looked != looked {
			t.Errorf("a block 113 deep is looked at %d times again and is %q", n.looked-looked, got)
		}
	})
}

// Ensure that a block of ours that a real node takes off its best chain, because another's chain is longer,
// is orphaned in the ledger's records, which commands and the console show.
func TestRelay_RevisesAfterARealReorganisation(t *testing.T) {
	t.Parallel()
	regtest := network(t, "regtest")
	ours, theirs := startChild(t, regtest), startChild(t, regtest)
	near, err := node.NewBtcd(ours.Config())
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := ledger.NewBlocks(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, t.TempDir(), blocks, near)
	run(t, r.Run)
	block := solve(t, next(t, r, nil))
	if err := r.SubmitBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	listed := func(want string) {
		t.Helper()
		var got []ledger.FoundBlock
		for until := time.Now().Add(2 * deadline); ; time.Sleep(10 * time.Millisecond) {
			got = blocks.List()
			if len(got) == 1 && got[0].Hash == block.Hash && got[0].Outcome == want {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("records %+v, want outcome %q", got, want)
			}
		}
	}
	listed(node.OutcomeAccepted)

	call(t, theirs, "generate", 2) // they have not heard of it
	rival := strings.Trim(call(t, theirs, "getblockhash", 1), `"`)
	call(t, ours, "addnode", theirs.P2P(), "add")
	listed(node.OutcomeOrphaned + fmt.Sprintf("block %v has height 1", rival))
	if s := blocks.Stats(); s.Found != 1 || s.Accepted != 0 {
		t.Errorf("stats %+v", s)
	}
}
