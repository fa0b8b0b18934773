package noise

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// HeaderSize is the size of a frame's header before it is sealed.
	HeaderSize = 6
	// Overhead is what sealing adds to the header and to each block of the payload.
	Overhead = chacha20poly1305.Overhead

	// blockSize is the most plaintext in one block (sv2-spec 04 §4.6).
	blockSize = 65535 - Overhead

	// aheadSize holds a whole sealed share, standard (62 bytes) or extended
	// with its worker's name (116), so that a share costs one read of the socket.
	aheadSize = 128
)

// Conn is an encrypted connection. One goroutine may read while another writes.
// It holds no buffer but a small array for headers: memory for a payload is the
// caller's, and is needed only once a header is there.
//
// Frames are the native use (ReadHeader, ReadPayload, AppendFrame). Read and Write carry the
// same plaintext as a stream of bytes, which makes it a net.Conn for tools and tests; do not
// mix the two on one side.
type Conn struct {
	net.Conn // the transport; Close, deadlines and addresses are its own

	in  inbound
	out cipherState

	writing  sync.Mutex // held by Write
	writeErr error      // guarded by writing; sticky
}

// inbound is the reader's half, owned by the reading goroutine.
type inbound struct {
	cipherState
	err        error  // sticky: the stream cannot be taken up again
	pending    int    // length of the payload announced by the last header and not read yet
	part       []byte // of a payload whose next byte was not there in time; nil else
	opened     int    // so much of part is opened; what follows is sealed
	rest       []byte // of a frame that Read has begun to give
	start, end int    // ahead[start:end] was read from the transport and not opened
	ahead      [aheadSize]byte
}

func newConn(conn net.Conn, receive, send *[32]byte) *Conn {
	c := &Conn{Conn: conn}
	c.in.initialize(receive)
	c.out.initialize(send)
	return c
}

// SealedSize is the size on the wire of a frame with a payload of n bytes.
func SealedSize(n int) int {
	return HeaderSize + Overhead + n + Overhead*blocks(n)
}

// blocks is in how many blocks a payload of n bytes is sealed. An empty one has none.
func blocks(n int) int { return (n + blockSize - 1) / blockSize }

func payloadLength(header []byte) int {
	return int(header[3]) | int(header[4])<<8 | int(header[5])<<16
}

// ReadFrame reads the next frame. The payload aliases buf if buf has room for it and
// Overhead more bytes, and nothing is allocated then. limit is asked with the header
// before anything is read or allocated for the payload; its error, like any other from
// here, ends the session. A nil limit accepts every length the header can say, up to 16 MiB.
func (c *Conn) ReadFrame(
	buf []byte, limit func(header [6]byte) error,
) (header [6]byte, payload []byte, err error) {
	if header, err = c.ReadHeader(); err != nil {
		return header, nil, err
	}
	if limit != nil {
		if err = limit(header); err != nil {
			return header, nil, c.in.fail(err)
		}
	}
	payload, err = c.ReadPayload(buf)
	return header, payload, err
}

// ReadHeader waits for the next frame and reads its header. It needs no buffer, so this is
// where an idle connection should wait. If the transport's deadline passes, ReadHeader may be
// called again and nothing is lost; every other error ends the session. After it, call
// ReadPayload.
func (c *Conn) ReadHeader() (header [6]byte, err error) {
	in := &c.in
	if in.err != nil {
		return header, in.err
	}
	if in.pending > 0 {
		return header, ErrOrder
	}
	if err = c.fill(HeaderSize + Overhead); err != nil {
		return header, err
	}
	sealed := in.ahead[in.start:][:HeaderSize+Overhead]
	in.start += len(sealed)
	plain, err := in.open(sealed[:0], sealed, nil)
	if err != nil {
		return header, in.fail(err)
	}
	header = [6]byte(plain)
	in.pending = payloadLength(header[:])
	return header, nil
}

// fill reads until ahead holds n bytes or more. A failed read loses nothing.
func (c *Conn) fill(n int) error {
	in := &c.in
	if in.end-in.start >= n {
		return nil
	}
	in.end = copy(in.ahead[:], in.ahead[in.start:in.end])
	in.start = 0
	for in.end < n {
		m, err := c.Conn.Read(in.ahead[in.end:])
		in.end += m
		if err != nil && in.end < n {
			if in.end > 0 {
				err = noEOF(err)
			}
			return err
		}
	}
	return nil
}

