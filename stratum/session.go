package stratum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// session is one connection's server side.
type session struct {
	// immutable after newSession
	srv    *Server
	shard  *shard
	conn   *noise.Conn
	id     uint64
	opened time.Time

	poked atomic.Bool // listed in the shard's poked

	// owned by the reader
	setUp        bool
	standardOnly bool // REQUIRES_STANDARD_JOBS
	negotiated   bool // RequestExtensions was answered

	mu       sync.Mutex
	out      outbox              // guarded by mu
	device   Device              // guarded by mu
	power    bool                // guarded by mu: the power extension was negotiated
	channels map[uint32]*channel // guarded by mu
	nextID   uint32              // guarded by mu: channel and group ids, never reused
	nextJob  uint32              // guarded by mu: one counter for all jobs of the connection
	owed     bool                // guarded by mu: listed in the shard's owed
	cause    error               // guarded by mu: why it is closed; nil while it lives
	writer   sync.WaitGroup      // the slow writer, if there is one
}

var sessionIDs atomic.Uint64

// groupID is the group that every channel of a connection belongs to. Channel ids start above it.
const groupID = 1

func newSession(srv *Server, conn *noise.Conn, now time.Time) *session {
	return &session{
		srv: srv, shard: srv.nextShard(), conn: conn, id: sessionIDs.Add(1), opened: now,
		out: newOutbox(conn.Conn), channels: map[uint32]*channel{}, nextID: groupID,
	}
}

// serveConn shakes hands and serves one connection to its end.
func (s *Server) serveConn(conn net.Conn) {
	secured, err := s.secure(conn)
	if err != nil {
		s.counts.failed.Add(1)
		s.log.Debug("handshake failed",
			slog.String("address", conn.RemoteAddr().String()), slog.Any("error", err))
		_ = conn.Close()
		return
	}
	s.counts.handshakes.Add(1)
	se := newSession(s, secured, time.Now())
	se.device.Address = conn.RemoteAddr().String()
	se.shard.add(se)
	if s.isDraining() {
		se.stopReading() // Shutdown may have listed the sessions before this one
	}
	err = se.read()
	if s.isDraining() && errors.Is(err, os.ErrDeadlineExceeded) {
		return // Shutdown acknowledges, says goodbye and closes
	}
	se.close(err)
	se.finish()
	s.log.Debug("session ended", slog.Uint64("session", se.id), slog.Any("cause", err))
}

// secure reads the first bytes, tells the dialects apart and runs the Noise handshake. The
// expensive part waits for a slot, so that a storm of handshakes leaves cores for shares.
func (s *Server) secure(conn net.Conn) (*noise.Conn, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
		})
	}
	if err := conn.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("setting the handshake deadline: %w", err)
	}
	var first [noise.Act1Size]byte
	if _, err := io.ReadFull(conn, first[:16]); err != nil {
		return nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if looksLikeV1(first[:16]) {
		_, _ = io.WriteString(conn, `{"id":null,"result":null,"error":[20,`+
			`"this port serves Stratum V2; point the miner at stratum2+tcp://","hashlease"]}`+"\n")
		return nil, errDialect
	}
	if _, err := io.ReadFull(conn, first[16:]); err != nil {
		return nil, fmt.Errorf("reading act 1: %w", err)
	}
	select {
	case s.handshake <- struct{}{}:
	case <-s.done:
		return nil, ErrServerClosed
	}
	secured, err := noise.AcceptAfter(conn, first[:], s.rooms.Identity())
	<-s.handshake
	if err != nil {
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clearing the handshake deadline: %w", err)
	}
	return secured, nil
}

