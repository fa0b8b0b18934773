package stratum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = errors.New("stratum server is closed")

// Server accepts miners on any number of listeners.
type Server struct {
	// immutable after New
	cfg        Config
	rooms      Rooms
	log        *slog.Logger
	shards     []*shard
	prefixes   *pool.Prefixes
	v1         *v1Jobs // the jobs of Stratum V1
	quotas     *quotas
	difficulty *pool.DifficultyConfig
	anyPort    *port         // of sessions that came to none
	turns      *turns        // to compute a handshake
	sources    *sources      // what each address does
	drain      chan struct{} // closed when no more is read
	drained    chan struct{} // closed when Drain has ended
	done       chan struct{} // closed when the server is over
	over       sync.Once

	newcomers newcomers

	undrained error // why Drain could not finish; written before drained is closed

	counts  counters
	backlog atomic.Int64 // bytes that wait for peers which read slowly
	quiet   complaints
	next    atomic.Uint64  // round robin over shards
	beat    beat           // of their commits
	names   atomic.Int64   // workers behind proxies that have a place
	readers sync.WaitGroup // connections, but for those whose reading has ended
	pollers sync.WaitGroup

	mu        sync.Mutex
	listeners map[net.Listener]*port // guarded by mu
	greeting  map[net.Conn]struct{}  // guarded by mu: connections that are no sessions yet
	sessions  int                    // guarded by mu: connections, those in greeting too
	running   bool                   // guarded by mu: Run runs
	poller    *poller                // guarded by mu: nil without a connection for it
	draining  bool                   // guarded by mu
	ending    bool                   // guarded by mu: Shutdown was called
}

// New returns a server that serves nothing yet: call Run, then Serve.
func New(cfg Config, rooms Rooms, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("checking the stratum configuration: %w", err)
	}
	if rooms.Sessions == nil {
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails
		rooms.Sessions, _ = pool.NewSessionKey(secret[:])
	}
	s := &Server{
		cfg: cfg, rooms: rooms, log: log,
		prefixes:   pool.NewPrefixes(cfg.ServerByte),
		v1:         newV1Jobs(rooms.Assembler.Epoch()),
		quotas:     newQuotas(),
		difficulty: cfg.difficulty(),
		anyPort:    newPort(Port{}),
		turns:      newTurns(handshakers()),
		sources:    newSources(),
		drain:      make(chan struct{}),
		listeners:  map[net.Listener]*port{},
		greeting:   map[net.Conn]struct{}{},
		drained:    make(chan struct{}),
		done:       make(chan struct{}),
	}
	s.beat.began = time.Now()
	s.prefixes.StartAt(rooms.Assembler.Epoch())
	for range shards() {
		s.shards = append(s.shards, newShard(s))
	}
	return s, nil
}

// Run follows the feed, retargets, commits shares and releases acknowledgements until
// the context ends or Shutdown has finished. It must run while Serve does.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, sh := range s.shards {
		wg.Go(func() { sh.follow() })     // ends with s.done
		wg.Go(func() { sh.commit(work) }) // ends with s.done
	}
	wg.Go(func() { s.dispatch() }) // ends with s.done
	select {
	case <-ctx.Done():
		s.stop()
	case <-s.done:
	}
	cancel() // what a drain could not finish in its time is cut
	s.stopPoller()
	wg.Wait()
	return ctx.Err()
}

// dispatch stamps each new round with the time it became known and hands it to every shard. A
// slow shard sees only the newest.
func (s *Server) dispatch() {
	wake, cancel := s.rooms.Feed.Subscribe()
	defer cancel()
	var renewed *pool.Round // shares no job with those before the prefixes were renewed last
	for {
		if r := s.rooms.Feed.Current(); r != nil {
			if renewed == nil || !r.Shares(renewed) {
				renewed = r
				s.prefixes.Renew()
			}
			n := &news{round: r, at: time.Now()}
			n.waiting.Store(int32(len(s.shards)))
			for _, sh := range s.shards {
				sh.publish(n)
			}
		}
		select {
		case <-wake:
		case <-s.done:
			return
		}
	}
}

