package stratumtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Endpoint is where a pool is. A nil authority accepts any server.
type Endpoint struct {
	Address   string
	Authority *noise.PublicKey
}

// MinerConfig describes one miner. Pool, Identity, Nominal and Grinder are needed.
type MinerConfig struct {
	// Pool is asked before each connection; an empty address means that there is none yet.
	Pool     func() Endpoint
	Identity string        // account.worker
	Nominal  unit.Hashrate // declared, and ground until SetHashrate says otherwise
	Extended bool          // open an extended channel instead of a standard one
	// Worker makes the miner a proxy of one: each share of its extended channel names this worker
	// (extension 0x0002), if the pool agrees. Up to 32 bytes; empty: no names.
	Worker   string
	Vendor   string
	Hardware string
	Firmware string
	Power    PowerDevice // nil: no power extension
	Grinder  *Grinder
	// After a connection is lost the wait doubles from MinBackoff to MaxBackoff; 0 is 250 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	Log                    *slog.Logger // nil: silent
}

// MinerStats are a miner's counters since its start.
type MinerStats struct {
	Mining    bool              // its channel is open and has a job
	Sessions  uint64            // channels opened so far
	Hashes    uint64            // really computed
	Submitted uint64            // shares written, or tried to
	Acked     uint64            // shares that the pool acknowledged
	Rejected  map[string]uint64 // shares refused, by the pool's code
	Blocks    uint64            // shares that met the network's target
	Power     sv2.PowerCommand  // the newest that was followed
	Faults    []string          // what the pool did that the firmware of a V1Miner does not take
}

var errNoPool = errors.New("there is no pool yet")

// maxCodes bounds the reject codes that are counted apart; the rest are "other".
const maxCodes = 32

// Miner keeps one channel alive and mines on it.
type Miner struct {
	cfg    MinerConfig // immutable
	hasher hasher
	power  *obedience // nil without the extension
	link   atomic.Pointer[link]

	sessions, submitted, acked, blocks atomic.Uint64

	// owned by Run
	redirect *Endpoint // from Reconnect, for the next connection only
	muteness bool      // the server ignored RequestExtensions: do not ask again

	mu       sync.Mutex
	rejected map[string]uint64 // guarded by mu
}

// NewMiner returns a miner that does nothing until Run.
func NewMiner(cfg MinerConfig) *Miner {
	if cfg.MinBackoff <= 0 {
		cfg.MinBackoff = 250 * time.Millisecond
	}
	if cfg.MaxBackoff < cfg.MinBackoff {
		cfg.MaxBackoff = max(cfg.MinBackoff, 5*time.Second)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Miner{cfg: cfg, rejected: map[string]uint64{}}
	if cfg.Power != nil {
		m.power = &obedience{device: cfg.Power}
	}
	m.hasher.found = m.submit
	m.hasher.setRate(cfg.Nominal)
	return m
}

// SetHashrate paces the grinding from now on; 0 pauses it. The channel stays.
func (m *Miner) SetHashrate(h unit.Hashrate) { m.hasher.setRate(h) }

// Stats is a copy of the counters.
func (m *Miner) Stats() MinerStats {
	s := MinerStats{
		Mining: m.hasher.work.Load() != nil, Sessions: m.sessions.Load(), Hashes: m.hasher.done.Load(),
		Submitted: m.submitted.Load(), Acked: m.acked.Load(), Blocks: m.blocks.Load(),
		Rejected: map[string]uint64{},
	}
	if m.power != nil {
		s.Power = m.power.command()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(s.Rejected, m.rejected)
	return s
}

// Run mines until the context ends, across any number of connections.
func (m *Miner) Run(ctx context.Context) error {
	leave := m.cfg.Grinder.add(&m.hasher)
	defer leave()
	if m.power != nil {
		defer m.power.stop()
	}
	backoff := m.cfg.MinBackoff
	for {
		before := m.sessions.Load()
		err := m.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if m.sessions.Load() > before || errors.Is(err, errNoPool) {
			backoff = m.cfg.MinBackoff // it had worked, or there was nothing to spare
		}
		if err != nil {
			m.cfg.Log.Debug("connection ended", slog.String("worker", m.cfg.Identity), slog.Any("error", err))
		}
		// Half of the wait is random: a thousand miners must not come back in one instant.
		if sleep(ctx, backoff/2+rand.N(backoff/2+1)) != nil {
			return ctx.Err()
		}
		backoff = min(2*backoff, m.cfg.MaxBackoff)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setupTimeout bounds everything from the dial to the open channel.
const setupTimeout = 15 * time.Second

// connect serves one connection to its end.
func (m *Miner) connect(ctx context.Context) error {
	pool := m.cfg.Pool()
	if m.redirect != nil {
		// The key is not in the message: the same authority must answer (sv2-spec 03 §3.6.5).
		pool.Address, m.redirect = m.redirect.Address, nil
	}
	if pool.Address == "" {
		return errNoPool
	}
	conn, err := dial(ctx, pool)
	if err != nil {
		return err
	}
	// Ends the reader, wherever it waits, when the miner stops.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	l := newLink(m, conn)
	err = l.run()
	m.link.Store(nil)
	m.hasher.work.Store(nil)
	l.reporter.stop()
	if r := (*redirection)(nil); errors.As(err, &r) {
		m.redirect = r.endpoint(pool)
		return nil
	}
	return err
}

// dial opens an encrypted connection whose deadline is the end of setup.
func dial(ctx context.Context, pool Endpoint) (*noise.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", pool.Address)
	if err != nil {
		return nil, fmt.Errorf("dialing the pool: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(setupTimeout)) // a closed connection says so at the next read
	conn, err := noise.Connect(raw, pool.Authority, time.Now())
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("opening the encrypted connection: %w", err)
	}
	return conn, nil
}

// redirection ends a session by the pool's Reconnect.
type redirection struct {
	host string
	port uint16
}

// Error says where to.
func (r *redirection) Error() string { return "pool asks to reconnect to " + strconv.Quote(r.host) }

// endpoint is where to go; an empty host and port 0 mean the same as now.
func (r *redirection) endpoint(now Endpoint) *Endpoint {
	host, port, err := net.SplitHostPort(now.Address)
	if err != nil || r.host == "" && r.port == 0 {
		return nil
	}
	if r.host != "" {
		host = r.host
	}
	if r.port != 0 {
		port = strconv.Itoa(int(r.port))
	}
	return &Endpoint{Address: net.JoinHostPort(host, port), Authority: now.Authority}
}

// submit sends a share; the grinder calls it.
func (m *Miner) submit(w *work, s solution) {
	if l := m.link.Load(); l != nil {
		if s.block {
			m.blocks.Add(1)
		}
		m.submitted.Add(1) // before it is written: what arrives was submitted
		l.submit(w, s)
	}
}

func (m *Miner) countReject(code string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.rejected[code]; !ok && len(m.rejected) >= maxCodes {
		code = "other"
	}
	m.rejected[code]++
}