// looksLikeV1 tells a JSON line from the uniform bytes of act 1: one first byte alone would
// misroute 1 in 256 honest handshakes (design decision 18).
func looksLikeV1(b []byte) bool {
	if b[0] != '{' {
		return false
	}
	for _, c := range b {
		if c >= 0x7f || c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}

// read handles frames until the connection ends.
func (s *session) read() error {
	var small [256]byte // shares and small messages need no other memory
	for {
		raw, payload, err := s.conn.ReadFrame(small[:], frameLimit)
		switch {
		case errors.Is(err, io.EOF):
			return errPeerGone
		case err != nil:
			return fmt.Errorf("reading a frame: %w", err)
		}
		if err := s.handle(sv2.ParseHeader(raw), payload, time.Now()); err != nil {
			return err
		}
	}
}

// frameLimit refuses a frame by its header, before anything is allocated for it.
func frameLimit(raw [sv2.HeaderSize]byte) error {
	h := sv2.ParseHeader(raw)
	limit, known := sv2.MaxLength(h.Extension, h.Type)
	if !known {
		limit = unknownLimit
	}
	if int(h.Length) > limit {
		return fmt.Errorf("%w: type 0x%02x has %d bytes, at most %d are accepted",
			errFrame, h.Type, h.Length, limit)
	}
	return nil
}

// unknownLimit is how long a message may be that is read only to be ignored, in bytes.
const unknownLimit = 4 << 10

// stopReading makes the reader return; the connection stays open for writing.
func (s *session) stopReading() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

// close ends the session for good; the first cause stays. It may be called by any goroutine,
// with or without a reader, and does not wait.
func (s *session) close(cause error) {
	s.mu.Lock()
	if s.cause != nil {
		s.mu.Unlock()
		return
	}
	s.cause = cause
	for id := range s.channels {
		s.dropChannel(id)
	}
	s.mu.Unlock()
	_ = s.conn.Close()
}

// finish waits for the writer and forgets the session. Whoever ran the reader calls it last.
func (s *session) finish() {
	s.writer.Wait()
	s.shard.remove(s)
}

// send seals one message into the outbox.
func (s *session) sendLocked(m interface{ AppendFrame([]byte) []byte }) {
	if s.cause != nil {
		return
	}
	b := scratch.Get().(*[]byte) //nolint:errcheck // the pool holds nothing else
	frame := m.AppendFrame((*b)[:0])
	if s.out.pending == nil {
		s.out.pending = (*scratch.Get().(*[]byte))[:0] //nolint:errcheck // the pool holds nothing else
	}
	s.out.pending = s.conn.AppendFrame(s.out.pending, frame)
	*b = frame[:0]
	scratch.Put(b)
}

// flush tries one write of everything sent. A failure closes the connection, which ends the reader.
func (s *session) flushLocked() {
	if s.cause != nil {
		return
	}
	if err := s.out.flush(s.spawnWriter); err != nil {
		_ = s.conn.Close()
	}
}

// spawnWriter starts the slow writer; it ends when the backlog is gone or the connection is.
func (s *session) spawnWriter() {
	s.writer.Go(func() {
		for {
			s.mu.Lock()
			b := s.out.take()
			s.mu.Unlock()
			if b == nil {
				return
			}
			_ = s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
			if _, err := s.conn.Conn.Write(b); err != nil {
				s.mu.Lock()
				s.out.failed = err
				s.mu.Unlock()
				_ = s.conn.Close()
			}
			// A deadline left behind would fail later writes that do not wait.
			_ = s.conn.SetWriteDeadline(time.Time{})
		}
	})
}

// sendReconnect asks the miner to come back to the same place.
func (s *session) sendReconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendLocked(sv2.Reconnect{})
	s.flushLocked()
}

// look ends sessions that opened nothing in time, retargets channels on silence, and
// resends a job whose duplicate set is full.
func (s *session) look(now time.Time) {
	s.mu.Lock()
	idle := len(s.channels) == 0 && now.Sub(s.opened) > s.srv.cfg.OpenTimeout
	for _, c := range s.channels {
		s.retargetLocked(c, now)
	}
	s.flushLocked()
	s.mu.Unlock()
	if idle {
		s.close(errNoChannel)
	}
}

// expect applies what the governor expects of the channels' workers: the new target and a
// job under it leave in one write (design decision 5).
func (s *session) expect(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		e := c.link.Expectation()
		if e == nil || e.Seq == c.expected {
			continue
		}
		c.expected = e.Seq
		c.pool.Expect(e.Hashrate, e.SharesPerMinute, now)
		s.retargetLocked(c, now)
	}
	s.flushLocked()
}

// authorize asks who an identity is.
func (s *session) authorize(identity string) (pool.WorkerID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s.mu.Lock()
	d := s.device
	s.mu.Unlock()
	return s.srv.rooms.Authorize.Authorize(ctx, identity, d)
}
