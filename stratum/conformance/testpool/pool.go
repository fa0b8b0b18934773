package testpool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
)

const (
	// bits is a network target that takes 2^16 hashes.
	bits = 0x1f00ffff
	// shareHashes is what the easiest share takes.
	shareHashes = 16
	// rotateEvery is how long a certificate lasts; backdate is how far back it begins.
	rotateEvery, backdate = 24 * time.Hour, time.Hour
	// drainLimit is how long a drain may take.
	drainLimit = 10 * time.Second
)

// Config is what the test pool's server does in the time of a test.
func Config() stratum.Config {
	cfg := stratum.DefaultConfig()
	cfg.SharesPerMinute = 6000 // what a rule submits in haste is no reason to retarget
	cfg.MinDifficulty = shareHashes / 0x1p32
	cfg.AckAfter = 200 * time.Millisecond
	cfg.HandshakeTimeout = 2 * time.Second
	cfg.OpenTimeout = 2 * time.Second
	cfg.DrainFor = 100 * time.Millisecond
	return cfg
}

// Pool is a running test pool.
type Pool struct {
	// immutable after Start
	cfg       stratum.Config
	authority *noise.Authority
	feed      *pool.Feed
	registry  *fleet.Registry
	assembler *pool.Assembler
	log       *slog.Logger
	control   net.Listener
	web       *http.Server
	wg        sync.WaitGroup

	identity atomic.Pointer[noise.Identity]

	mu      sync.Mutex
	address string          // guarded by mu
	server  *stratum.Server // guarded by mu
	round   *pool.Round     // guarded by mu
	last    *pool.Template  // guarded by mu
	payouts int             // guarded by mu: made by VerbGroup

	found struct {
		sync.Mutex
		hashes []string // guarded by the mutex
	}
}

// Start serves Stratum V2 on address and the control on control, both HOST:PORT.
func Start(
	ctx context.Context, cfg stratum.Config, address, control string, log *slog.Logger,
) (*Pool, error) {
	p := &Pool{cfg: cfg, feed: pool.NewFeed(), registry: fleet.NewRegistry(), log: log}
	var err error
	if p.authority, err = noise.NewAuthority(); err != nil {
		return nil, err
	}
	if err := p.rotate(); err != nil {
		return nil, err
	}
	payout := pool.CoinbaseConfig{Script: append([]byte{0x00, 0x14}, make([]byte, 20)...), Tag: "testpool"}
	if p.assembler, err = pool.NewAssembler(payout, 1); err != nil {
		return nil, fmt.Errorf("making the assembler: %w", err)
	}
	if err := p.publish(p.block()); err != nil {
		return nil, err
	}
	if err := p.serve(ctx, address); err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	if p.control, err = listen.Listen(ctx, "tcp", control); err != nil {
		p.Close()
		return nil, fmt.Errorf("listening for the control: %w", err)
	}
	p.web = &http.Server{Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second}
	p.wg.Go(func() { _ = p.web.Serve(p.control) }) // ends with Close
	return p, nil
}

// Address is where it serves Stratum V2.
func (p *Pool) Address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// Authority is its key.
func (p *Pool) Authority() noise.PublicKey { return p.authority.Public() }

// Control is the URL of its control.
func (p *Pool) Control() string { return "http://" + p.control.Addr().String() }

// Close ends it.
func (p *Pool) Close() {
	if p.web != nil {
		_ = p.web.Close()
	}
	_ = p.shutdown()
	p.wg.Wait()
}

// serve starts a server with the rooms that there are.
func (p *Pool) serve(ctx context.Context, address string) error {
	s, err := stratum.New(p.cfg, stratum.Rooms{
		Feed: p.feed, Assembler: p.assembler, Registry: p.registry,
		Authorize: p, Credit: p, Blocks: p, Identity: p.identity.Load,
		Solo: func(identity string) (pool.Payout, pool.WorkerID, error) {
			return pool.ParseSolo(identity, &chaincfg.RegressionNetParams)
		},
	}, p.log)
	if err != nil {
		return fmt.Errorf("making the server: %w", err)
	}
	var listen net.ListenConfig
	ln, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening for miners: %w", err)
	}
	p.mu.Lock()
	p.server, p.address = s, ln.Addr().String()
	p.mu.Unlock()
	p.wg.Go(func() { _ = s.Run(context.WithoutCancel(ctx)) }) // ends with Shutdown
	p.wg.Go(func() { _ = s.Serve(ln) })                       // ends with Shutdown
	return nil
}

// shutdown ends the server in order.
func (p *Pool) shutdown() error {
	p.mu.Lock()
	s := p.server
	p.mu.Unlock()
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	return s.Shutdown(ctx)
}

// rotate makes a new certificate.
func (p *Pool) rotate() error {
	now := time.Now()
	id, err := noise.NewIdentity(p.authority, now.Add(-backdate), now.Add(rotateEvery))
	if err != nil {
		return err
	}
	p.identity.Store(id)
	return nil
}

// block is a template on a block that somebody has just found.
func (p *Pool) block() *pool.Template {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &pool.Template{
		Tip:     pool.Tip{Height: 1000, Bits: bits, MinTime: uint32(time.Now().Unix()) - 600},
		Version: 0x20000000, Value: 50e8, Next: pool.NextBlock{Version: 0x20000000, Value: 50e8},
	}
	if p.last != nil {
		t.Height = p.last.Height + 1
	}
	_, _ = rand.Read(t.Prev[:]) // never fails
	fill(t)
	return t
}

// again is a template with other transactions on the same block.
func (p *Pool) again() *pool.Template {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := *p.last
	fill(&t)
	return &t
}

// fill makes up transactions. Nobody reads them: what counts is that the merkle path has some length.
func fill(t *pool.Template) {
	t.Time = uint32(time.Now().Unix())
	t.Txs = nil
	for range 3 {
		var tx pool.Tx
		_, _ = rand.Read(tx.ID[:]) // never fails
		t.Txs = append(t.Txs, tx)
	}
	t.Commitment = new(chainhash.Hash)
	_, _ = rand.Read(t.Commitment[:])
}

// publish hands a template to the server.
func (p *Pool) publish(t *pool.Template) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.assembler.Advance(p.round, t)
	if err != nil {
		return fmt.Errorf("assembling a round: %w", err)
	}
	p.round, p.last = r, t
	p.feed.Publish(r)
	return nil
}

// Authorize lets everybody in whose identity is one.
func (*Pool) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	_, worker, err := pool.ParseIdentity(identity)
	return worker, err
}

// Credit forgets the credits.
func (*Pool) Credit(context.Context, []pool.Credit) error { return nil }

// SubmitBlock keeps the block's hash.
func (p *Pool) SubmitBlock(_ context.Context, b *pool.Block) error {
	p.found.Lock()
	defer p.found.Unlock()
	p.found.hashes = append(p.found.hashes, b.Hash.String())
	return nil
}

// drain shuts the server down and serves again at the same address.
func (p *Pool) drain(ctx context.Context) error {
	address := p.Address()
	return errors.Join(p.shutdown(), p.serve(context.WithoutCancel(ctx), address))
}
