package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
)

// TargetConfig says what the server under test is like.
type TargetConfig struct {
	Dir      string // of the journals
	Stock    int    // handshake keys made ahead; 0: every handshake makes its own
	AckEvery int    // as stratum.Config
	Log      *slog.Logger
}

// target is the server under test with everything that it needs.
type target struct {
	cfg       TargetConfig
	chain     *chain
	feed      *pool.Feed
	watch     *node.Watch
	authority *noise.Authority
	identity  *noise.Identity
	journals  []storage.Journal
	shares    *ledger.Shares
	server    *stratum.Server
	ln        net.Listener
	text      []byte // of a full template; nil until one is wanted
}

// Target runs a server until its orders end or the context does. Orders come from r and are answered
// on w, one JSON object a line each; the first line on w says where the server is.
func Target(ctx context.Context, cfg TargetConfig, r io.Reader, w io.Writer) (err error) {
	t := &target{cfg: cfg, chain: newChain(), feed: pool.NewFeed()}
	defer func() {
		for _, j := range t.journals {
			err = errors.Join(err, j.Close())
		}
	}()
	if err := t.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	failures := make(chan error, 5)                    // one of each below
	wg.Go(func() { failures <- t.server.Run(ctx) })    // ends with ctx
	wg.Go(func() { failures <- t.server.Serve(t.ln) }) // ends with the listener
	wg.Go(func() { failures <- t.watch.Run(ctx) })     // ends with ctx
	wg.Go(func() { failures <- t.shares.Run(ctx) })    // ends with ctx
	wg.Go(func() { failures <- t.keys(ctx) })          // ends with ctx
	orders := make(chan error, 1)
	go func() { orders <- t.obey(r, w) }() // ends with r, or with the process: a read of stdin cannot be cut
	select {
	case err = <-orders:
	case err = <-failures:
	case <-ctx.Done():
	}
	cancel()
	_ = t.ln.Close()
	wg.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open makes everything and begins to listen.
func (t *target) open(ctx context.Context) (err error) {
	book, err := bolt.Open(filepath.Join(t.cfg.Dir, "book.db"), bolt.Options{})
	if err != nil {
		return err
	}
	t.journals = append(t.journals, book)
	shares, err := wal.Open(filepath.Join(t.cfg.Dir, "shares.wal"), wal.Options{})
	if err != nil {
		return err
	}
	t.journals = append(t.journals, shares)
	t.shares, err = ledger.NewShares(ctx, shares, book, ledger.DefaultConfig())
	if err != nil {
		return err
	}
	script := append([]byte{0x00, 0x14}, make([]byte, 20)...)
	maker, err := pool.NewAssembler(pool.CoinbaseConfig{Script: script, Tag: "load"}, 1)
	if err != nil {
		return err
	}
	t.watch = node.NewWatch(t.chain, maker, t.feed, t.cfg.Log)
	if err := t.openIdentity(); err != nil {
		return err
	}
	t.server, err = stratum.New(serverConfig(t.cfg.AckEvery), stratum.Rooms{
		Feed: t.feed, Assembler: maker, Registry: fleet.NewRegistry(), Authorize: anybody{},
		Credit: t.shares, Blocks: t.chain, Identity: func() *noise.Identity { return t.identity },
	}, t.cfg.Log)
	if err != nil {
		return err
	}
	t.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	return err
}

// freeShares is a difficulty so low that every hash meets it: one hash has 2.3e-10. What Stratum V1 says of
// it has three digits, and is met by all but 7 in 10,000.
const freeShares = 1e-12

// serverConfig is the server's default but for what makes shares free: the lowest floor, which no share
// misses, and a ceiling that is the same. Vardiff does all its work, and whatever it makes of the rate, and
// of the bursts after a stall, the target stays.
func serverConfig(ackEvery int) stratum.Config {
	cfg := stratum.DefaultConfig()
	cfg.MinDifficulty, cfg.MaxDifficulty, cfg.SharesPerMinute = freeShares, freeShares, 6000
	cfg.AckEvery = ackEvery
	cfg.OpenTimeout = time.Hour // a storm's connections have no channel until the storm is over
	cfg.MaxPerAddress = cfg.MaxSessions
	cfg.MaxHandshakes, cfg.HandshakeBurst = cfg.MaxSessions, 1<<30 // the storms are from one address
	return cfg
}

func (t *target) openIdentity() (err error) {
	if t.authority, err = noise.NewAuthority(); err != nil {
		return err
	}
	now := time.Now()
	t.identity, err = noise.NewIdentity(t.authority, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err == nil && t.cfg.Stock > 0 {
		t.identity.Stock = noise.NewStock(t.cfg.Stock)
	}
	return err
}

// keys fills the stock of ephemeral keys.
func (t *target) keys(ctx context.Context) error {
	if t.identity.Stock != nil {
		return t.identity.Stock.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// anybody lets every well-formed identity mine, as the product does.
type anybody struct{}

func (anybody) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	_, worker, err := pool.ParseIdentity(identity)
	if err != nil {
		return "", fmt.Errorf("authorizing: %w", err)
	}
	return worker, nil
}
