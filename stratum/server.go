package stratum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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
	cfg       Config
	rooms     Rooms
	log       *slog.Logger
	shards    []*shard
	prefixes  *pool.Prefixes
	handshake chan struct{} // a slot for each handshake being computed
	done      chan struct{} // closed when the server is over
	over      sync.Once

	counts  counters
	next    atomic.Uint64 // round robin over shards
	readers sync.WaitGroup

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // guarded by mu
	sessions  int                       // guarded by mu
	addresses map[string]int            // guarded by mu: live connections by source address
	draining  bool                      // guarded by mu
}

// New returns a server that serves nothing yet: call Run, then Serve.
func New(cfg Config, rooms Rooms, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("checking the stratum configuration: %w", err)
	}
	s := &Server{
		cfg: cfg, rooms: rooms, log: log,
		prefixes:  pool.NewPrefixes(cfg.ServerByte),
		handshake: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		listeners: map[net.Listener]struct{}{},
		addresses: map[string]int{},
		done:      make(chan struct{}),
	}
	for range shards() {
		s.shards = append(s.shards, newShard(s))
	}
	return s, nil
}

// Run follows the feed, retargets, commits shares and releases acknowledgements until
// the context ends or Shutdown has finished. It must run while Serve does.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, sh := range s.shards {
		wg.Go(func() { sh.follow() }) // ends with s.done
		wg.Go(func() { sh.commit() }) // ends with s.done
	}
	wg.Go(func() { s.dispatch() }) // ends with s.done
	select {
	case <-ctx.Done():
		s.stop()
	case <-s.done:
	}
	wg.Wait()
	return ctx.Err()
}

// dispatch stamps each new round with the time it became known and hands it to every shard. A
// slow shard sees only the newest.
func (s *Server) dispatch() {
	wake, cancel := s.rooms.Feed.Subscribe()
	defer cancel()
	for {
		if r := s.rooms.Feed.Current(); r != nil {
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

// Serve accepts connections until the listener fails or Shutdown closes it.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
		case s.isDraining():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		default: // out of file descriptors, aborted connections: wait and go on
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection failed", slog.Any("error", err), slog.Duration("pause", pause))
			select {
			case <-time.After(pause):
			case <-s.done:
				return ErrServerClosed
			}
			continue
		}
		if address, ok := s.admit(conn); ok {
			s.readers.Go(func() { // ends when the session does
				defer s.leave(address)
				s.serveConn(conn)
			})
		} else {
			s.counts.refused.Add(1)
			_ = conn.Close()
		}
	}
}

// admit counts a connection in, or refuses it.
func (s *Server) admit(conn net.Conn) (string, bool) {
	address := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.sessions >= s.cfg.MaxSessions || s.addresses[address] >= s.cfg.MaxPerAddress {
		return "", false
	}
	s.sessions++
	s.addresses[address]++
	return address, true
}

func (s *Server) leave(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	if s.addresses[address]--; s.addresses[address] <= 0 {
		delete(s.addresses, address)
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// stop ends the server's goroutines.
func (s *Server) stop() { s.over.Do(func() { close(s.done) }) }

// nextShard spreads sessions evenly.
func (s *Server) nextShard() *shard {
	return s.shards[s.next.Add(1)%uint64(len(s.shards))]
}
