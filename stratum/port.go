package stratum

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// Dialect is a way to speak Stratum.
type Dialect uint8

// The dialects.
const (
	V1 Dialect = iota
	V2
	dialects
)

// String is the dialect's name.
func (d Dialect) String() string {
	if d == V1 {
		return "v1"
	}
	return "v2"
}

// Port is what one listener serves. The zero value serves everybody.
type Port struct {
	Name          string   // for people
	Only          *Dialect // that is spoken; nil: both, told apart by the first bytes
	MinDifficulty float64  // no channel gets easier work; 0: Config.MinDifficulty, which is never passed
	PowersOfTwo   bool     // difficulties above 1 are powers of two
	// TLS is what a certificate is shown by; nil: plain TCP. GetCertificate may change it.
	TLS *tls.Config
	// Proxies are the sources of which a PROXY header says who is behind them: each of their connections
	// has to begin with one. From everybody else it is rubbish, because it might be a lie.
	Proxies []netip.Prefix
}

// Validate says what cannot be served.
func (p *Port) Validate() error {
	if d := p.MinDifficulty; !(d >= 0 && d <= maxDifficulty) {
		return fmt.Errorf("port %s: minimum difficulty is %v: 0 to 2147483648 is accepted", p.Name, d)
	}
	return nil
}

// port is a Port that is served.
type port struct {
	Port
	floor pool.Target // easiest that its channels get

	live   [dialects]atomic.Int64  // connections
	opened [dialects]atomic.Uint64 // ... ever
	failed atomic.Uint64           // connections that never became one of these
}

// newPort is a port that is about to be served.
func newPort(p Port) *port {
	n := &port{Port: p, floor: pool.MaxTarget}
	n.Proxies = slices.Clone(p.Proxies)
	if p.MinDifficulty > 0 {
		n.floor = pool.TargetForDifficulty(p.MinDifficulty)
	}
	return n
}

// serves reports whether a dialect is spoken on the port.
func (p *port) serves(d Dialect) bool { return p.Only == nil || *p.Only == d }

// passes reports whether a connection comes from a proxy that has to say who is behind it.
func (p *port) passes(conn net.Conn) bool {
	if len(p.Proxies) == 0 {
		return false
	}
	from := addressOf(conn)
	return slices.ContainsFunc(p.Proxies, func(n netip.Prefix) bool { return n.Contains(from) })
}

// addressOf is where a connection comes from.
func addressOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// unwrap reads the header of a proxy's connection and gives the one behind it.
func (s *Server) unwrap(conn net.Conn) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("setting the deadline of a PROXY header: %w", err)
	}
	from, err := readProxyHeader(conn)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !from.IsValid() {
		return conn, nil
	}
	return &forwarded{tcp, net.TCPAddrFromAddrPort(from)}, nil
}

// tlsHello bounds the first record of a TLS connection: type 1, version 2, length 2, and what is in it.
const tlsHello = 5 + 16384

// encrypt shakes hands over TLS. As with Noise, what is expensive waits for the turn of its address, and
// the turn is taken when all that the peer has to send for it is there.
func (s *Server) encrypt(conn net.Conn, source netip.Prefix, cfg *tls.Config) (net.Conn, error) {
	deadline := time.Now().Add(s.cfg.HandshakeTimeout)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("setting the handshake deadline: %w", err)
	}
	head := make([]byte, 5, 512)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, fmt.Errorf("reading the first TLS record: %w", err)
	}
	const handshake = 22
	length := int(head[3])<<8 | int(head[4])
	if head[0] != handshake || head[1] != 3 || length > tlsHello-5 {
		if head[0] == '{' {
			_, _ = io.WriteString(conn, `{"id":null,"result":null,"error":[20,`+
				`"this port speaks TLS: point the miner at stratum+ssl://","hashlease"]}`+"\n")
			linger(conn)
		}
		return nil, errNoTLS
	}
	head = slices.Grow(head, length)[:5+length]
	if _, err := io.ReadFull(conn, head[5:]); err != nil {
		return nil, fmt.Errorf("reading the first TLS record: %w", err)
	}
	if !s.turns.take(source, s.done) {
		return nil, ErrServerClosed
	}
	told := &helloConn{Conn: conn, first: head, done: sync.OnceFunc(s.turns.give)}
	defer told.done()
	secured := tls.Server(told, cfg)
	if err := secured.Handshake(); err != nil {
		return nil, fmt.Errorf("shaking hands over TLS: %w", err)
	}
	return secured, nil
}

// helloConn is a connection whose first bytes were read already. Whoever reads past them has done the
// expensive part of the handshake, and gives the turn back: from then on the peer may be slow.
type helloConn struct {
	net.Conn
	first []byte
	done  func()
}

// Read implements net.Conn.
func (h *helloConn) Read(b []byte) (int, error) {
	if len(h.first) > 0 {
		n := copy(b, h.first)
		if h.first = h.first[n:]; len(h.first) == 0 {
			h.first = nil
		}
		return n, nil
	}
	h.done()
	return h.Conn.Read(b)
}

// CloseWrite ends our side.
func (h *helloConn) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// count adds to the live connections of a session's dialect.
func (p *port) count(se *session, n int64) {
	d := se.dialect()
	p.live[d].Add(n)
	if n > 0 {
		p.opened[d].Add(uint64(n))
	}
}

// dialect is what the session speaks.
func (s *session) dialect() Dialect {
	if s.conn == nil {
		return V1
	}
	return V2
}

// easiest is the easiest target that a session's channels get, of what the device takes.
func (p *port) easiest(device pool.Target) pool.Target { return device.Min(p.floor) }

// PortStats is what happened on one port.
type PortStats struct {
	Name    string
	Address string             // that it listens on
	Live    map[Dialect]int64  // connections
	Opened  map[Dialect]uint64 // ... ever
	Failed  uint64             // connections that never came to speak Stratum
}

func (p *port) stats() PortStats {
	st := PortStats{
		Name: p.Name, Failed: p.failed.Load(), Live: map[Dialect]int64{}, Opened: map[Dialect]uint64{},
	}
	for d := range dialects {
		if p.serves(d) {
			st.Live[d], st.Opened[d] = p.live[d].Load(), p.opened[d].Load()
		}
	}
	return st
}
