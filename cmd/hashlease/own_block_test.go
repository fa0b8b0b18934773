package main

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/node/nodetest"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const millLimit = 30 * time.Second // for what takes milliseconds

// mill is all that an own block passes: Stratum server, relay, node, watch, feed; with many connections, of
// which it counts those on the newest tip.
type mill struct {
	node   *nodetest.Core
	relay  *node.Relay
	feed   *pool.Feed
	maker  *pool.Assembler
	want   atomic.Pointer[chainhash.Hash]
	there  atomic.Int64
	finder *finder
}

// Authorize implements stratum.Authorizer.
func (*mill) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	_, worker, err := pool.ParseIdentity(identity)
	return worker, err
}

// Credit implements stratum.Crediter.
func (*mill) Credit(context.Context, []pool.Credit) error { return nil }

// finder is the connection that finds blocks.
type finder struct {
	conn *noise.Conn

	mu    sync.Mutex
	roots map[uint32][32]byte // guarded by mu: of future jobs
	tip   sv2.SetNewPrevHash  // guarded by mu
}

// Found implements node.Blocks.
func (*mill) Found(context.Context, *pool.Block) error { return nil }

// Outcome implements node.Blocks.
func (*mill) Outcome(context.Context, chainhash.Hash, string) error { return nil }

// Accepted implements node.Blocks.
func (*mill) Accepted() []*pool.Block { return nil }

// newMill runs until the benchmark ends.
func newMill(b *testing.B, n int) *mill {
	b.Helper()
	m := &mill{node: nodetest.NewCore(b), feed: pool.NewFeed()}
	source, err := node.NewCore(m.node.Config(b))
	if err != nil {
		b.Fatal(err)
	}
	silent := slog.New(slog.DiscardHandler)
	if m.relay, err = node.NewRelay(b.TempDir(), m, silent, source); err != nil {
		b.Fatal(err)
	}
	script := append([]byte{0, 20}, make([]byte, 20)...)
	if m.maker, err = pool.NewAssembler(pool.CoinbaseConfig{Script: script}, 1); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g := newGroup(stop)
	g.run("watch", func() error { return node.NewWatch(m.relay, m.maker, m.feed, silent).Run(ctx) })
	g.run("relay", func() error { return m.relay.Run(ctx) })
	b.Cleanup(func() { // after the port is closed
		stop()
		if err := g.wait(); err != nil {
			b.Error(err)
		}
	})
	address := m.serve(ctx, b, g)
	first := m.await(b, func(r *pool.Round) bool { return r.Full != nil }).Tip.Prev
	m.want.Store(&first)
	m.finder = &finder{roots: map[uint32][32]byte{}}
	m.finder.conn = m.connect(b, address)
	go m.listen(m.finder.conn, m.finder) // ends with the connection
	for range n - 1 {
		conn := m.connect(b, address)
		go m.listen(conn, nil) // ends with the connection
	}
	return m
}

