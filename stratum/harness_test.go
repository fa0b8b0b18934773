package stratum

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// bench is a server on pipes, so that a bubble of testing/synctest can hold it and its clock.
type bench struct {
	tb     testing.TB
	server *Server
	feed   *pool.Feed
	round  *pool.Round
	maker  *pool.Assembler
	fleet  *fleet.Registry
	id     *noise.Identity
	ln     pipes
	wg     sync.WaitGroup

	authorize func(identity string) error                            // nil: everybody may mine
	credit    func(ctx context.Context, credits []pool.Credit) error // nil: all is durable at once
}

func (b *bench) Credit(ctx context.Context, credits []pool.Credit) error {
	if b.credit != nil {
		return b.credit(ctx, credits)
	}
	return nil
}

func (*bench) SubmitBlock(context.Context, *pool.Block) error { return nil }

func (b *bench) Authorize(_ context.Context, identity string, _ Device) (pool.WorkerID, error) {
	if b.authorize != nil {
		if err := b.authorize(identity); err != nil {
			return "", err
		}
	}
	_, worker, err := pool.ParseIdentity(identity)
	return worker, err
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns chan net.Conn
	over  chan struct{}
	once  *sync.Once
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { p.once.Do(func() { close(p.over) }); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// newBench makes a server that does not run yet: every hash is a share.
func newBench(tb testing.TB, change func(*Config)) *bench {
	tb.Helper()
	return newBenchOf(tb, 1, change)
}

// newBenchOf is newBench for the process of an epoch.
func newBenchOf(tb testing.TB, epoch uint16, change func(*Config)) *bench {
	tb.Helper()
	b := &bench{
		tb: tb, feed: pool.NewFeed(), fleet: fleet.NewRegistry(),
		ln: pipes{make(chan net.Conn), make(chan struct{}), new(sync.Once)},
	}
	authority, err := noise.NewAuthority()
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	if b.id, err = noise.NewIdentity(authority, now.Add(-time.Hour), now.Add(10000*time.Hour)); err != nil {
		tb.Fatal(err)
	}
	script := append([]byte{0x00, 0x14}, make([]byte, 20)...)
	maker := pool.CoinbaseConfig{Script: script, Tag: "test"}
	if b.maker, err = pool.NewAssembler(maker, epoch); err != nil {
		tb.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.MinDifficulty, cfg.SharesPerMinute, cfg.DrainFor = 1e-12, 6000, 0
	if change != nil {
		change(&cfg)
	}
	if b.server, err = New(cfg, Rooms{
		Feed: b.feed, Assembler: b.maker, Registry: b.fleet, Authorize: b, Credit: b, Blocks: b,
		Identity: func() *noise.Identity { return b.id },
	}, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	return b
}

// start runs and serves on pipes; stop must be called inside the same bubble.
func (b *bench) start() {
	b.wg.Go(func() { _ = b.server.Run(context.Background()) })
	b.wg.Go(func() { _ = b.server.Serve(b.ln) })
}

// stop ends the server within a minute.
func (b *bench) stop() {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil {
		b.tb.Errorf("shutting down: %v", err)
	}
	b.wg.Wait()
}

// dial is a client whose frames are read as they come: a pipe has no buffer.
func (b *bench) dial() *stratumtest.Client {
	b.tb.Helper()
	near, far := net.Pipe()
	b.ln.conns <- far
	c, err := stratumtest.NewClient(near, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	return c
}

// open is a client with a standard channel and the id of its active job.
func (b *bench) open(identity string) (c *stratumtest.Client, channel, job uint32) {
	b.tb.Helper()
	c = b.dial()
	if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
		b.tb.Fatal(err)
	}
	channel, job = b.openOn(c, identity)
	return c, channel, job
}

// openOn opens a channel on a connection that is set up, and waits for its first job.
func (b *bench) openOn(c *stratumtest.Client, identity string) (channel, job uint32) {
	b.tb.Helper()
	ok, err := c.OpenStandard(identity, 0, pool.MaxTarget)
	if err != nil {
		b.tb.Fatal(err)
	}
	for {
		j, err := stratumtest.Await[sv2.NewMiningJob](c, stratumtest.AwaitFor)
		if err != nil {
			b.tb.Fatal(err)
		}
		if !j.Future {
			_, _ = stratumtest.Await[sv2.NewMiningJob](c, stratumtest.AwaitFor) // of the next block
			return ok.ChannelID, j.JobID
		}
	}
}

// template is for a block of this height on a block named by a byte.
func template(height int32, prev byte, partial bool) *pool.Template {
	t := &pool.Template{
		Tip:     pool.Tip{Height: height, Bits: 0x1d00ffff, MinTime: uint32(time.Now().Unix()) - 600},
		Version: 0x20000000, Value: 50e8, Partial: partial,
		Next: pool.NextBlock{Version: 0x20000000, Value: 50e8},
	}
	t.Prev[0], t.Prev[1] = prev, 1
	if !partial {
		t.Time = uint32(time.Now().Unix())
	}
	return t
}

func (b *bench) publish(t *pool.Template) *pool.Round {
	b.tb.Helper()
	r, err := b.maker.Advance(b.round, t)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.round = r
	b.feed.Publish(r)
	return r
}

// share is one that every target here accepts.
func share(channel, job, sequence uint32) sv2.SubmitSharesStandard {
	return sv2.SubmitSharesStandard{
		ChannelID: channel, Sequence: sequence, JobID: job, Nonce: sequence,
		Time: uint32(time.Now().Unix()), Version: 0x20000000,
	}
}

// next is the next message, of type M.
func next[M sv2.Message](tb testing.TB, c *stratumtest.Client) M {
	tb.Helper()
	m, err := stratumtest.Await[M](c, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// tcpSession is a session without a server's goroutines, over sockets with small buffers, and the other
// end of its connection.
func (b *bench) tcpSession() (*session, *noise.Conn) {
	b.tb.Helper()
	return b.session(b.tcpPair())
}

// tcpPair are both ends of a connection with small buffers.
func (b *bench) tcpPair() (near, far net.Conn) {
	b.tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.tb.Fatal(err)
	}
	defer ln.Close()
	dialer := net.Dialer{}
	raw, err := dialer.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.tb.Fatal(err)
	}
	_ = raw.(*net.TCPConn).SetReadBuffer(8 << 10)
	far, err = ln.Accept()
	if err != nil {
		b.tb.Fatal(err)
	}
	_ = far.(*net.TCPConn).SetWriteBuffer(8 << 10)
	return raw, far
}

// session is a session without a server's goroutines, and the other end of its connection.
func (b *bench) session(near, far net.Conn) (*session, *noise.Conn) {
	b.tb.Helper()
	var client *noise.Conn
	var wg sync.WaitGroup
	wg.Go(func() { client, _ = noise.Connect(near, nil, time.Now()) })
	conn, err := noise.Accept(far, b.id)
	wg.Wait()
	if err != nil || client == nil {
		b.tb.Fatal(err)
	}
	s := newSession(b.server, conn, sourceOf(far), time.Now())
	s.shard.add(s)
	b.tb.Cleanup(func() {
		s.close(io.EOF)
		s.finish()
		_ = client.Close()
	})
	return s, client
}
