package node_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
)

// deadline bounds every wait for a real node. Nothing takes nearly as long.
const deadline = 20 * time.Second

// buildOnce builds btcd for the whole test process.
var buildOnce = sync.OnceValues(func() (string, error) {
	return node.BuildBtcd(context.Background(), func(line string) { fmt.Fprintln(os.Stderr, line) })
})

// TestMain is the parent of an orphan when it is asked to be.
func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanDir); dir != "" {
		bearOrphan(dir)
		return
	}
	os.Exit(m.Run())
}

// anyoneScript pays whoever shows OP_TRUE: a P2WSH output that a test can spend.
var anyoneScript = []byte{
	0x00, 0x20, 0x4a, 0xe8, 0x15, 0x72, 0xf0, 0x6e, 0x1b, 0x88, 0xfd, 0x5c, 0xed, 0x7a, 0x1a, 0x00,
	0x09, 0x45, 0x43, 0x2e, 0x83, 0xe1, 0x55, 0x1e, 0x6f, 0x72, 0x1e, 0xe9, 0xc0, 0x0b, 0x8c, 0xc3,
	0x32, 0x60,
}

// startChild starts a btcd that ends with the test.
func startChild(tb testing.TB, network *chaincfg.Params, connect ...string) *node.Child {
	tb.Helper()
	path, err := buildOnce()
	if err != nil {
		tb.Fatal(err)
	}
	c, err := node.NewChild(node.ChildConfig{
		Path: path, Dir: tb.TempDir(), Network: network, Connect: connect,
		Address: anyoneAddress(tb, network),
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Kill)
	return c
}

// run runs something until the test ends, and waits for it.
func run(tb testing.TB, f func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// follow returns a running Btcd on a child.
func follow(tb testing.TB, cfg node.Config) *node.Btcd {
	tb.Helper()
	b, err := node.NewBtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, b.Run)
	return b
}

// followHeld is follow, but each template waits for a value sent to gate.
func followHeld(tb testing.TB, cfg node.Config) (b *node.Btcd, gate chan<- struct{}) {
	tb.Helper()
	cfg.Timeout = deadline
	b, err := node.NewBtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	gate = b.HoldTemplates()
	run(tb, b.Run)
	return b, gate
}

// next waits for a template other than after.
func next(tb testing.TB, n pool.Node, after *pool.Template) *pool.Template {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), deadline)
	defer cancel()
	t, err := n.Next(ctx, after)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// nextWhere waits for a template that want accepts.
func nextWhere(tb testing.TB, n pool.Node, want func(*pool.Template) bool) *pool.Template {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), deadline)
	defer cancel()
	var t *pool.Template
	for {
		got, err := n.Next(ctx, t)
		if err == nil && want(got) {
			return got
		}
		if ctx.Err() != nil {
			tb.Fatalf("no such template in time: %v", err)
		}
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		t = got
	}
}

func call(tb testing.TB, c *node.Child, method string, params ...any) string {
	tb.Helper()
	text, err := c.Call(tb.Context(), method, params...)
	if err != nil {
		tb.Fatalf("%s: %v", method, err)
	}
	return string(text)
}

// solve mines the template. Each call gives another block.
func solve(tb testing.TB, t *pool.Template) *pool.Block {
	tb.Helper()
	var salt uint16
	salts.Lock()
	salts.last++
	salt = salts.last
	salts.Unlock()
	a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: anyoneScript, Tag: "/test/"}, salt)
	if err != nil {
		tb.Fatal(err)
	}
	round, err := a.Advance(nil, t)
	if err != nil {
		tb.Fatal(err)
	}
	job := round.Best()
	prefix, roll := make([]byte, 4), make([]byte, pool.ExtranonceSize-4)
	root := job.Root(prefix, roll)
	var h [80]byte
	binary.LittleEndian.PutUint32(h[0:], job.Version)
	copy(h[4:], t.Prev[:])
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], t.Time)
	binary.LittleEndian.PutUint32(h[72:], t.Bits)
	hash := grind(&h, t.Target())
	return &pool.Block{
		Hash: hash, Prev: t.Prev, Height: t.Height, Worker: "alice.rig", Value: t.Value,
		Raw: job.AppendBlock(nil, &h, prefix, roll),
	}
}

var salts struct {
	sync.Mutex
	last uint16
}

// grind finds a nonce that meets the target.
func grind(h *[80]byte, target pool.Target) chainhash.Hash {
	for nonce := uint32(0); ; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		hash := chainhash.DoubleHashH(h[:])
		if target.Meets((*[32]byte)(&hash)) {
			return hash
		}
	}
}

func network(tb testing.TB, name string) *chaincfg.Params {
	tb.Helper()
	p, err := node.ParseNetwork(name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