// serve starts the Stratum server.
func (m *mill) serve(ctx context.Context, b *testing.B, g *group) (address string) {
	b.Helper()
	authority, err := noise.NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	id, err := noise.NewIdentity(authority, now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	cfg := stratum.DefaultConfig()
	cfg.MinDifficulty, cfg.SharesPerMinute, cfg.DrainFor = 1e-12, 6000, 0
	s, err := stratum.New(cfg, stratum.Rooms{
		Feed: m.feed, Assembler: m.maker, Registry: fleet.NewRegistry(), Authorize: m, Credit: m,
		Blocks: m.relay, Identity: func() *noise.Identity { return id },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g.run("stratum", func() error { return s.Run(ctx) })
	g.run("port", func() error { return s.Serve(ln) })
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return ln.Addr().String()
}

// await waits for a round that is wanted.
func (m *mill) await(b *testing.B, want func(*pool.Round) bool) *pool.Round {
	b.Helper()
	wake, cancel := m.feed.Subscribe()
	defer cancel()
	late := time.After(millLimit)
	for {
		if r := m.feed.Current(); r != nil && want(r) {
			return r
		}
		select {
		case <-wake:
		case <-late:
			b.Fatalf("no such round; the newest is %+v", m.feed.Current())
		}
	}
}

// connect is an encrypted connection with a channel.
func (m *mill) connect(b *testing.B, address string) *noise.Conn {
	b.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := noise.Connect(raw, nil, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	frames := sv2.SetupConnection{
		MinVersion: 2, MaxVersion: 2, Flags: sv2.RequiresStandardJobs,
		Vendor: "bench", HardwareVersion: "S21", Firmware: "1.0",
	}.AppendFrame(nil)
	open := sv2.OpenStandardMiningChannel{UserIdentity: "a.b", MaxTarget: pool.MaxTarget.Bytes()}
	frames = open.AppendFrame(frames)
	if _, err = conn.Write(frames); err != nil {
		b.Fatal(err)
	}
	return conn
}

// listen counts the connection when it hears of the tip that is wanted.
func (m *mill) listen(conn *noise.Conn, f *finder) {
	buf := make([]byte, 1024)
	for {
		raw, err := conn.ReadHeader()
		if err != nil {
			return
		}
		payload, err := conn.ReadPayload(buf)
		if err != nil {
			return
		}
		switch h := sv2.ParseHeader(raw); {
		case h.Type == sv2.TypeSetNewPrevHash:
			tip, _, _ := sv2.DecodeSetNewPrevHash(payload)
			if f != nil {
				f.mu.Lock()
				f.tip = tip
				f.mu.Unlock()
			}
			if tip.PrevHash == *m.want.Load() {
				m.there.Add(1)
			}
		case h.Type == sv2.TypeNewMiningJob && f != nil:
			job, _, _ := sv2.DecodeNewMiningJob(payload)
			f.mu.Lock()
			f.roots[job.JobID] = job.MerkleRoot
			f.mu.Unlock()
		}
	}
}

// solve is a share of the newest tip that is a block, and the block's hash.
func (f *finder) solve() (sv2.SubmitSharesStandard, chainhash.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := sv2.SubmitSharesStandard{
		ChannelID: f.tip.ChannelID, JobID: f.tip.JobID, Time: f.tip.MinTime, Version: 0x20000000,
	}
	var h [80]byte
	binary.LittleEndian.PutUint32(h[0:], s.Version)
	copy(h[4:], f.tip.PrevHash[:])
	root := f.roots[f.tip.JobID]
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], s.Time)
	binary.LittleEndian.PutUint32(h[72:], f.tip.Bits)
	target := pool.TargetFromBits(f.tip.Bits)
	for ; ; s.Nonce++ {
		binary.LittleEndian.PutUint32(h[76:], s.Nonce)
		if hash := chainhash.DoubleHashH(h[:]); target.Meets((*[32]byte)(&hash)) {
			return s, hash
		}
	}
}

// BenchmarkProgram_OwnBlock is the time from the write of a share that is a block to the last of 1,000
// encrypted connections having read SetNewPrevHash for the next height. The node needs 160 ms to answer
// submitblock, as btcd does with a full block; the block is spooled to disk meanwhile.
func BenchmarkProgram_OwnBlock(b *testing.B) {
	const n = 1000
	m := newMill(b, n)
	m.node.Set(func() { m.node.Holds["submitblock"] = func() { time.Sleep(160 * time.Millisecond) } })
	wait := func() {
		for until := time.Now().Add(millLimit); m.there.Load() < n; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(until) {
				b.Fatalf("%d of %d connections are on the tip", m.there.Load(), n)
			}
		}
	}
	wait()
	b.ResetTimer()
	b.StopTimer()
	slowest := time.Duration(0)
	for range b.N {
		share, hash := m.finder.solve()
		m.there.Store(0)
		m.want.Store(&hash)
		began := time.Now()
		b.StartTimer()
		if _, err := m.finder.conn.Write(share.AppendFrame(nil)); err != nil {
			b.Fatal(err)
		}
		wait()
		b.StopTimer()
		slowest = max(slowest, time.Since(began))
		m.await(b, func(r *pool.Round) bool { return r.Full != nil && r.Tip.Prev == hash })
	}
	b.ReportMetric(float64(slowest.Microseconds())/1000, "max-ms")
}