// ReadPayload reads the payload that the last header announced. It aliases buf if
// buf has room for it and Overhead more bytes. Else memory is allocated as the blocks
// come in, so that a header alone costs nothing. If the transport's deadline passes, or it
// would block, ReadPayload may be called again and nothing is lost: what has come is kept in
// memory of its own.
func (c *Conn) ReadPayload(buf []byte) ([]byte, error) {
	in := &c.in
	if in.err != nil {
		return nil, in.err
	}
	out, got := append(buf[:0], in.part...), 0
	if in.part != nil {
		out, got = out[:in.opened], len(in.part)-in.opened
		in.part = nil
	}
	for in.pending > 0 {
		sealed := min(in.pending, blockSize) + Overhead
		n := len(out)
		out = slices.Grow(out, sealed)
		block := out[n : n+sealed]
		ahead := copy(block[got:], in.ahead[in.start:in.end])
		in.start += ahead
		got += ahead
		m, err := io.ReadFull(c.Conn, block[got:])
		if err != nil {
			return nil, in.interrupted(out[:n+got+m], n, err)
		}
		plain, err := in.open(block[:0], block, nil)
		if err != nil {
			return nil, in.fail(err)
		}
		out, got = out[:n+len(plain)], 0
		in.pending -= len(plain)
	}
	return out, nil
}

// interrupted ends a read of a payload: for good, unless it was only too early for the rest of it.
func (in *inbound) interrupted(part []byte, opened int, err error) error {
	var early net.Error
	if errors.As(err, &early) && early.Timeout() {
		in.part, in.opened = slices.Clone(part), opened
		return err
	}
	return in.fail(noEOF(err))
}

// noEOF turns the end of the stream into an error: within a frame it is one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fail makes err the answer to every later read.
func (in *inbound) fail(err error) error {
	in.err = err
	return err
}

// AppendFrame appends the sealed form of frame, one header and its payload, to dst. It
// uses up nonces, so what it appends must be sent, in order and whole. Calls
// for one Conn must not overlap; a session makes them under the lock of its outbox.
//
// It panics if frame is not one whole frame, for the peer would lose its place in the
// stream: frames come from an encoder, never from a peer.
func (c *Conn) AppendFrame(dst, frame []byte) []byte {
	if len(frame) < HeaderSize || payloadLength(frame) != len(frame)-HeaderSize {
		panic("noise: the header's length is not the payload's")
	}
	payload := frame[HeaderSize:]
	if c.out.exhausted(1 + blocks(len(payload))) {
		panic("noise: " + ErrNonce.Error()) // after 2^64 blocks: no connection lives so long
	}
	dst = slices.Grow(dst, SealedSize(len(payload)))
	dst = c.out.seal(dst, frame[:HeaderSize], nil)
	for len(payload) > 0 {
		n := min(len(payload), blockSize)
		dst = c.out.seal(dst, payload[:n], nil)
		payload = payload[n:]
	}
	return dst
}

// Write seals and sends p, which is one or more whole frames. After an error the
// connection cannot be written to any more.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	// All of p is looked at before any of it is sealed: a nonce that was used must be sent.
	size := 0
	for rest := p; len(rest) > 0; {
		if len(rest) < HeaderSize || len(rest)-HeaderSize < payloadLength(rest) {
			return 0, fmt.Errorf("%w: %d bytes are left over", ErrFrame, len(rest))
		}
		n := payloadLength(rest)
		size += SealedSize(n)
		rest = rest[HeaderSize+n:]
	}
	sealed := make([]byte, 0, size)
	for rest := p; len(rest) > 0; {
		n := HeaderSize + payloadLength(rest)
		sealed = c.AppendFrame(sealed, rest[:n])
		rest = rest[n:]
	}
	if _, err := c.Conn.Write(sealed); err != nil {
		c.writeErr = err
		return 0, err
	}
	return len(p), nil
}

// Read reads plaintext, headers included. It allocates for each frame; servers use ReadHeader
// and ReadPayload.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.in.rest) == 0 {
		header, payload, err := c.ReadFrame(nil, nil)
		if err != nil {
			return 0, err
		}
		c.in.rest = append(header[:], payload...)
	}
	n := copy(p, c.in.rest)
	c.in.rest = c.in.rest[n:]
	return n, nil
}
