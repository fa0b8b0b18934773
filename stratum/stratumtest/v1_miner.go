package stratumtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// V1Config describes one miner that speaks Stratum V1. Pool, Profile, Identity, Nominal and Grinder are
// needed.
type V1Config struct {
	// Pool is asked before each connection; an empty address means that there is none yet. Its authority
	// does not matter: V1 has none.
	Pool     func() Endpoint
	TLS      *tls.Config // nil: plain TCP
	Profile  V1Profile
	Identity string // account.worker, or an address
	Password string // options; empty: x
	Nominal  unit.Hashrate
	Grinder  *Grinder
	// Scale is hashes of the device for one that is really ground, by which a suggested difficulty is
	// divided; 0 is 1.
	Scale float64
	// After a connection is lost the wait doubles from MinBackoff to MaxBackoff; 0 is 250 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	Log                    *slog.Logger // nil: silent
}

// maxFaults bounds the faults that are remembered.
const maxFaults = 32

// V1Miner keeps one connection alive and mines on it as the firmware of its profile does.
type V1Miner struct {
	cfg    V1Config // immutable
	hasher hasher
	link   atomic.Pointer[v1Link]

	sessions, resumed, submitted, acked, blocks atomic.Uint64

	// owned by Run
	redirect *Endpoint     // from client.reconnect, for the next connection only
	wait     time.Duration // from client.reconnect
	session  string        // id, for the next connection
	prefix   []byte        // extranonce1 that came with it

	mu       sync.Mutex
	rejected map[string]uint64 // guarded by mu
	faults   []string          // guarded by mu
}

// NewV1Miner returns a miner that does nothing until Run.
func NewV1Miner(cfg V1Config) *V1Miner {
	if cfg.MinBackoff <= 0 {
		cfg.MinBackoff = 250 * time.Millisecond
	}
	if cfg.MaxBackoff < cfg.MinBackoff {
		cfg.MaxBackoff = max(cfg.MinBackoff, 5*time.Second)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Scale == 0 {
		cfg.Scale = 1
	}
	if cfg.Password == "" {
		cfg.Password = "x"
	}
	if p := &cfg.Profile; p.Username > 0 && len(cfg.Identity) > p.Username {
		cfg.Identity = cfg.Identity[:p.Username]
	}
	m := &V1Miner{cfg: cfg, rejected: map[string]uint64{}}
	m.hasher.found = m.submit
	m.hasher.setRate(cfg.Nominal)
	return m
}

// Identity is the name that the miner authorizes, as far as its firmware can say it.
func (m *V1Miner) Identity() string { return m.cfg.Identity }

// SetHashrate paces the grinding from now on; 0 pauses it. The connection stays.
func (m *V1Miner) SetHashrate(h unit.Hashrate) { m.hasher.setRate(h) }

// Resumed is how often the pool gave the miner its former extranonce1 back.
func (m *V1Miner) Resumed() uint64 { return m.resumed.Load() }

// Stats is a copy of the counters.
func (m *V1Miner) Stats() MinerStats {
	s := MinerStats{
		Mining: m.hasher.work.Load() != nil, Sessions: m.sessions.Load(), Hashes: m.hasher.done.Load(),
		Submitted: m.submitted.Load(), Acked: m.acked.Load(), Blocks: m.blocks.Load(),
		Rejected: map[string]uint64{},
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(s.Rejected, m.rejected)
	s.Faults = slices.Clone(m.faults)
	return s
}

// Run mines until the context ends, across any number of connections.
func (m *V1Miner) Run(ctx context.Context) error {
	leave := m.cfg.Grinder.add(&m.hasher)
	defer leave()
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
		if sleep(ctx, m.wait+backoff/2+rand.N(backoff/2+1)) != nil {
			return ctx.Err()
		}
		m.wait = 0
		backoff = min(2*backoff, m.cfg.MaxBackoff)
	}
}

// connect serves one connection to its end.
func (m *V1Miner) connect(ctx context.Context) error {
	pool := m.cfg.Pool()
	if m.redirect != nil {
		pool, m.redirect = *m.redirect, nil
	}
	if pool.Address == "" {
		return errNoPool
	}
	conn, err := dialV1(ctx, pool.Address, m.cfg.TLS)
	if err != nil {
		return err
	}
	// Ends the reader, wherever it waits, when the miner stops.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	l := newV1Link(m, conn)
	err = l.run()
	_ = conn.Close()
	m.link.Store(nil)
	m.hasher.work.Store(nil)
	l.stop()
	m.session, m.prefix = l.session, l.jobs.prefix
	if r := (*v1Redirection)(nil); errors.As(err, &r) {
		m.redirect, m.wait = r.endpoint(pool), r.wait
		return nil
	}
	return err
}

// submit sends a share; the grinder calls it.
func (m *V1Miner) submit(w *work, s solution) {
	if l := m.link.Load(); l != nil {
		if s.block {
			m.blocks.Add(1)
		}
		m.submitted.Add(1) // before it is written: what arrives was submitted
		l.submit(w, s)
	}
}

func (m *V1Miner) countReject(words string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.rejected[words]; !ok && len(m.rejected) >= maxCodes {
		words = "other"
	}
	m.rejected[words]++
}

// fault notes what the pool did that this firmware does not take, once each.
func (m *V1Miner) fault(format string, args ...any) {
	what := m.cfg.Profile.Name + ": " + fmt.Sprintf(format, args...)
	m.mu.Lock()
	known := slices.Contains(m.faults, what) || len(m.faults) == maxFaults
	if !known {
		m.faults = append(m.faults, what)
	}
	m.mu.Unlock()
	if !known {
		m.cfg.Log.Warn("pool goes beyond the firmware",
			slog.String("worker", m.cfg.Identity), slog.String("fault", what))
	}
}
