package sim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// ledger counts what a server makes durable.
type ledger struct {
	mu     sync.Mutex
	shares map[pool.WorkerID]uint64
	blocks int
}

func (l *ledger) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	_, w, err := pool.ParseIdentity(identity)
	return w, err
}

func (l *ledger) Credit(_ context.Context, credits []pool.Credit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range credits {
		l.shares[c.Worker] += c.Shares
	}
	return nil
}

func (l *ledger) SubmitBlock(context.Context, *pool.Block) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks++
	return nil
}

func (l *ledger) of(w pool.WorkerID) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shares[w]
}

// testPool is a real Stratum server without a node behind it.
type testPool struct {
	ledger    *ledger
	registry  *fleet.Registry
	authority *noise.Authority
}

func newTestPool(tb testing.TB) *testPool {
	tb.Helper()
	a, err := noise.NewAuthority()
	if err != nil {
		tb.Fatal(err)
	}
	return &testPool{&ledger{shares: map[pool.WorkerID]uint64{}}, fleet.NewRegistry(), a}
}

// serve runs a server until stop, with work for a first block.
func (p *testPool) serve(tb testing.TB, epoch uint16) (e stratumtest.Endpoint, stop func()) {
	tb.Helper()
	id, err := noise.NewIdentity(p.authority, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		tb.Fatal(err)
	}
	assembler, err := pool.NewAssembler(pool.CoinbaseConfig{Script: []byte{0x51}, Tag: "test"}, epoch)
	if err != nil {
		tb.Fatal(err)
	}
	now := uint32(time.Now().Unix())
	round, err := assembler.Advance(nil, &pool.Template{
		Tip:     pool.Tip{Height: 100, Prev: [32]byte{1}, Bits: 0x1e00ffff, MinTime: now - 600},
		Version: 0x20000000, Time: now, Value: 50e8, Next: pool.NextBlock{Version: 0x20000000, Value: 50e8},
	})
	if err != nil {
		tb.Fatal(err)
	}
	feed := pool.NewFeed()
	feed.Publish(round)
	cfg := stratum.DefaultConfig()
	cfg.MinDifficulty, cfg.SharesPerMinute, cfg.DrainFor = 1e-8, 600, 0
	cfg.AckAfter, cfg.PowerReport = 50*time.Millisecond, 100*time.Millisecond
	server, err := stratum.New(cfg, stratum.Rooms{
		Feed: feed, Assembler: assembler, Registry: p.registry,
		Authorize: p.ledger, Credit: p.ledger, Blocks: p.ledger,
		Identity: func() *noise.Identity { return id },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Run(ctx) })
	wg.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, stratum.ErrServerClosed) {
			tb.Errorf("serving: %v", err)
		}
	})
	public := p.authority.Public()
	return stratumtest.Endpoint{Address: ln.Addr().String(), Authority: &public}, func() {
		ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := server.Shutdown(ctx); err != nil {
			tb.Errorf("shutting down: %v", err)
		}
		cancel()
		wg.Wait()
	}
}

// eventually waits for what other goroutines are about to do; only the end of a broken test takes long.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("never came: %s", what)
		}
	}
}

// runSim runs a simulation until the test ends.
func runSim(tb testing.TB, cfg Config) *Sim {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // awaited below
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("running: %v", err)
		}
	})
	return s
}

// Ensure that the fleet mines at a real server with nothing refused, that an order through the in-band
// actuator takes the power down and the hashing with it, and that a restarted server is mined at again, with
// the order still held: acknowledged <= durable <= submitted for every worker all along.
func TestSim_MinesAndObeysAtARealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, d := range []Dialects{V2, Mixed} {
		t.Run(string(d), func(t *testing.T) {
			mineAndObey(t, d)
		})
	}
}

func mineAndObey(t *testing.T, d Dialects) {
	t.Helper()
	p := newTestPool(t)
	first, stop := p.serve(t, 1)
	plan := DemoSite(8)
	s := runSim(t, Config{Plan: plan, Pool: first, Extended: 4, Dialects: d})
	eventually(t, "acknowledged shares of every worker", func() bool {
		for _, w := range s.Workers() {
			if w.Acked == 0 {
				return false
			}
		}
		return true
	})
	w := plan.Workers[0] // an S21: asleep in 5 s
	eventually(t, "an actuator", func() bool { return actuator(p.registry, w.ID) != nil })
	ack, err := actuator(p.registry, w.ID).Set(t.Context(), fleet.Setpoint{
		Worker: w.ID, Term: 1, Command: 1, Mode: fleet.Paused, Watts: w.Sleep,
		ValidFor: time.Hour, FailHold: true,
	})
	if err != nil || ack.Planned != w.Sleep || ack.Hashrate != 0 {
		t.Fatalf("ack is %+v, %v", ack, err)
	}
	asleep := func() bool { return s.Devices()[0].State == "sleep" }
	eventually(t, "sleep", asleep)
	eventually(t, "a report of it", func() bool {
		for _, l := range p.registry.Links(w.ID) {
			if watts, ok := l.Reported(); ok && watts.Watts < 100 {
				return true
			}
		}
		return false
	})
	stop()
	second, stop := p.serve(t, 2)
	defer stop()
	sessions := s.Stats().Sessions
	s.SetPool(second)
	eventually(t, "everybody on the second server", func() bool {
		st := s.Stats()
		return st.Mining == len(plan.Workers) && st.Sessions >= sessions+uint64(len(plan.Workers))
	})
	if !asleep() {
		t.Fatalf("the loss of the server woke the device: %+v", s.Devices()[0])
	}
	for id, st := range s.Workers() {
		acked := st.Acked
		durable, submitted := p.ledger.of(id), s.Workers()[id].Submitted // in this order: each only grows
		if acked > durable || durable > submitted {
			t.Errorf("%s: %d acknowledged, %d durable, %d submitted", id, acked, durable, submitted)
		}
	}
	if st := s.Stats(); len(st.Rejected) != 0 || len(st.Faults) != 0 {
		t.Errorf("rejected are %v, faults are %q", st.Rejected, st.Faults)
	}
	if truth := s.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("truth is %+v", truth)
	}
}

func actuator(r *fleet.Registry, w pool.WorkerID) fleet.Actuator {
	for _, l := range r.Links(w) {
		if a := l.Actuator(); a != nil {
			return a
		}
	}
	return nil
}

// Ensure that a configuration that cannot be is refused with every fault named, and takes no port.
func TestNew_NamesEveryFault(t *testing.T) {
	p := DemoSite(4)
	p.Workers[0].Feeder = "nowhere"
	_, err := New(Config{Plan: p, Scale: 0.5, Class: 2, Extended: -1, Tenants: []TenantConfig{{}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, says := range []string{"nowhere", "scale is 0.5", "class is 2", "extended is -1", "no name"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q does not say %q", err, says)
		}
	}
}
