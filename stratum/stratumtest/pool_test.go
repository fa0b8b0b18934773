package stratumtest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// scriptedPool is the other side for miners under test: it accepts connections
// and does what the test tells it to.
type scriptedPool struct {
	t         *testing.T
	listener  net.Listener
	identity  *noise.Identity
	authority noise.PublicKey
}

func newScriptedPool(t *testing.T) *scriptedPool {
	t.Helper()
	authority, err := noise.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := noise.NewIdentity(authority, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &scriptedPool{t: t, listener: ln, identity: id, authority: authority.Public()}
}

func (p *scriptedPool) endpoint() Endpoint {
	return Endpoint{Address: p.listener.Addr().String(), Authority: &p.authority}
}

// accept takes the next connection; a Client serves as well for this side.
func (p *scriptedPool) accept() *Client {
	p.t.Helper()
	raw, err := p.listener.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	conn, err := noise.Accept(raw, p.identity)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return &Client{conn: conn}
}

// must is the message awaited, or the end of the test.
func must[M sv2.Message](t *testing.T, c *Client) M {
	t.Helper()
	m, err := Await[M](c, AwaitFor)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t *testing.T, c *Client, msgs ...sv2.Message) {
	t.Helper()
	if err := c.Send(msgs...); err != nil {
		t.Fatal(err)
	}
}

// openPlain answers a miner without extensions up to its open channel.
func openPlain(t *testing.T, c *Client, target pool.Target) {
	t.Helper()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	open := must[sv2.OpenStandardMiningChannel](t, c)
	send(t, c, sv2.OpenStandardMiningChannelSuccess{
		RequestID: open.RequestID, ChannelID: 7, Target: target.Bytes(),
		ExtranoncePrefix: make([]byte, 20), GroupChannelID: 1,
	})
}

// firstJob starts the channel: a future job and the tip that activates it.
func firstJob(t *testing.T, c *Client, id uint32) {
	t.Helper()
	send(
		t, c,
		sv2.NewMiningJob{
			ChannelID: 7, JobID: id, Future: true, Version: 0x20000000, MerkleRoot: [32]byte{byte(id)},
		},
		sv2.SetNewPrevHash{ChannelID: 7, JobID: id, PrevHash: [32]byte{9}, MinTime: 1000, Bits: 0x1d00ffff},
	)
}

// start runs a miner with its own grinder until the test ends.
func start(t *testing.T, cfg MinerConfig) *Miner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	cfg.Grinder = NewGrinder(1)
	cfg.MinBackoff, cfg.MaxBackoff = time.Millisecond, 2*time.Millisecond
	m := NewMiner(cfg)
	wg.Go(func() { _ = cfg.Grinder.Run(ctx) })
	wg.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}
