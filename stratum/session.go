package stratum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
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
	says   dialect     // how the peer is told things
	wire   net.Conn    // the transport
	conn   *noise.Conn // over it; nil in Stratum V1
	id     uint64
	source netip.Prefix // who it counts for
	port   *port        // it came to; set before it is served

	poked atomic.Bool // listed in the shard's poked
	many  atomic.Bool // it once had many channels
	place int         // guarded by the shard's mu: where it is in the shard's sessions

	// owned by the reader
	head         sv2.Header // of the frame in hand
	inFrame      bool
	ownPoll      bool          // the transport is a socket of the poller
	polled       bool          // poll runs
	debt         time.Duration // to wait before the next frame
	failed       error         // why serve ends the session
	setUp        bool
	standardOnly bool      // REQUIRES_STANDARD_JOBS
	complained   bool      // a refused channel was logged
	asked        int       // times that RequestExtensions came
	heard        time.Time // when the last frame was handled
	awaiting     bool      // a retry of it is waited for
	budget       bucket
	opens        bucket  // channels more than ever
	free         bucket  // frames that cost the newcomers' budget nothing
	paid         float64 // frames of that budget which it has paid for ahead
	refused      bool    // the share in hand was
	most         int     // channels that it has had at one time

	unsure int // guarded by shard.mu: shares enqueued, and neither durable nor given up

	mu       sync.Mutex
	out      outbox                // guarded by mu
	device   *Device               // guarded by mu
	coinbase int                   // guarded by mu: bytes of the largest that the device bears
	granted  extensions            // guarded by mu: negotiated; only the reader changes it
	channels map[uint32]*channel   // guarded by mu
	groups   []*group              // guarded by mu
	sites    map[string]*powerLink // guarded by mu: what an agent steers; nil without one
	empty    time.Time             // guarded by mu: since when it has no channel
	proxy    bool                  // guarded by mu: it may wait without a channel
	nextID   uint32                // guarded by mu: channel and group ids, never reused
	nextJob  uint32                // guarded by mu: one counter for all jobs of the connection
	owed     bool                  // guarded by mu: listed in the shard's owed
	parting  bool                  // guarded by mu: the last word was sent
	cause    error                 // guarded by mu: why it is closed; nil while it lives
	writer   sync.WaitGroup        // the slow writer, if there is one
}

var sessionIDs atomic.Uint64

// newSession is a session of Stratum V2.
func newSession(srv *Server, conn *noise.Conn, source netip.Prefix, now time.Time) *session {
	s := new(session)
	s.init(srv, conn.Conn, source, now)
	s.conn, s.says = conn, v2{s}
	return s
}

// init makes a session but for its dialect.
func (s *session) init(srv *Server, wire net.Conn, source netip.Prefix, now time.Time) {
	s.srv, s.shard, s.wire, s.id, s.source = srv, srv.nextShard(), wire, sessionIDs.Add(1), source
	s.ownPoll = isSocket(wire)
	s.out, s.channels, s.empty, s.nextID = newOutbox(wire), map[uint32]*channel{}, now, firstGroup
	s.device, s.port = &Device{Address: wire.RemoteAddr().String()}, srv.anyPort
	s.coinbase = srv.coinbaseOf(s.device)
}

// greet shakes hands and makes the session, nil if there will be none.
func (s *Server) greet(conn net.Conn, source netip.Prefix, p *port) *session {
	se, err := s.meet(conn, source, p)
	if err != nil {
		s.fail(conn, p, err)
		return nil
	}
	se.port = p
	s.counts.handshakes.Add(1)
	se.shard.add(se)
	return se
}

// serve handles frames to the end of the session, or until it is about to rest: it is then called
// again, on another goroutine.
func (s *session) serve() (rests bool) {
	err := s.failed
	if err == nil {
		s.pay()
		err = s.says.read()
	}
	if err == nil {
		return true
	}
	s.end(err)
	return false
}

func (s *session) poll() (rests bool) { return s.says.poll() }

// poll handles the shares that have come. All else, and shares that would have to wait, are left to
// serve: a channel that is opened asks who it is for, and a job for many channels holds their lock.
func (d v2) poll() (rests bool) {
	s := d.session
	s.polled = true
	defer func() { s.polled = false }()
	for range pollFrames {
		if s.granted.names || s.many.Load() || s.shard.full(s) {
			return false
		}
		h, err := s.header()
		if errors.Is(err, syscall.EAGAIN) {
			return true
		}
		if err == nil && !isShare(h) {
			return false
		}
		if err == nil {
			err = s.readFrame(h)
		}
		if errors.Is(err, syscall.EAGAIN) {
			return true
		}
		if s.failed = err; err != nil || s.debt > 0 {
			return false
		}
	}
	return false
}

func (s *session) transport() net.Conn { return s.wire }

func (s *session) leave() {
	s.port.count(s, -1)
	s.srv.leave(s.source, true)
}

// end closes the session. At a drain it leaves the rest to Shutdown, which acknowledges, says goodbye
// and closes.
func (s *session) end(err error) {
	switch {
	case s.srv.isDraining() && errors.Is(err, os.ErrDeadlineExceeded):
		return
	case errors.Is(err, errSetupRefused), errors.Is(err, errExtensions):
		s.part(err)
	default:
		s.close(err)
	}
	s.finish()
	s.srv.log.Debug("session ended", slog.Uint64("session", s.id), slog.Any("cause", s.why()))
}