// Serve is ServePort for everybody.
func (s *Server) Serve(ln net.Listener) error { return s.ServePort(ln, Port{Name: ln.Addr().String()}) }

// ServePort accepts connections as the port says until the listener fails or Shutdown closes it. It closes
// the listener in any case.
func (s *Server) ServePort(ln net.Listener, port Port) error {
	defer func() { _ = ln.Close() }()
	if err := port.Validate(); err != nil {
		return err
	}
	p := newPort(port)
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[ln] = p
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ln)
	}()
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.accept(conn, p)
			s.easeStorm()
			continue
		case s.isDraining():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		}
		// Out of file descriptors, or an aborted connection: wait and go on.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log.Warn("accepting a connection failed", slog.Any("error", err), slog.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-s.done:
			return ErrServerClosed
		}
	}
}

// handshakers is how many handshakes are computed at one time: one core is left to those who mine.
func handshakers() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// accept starts the reader of a connection that is within the bounds. One that a proxy passes on is counted
// for whom it is from, once that is known.
func (s *Server) accept(conn net.Conn, p *port) {
	source, passed := sourceOf(conn), p.passes(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.sessions >= s.cfg.MaxSessions ||
		!passed && !s.sources.enter(source, &s.cfg, time.Now()) {
		s.counts.refused.Add(1)
		_ = conn.Close()
		return
	}
	s.sessions++
	s.greeting[conn] = struct{}{}
	// Under the lock, so that a drain which waits for readers waits for this one too.
	s.readers.Add(1)
	go func() { // ends when the handshake does
		se, counted := s.arrive(conn, p, &source, passed)
		s.mu.Lock()
		delete(s.greeting, conn)
		draining := s.draining
		s.mu.Unlock()
		if se != nil {
			p.count(se, 1)
			if draining {
				se.close(ErrServerClosed)
			}
			s.run(se)
			return
		}
		s.leave(source, counted)
	}()
}

// arrive learns who a connection is from and shakes hands, nil if there will be no session. It says whether
// the source was counted.
func (s *Server) arrive(conn net.Conn, p *port, source *netip.Prefix, passed bool) (*session, bool) {
	if passed || p.TLS != nil {
		watch(conn) // what is not plain TCP is not watched later
	}
	wire := conn
	if passed {
		var err error
		if wire, err = s.unwrap(conn); err != nil {
			s.fail(conn, p, err)
			return nil, false
		}
		if *source = sourceOf(wire); !s.sources.enter(*source, &s.cfg, time.Now()) {
			s.counts.refused.Add(1)
			s.fail(wire, p, errSource)
			return nil, false
		}
	}
	defer s.sources.greeted(*source)
	if p.TLS != nil {
		secured, err := s.encrypt(wire, *source, p.TLS)
		if err != nil {
			s.fail(wire, p, err)
			return nil, true
		}
		wire = secured
	}
	return s.greet(wire, *source, p), true
}

// fail ends a connection that is no session.
func (s *Server) fail(conn net.Conn, p *port, err error) {
	p.failed.Add(1)
	s.counts.failed.Add(1)
	s.log.Debug("handshake failed",
		slog.String("address", conn.RemoteAddr().String()), slog.Any("error", err))
	_ = conn.Close()
}

// leave notes the end of a connection, which was counted for its source or not.
func (s *Server) leave(source netip.Prefix, counted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	if counted {
		s.sources.leave(source)
	}
	s.readers.Done()
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// stop ends the server's goroutines, and the wait of readers for a commit that will not be.
func (s *Server) stop() {
	s.over.Do(func() {
		close(s.done)
		for _, sh := range s.shards {
			sh.mu.Lock() // a reader is either before its look at done or in its wait
			sh.room.Broadcast()
			sh.mu.Unlock()
		}
	})
}

// nextShard spreads sessions evenly.
func (s *Server) nextShard() *shard {
	return s.shards[s.next.Add(1)%uint64(len(s.shards))]
}