// read handles frames until the connection ends, or is about to rest: the error is nil then. It holds
// no buffer while nothing comes.
func (d v2) read() error {
	s := d.session
	for {
		h, err := s.header()
		if err == nil {
			err = s.readFrame(h)
		}
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		s.pay()
		if s.rests(h) {
			return nil
		}
	}
}

// header is that of the frame whose payload is read next.
func (s *session) header() (sv2.Header, error) {
	if s.inFrame {
		return s.head, nil
	}
	raw, err := s.conn.ReadHeader()
	switch {
	case errors.Is(err, io.EOF):
		return s.head, errPeerGone
	case err != nil:
		return s.head, fmt.Errorf("reading a frame: %w", err)
	}
	s.head, s.inFrame = sv2.ParseHeader(raw), true
	return s.head, s.checkLength(s.head)
}

// restAfter is how far apart shares are on a connection that rests in between. To begin anew costs
// about a microsecond, and saves 2 to 6 KiB of stack meanwhile.
const restAfter = time.Second

// rests guesses, after a frame was handled, whether the next one will be long in coming.
func (s *session) rests(h sv2.Header) bool {
	if s.ownPoll {
		return false // its transport says when
	}
	last := s.heard
	s.heard = time.Now()
	busy := h.Type == sv2.TypeSubmitSharesStandard || h.Type == sv2.TypeSubmitSharesExtended
	return !busy || s.heard.Sub(last) > restAfter
}

// payloads lends buffers that hold the sealed payload of all usual messages.
var payloads = sync.Pool{New: func() any { return new([512]byte) }}

// readFrame reads and handles one message. Nothing of the payload is kept.
func (s *session) readFrame(h sv2.Header) error {
	b, _ := payloads.Get().(*[512]byte) // the pool holds nothing else
	defer payloads.Put(b)
	payload, err := s.conn.ReadPayload(b[:])
	if err != nil {
		return fmt.Errorf("reading a payload: %w", err)
	}
	s.inFrame = false
	now := time.Now()
	s.refused = false
	if err := s.handle(h, payload, now); err != nil {
		return err
	}
	s.debt = s.charge(h, s.refused, now)
	return nil
}

// frameLimit is how long any payload may be, in bytes. The longest that is of use here is a list of
// extensions; what other servers take in megabytes is read only to be ignored.
const frameLimit = 4 << 10

// checkLength refuses a frame by its header, before anything is allocated for it. The number of an
// extension that was not agreed on may stand for another one.
func (s *session) checkLength(h sv2.Header) error {
	limit := frameLimit
	longest, known := sv2.MaxLength(h.Extension, h.Type)
	if known && (h.ID() != sv2.ExtPower || s.granted.power) {
		limit = min(limit, longest)
	}
	if int(h.Length) > limit {
		return fmt.Errorf("%w: type 0x%02x has %d bytes, at most %d are accepted",
			errFrame, h.Type, h.Length, limit)
	}
	return nil
}

// stopReading makes the reader return; the connection stays open for writing.
func (s *session) stopReading() { _ = s.wire.SetReadDeadline(time.Unix(1, 0)) }

// part ends the session so that the peer can read everything that was sent. The reader must have
// returned. It takes at most lingerFor twice.
func (s *session) part(cause error) {
	s.mu.Lock()
	s.parting = true
	s.mu.Unlock()
	cut := time.AfterFunc(lingerFor, func() { _ = s.wire.Close() })
	s.writer.Wait()
	if cut.Stop() {
		linger(s.wire)
	}
	s.close(cause)
}

// close ends the session for good; the first cause stays. It may be called by any goroutine,
// with or without a reader, and does not wait.
func (s *session) close(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(cause)
}

func (s *session) closeLocked(cause error) {
	if s.cause != nil {
		return
	}
	s.cause = cause
	for id := range s.channels {
		s.dropLocked(id)
	}
	s.dropSitesLocked()
	s.says.goneLocked()
	if s.out.pending != nil {
		giveBack(s.out.pending)
		s.out.pending = nil
	}
	s.countBacklogLocked() // of a slow writer too, which may fail without another look
	_ = s.wire.Close()     // does not block: nothing lingers in the kernel's close
}

func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// finish waits for the writer and forgets the session. Whoever ran the reader calls it last.
func (s *session) finish() {
	s.writer.Wait()
	s.shard.remove(s)
}

// look ends sessions of devices that have had no channel for long and retargets channels on silence.
func (s *session) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.channels)+len(s.sites) == 0 && !s.proxy && now.Sub(s.empty) > s.srv.cfg.OpenTimeout {
		s.closeLocked(errNoChannel)
		return
	}
	for _, c := range s.channels {
		if c.held != nil {
			s.updateLocked(c, *c.held, now)
		}
		s.retargetLocked(c, now)
	}
	s.says.lookLocked(now)
	s.flushLocked()
}

// expect applies what the governor expects of the channels' workers: the new target and a
// job under it leave in one write (design decision 5).
func (s *session) expect(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.expect(now) {
			s.retargetLocked(c, now)
		}
	}
	s.flushLocked()
}

// authorize asks who an identity is.
func (s *session) authorize(identity string) (pool.WorkerID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return s.srv.rooms.Authorize.Authorize(ctx, identity, *s.device) // only the reader changes it
}
