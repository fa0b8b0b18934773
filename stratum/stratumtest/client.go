package stratumtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// AwaitFor is how long a Client waits for a message if it is not told otherwise.
const AwaitFor = 5 * time.Second

// maxPast bounds the frames that a Client keeps for later.
const maxPast = 10_000

// Frame is one received frame with its message.
type Frame struct {
	Header  sv2.Header
	Payload []byte
	Message sv2.Message // of package sv2, nil if that does not know it
}

// Client is a connection that does what a script says and nothing by itself. Send may be
// used by several goroutines, the rest by one.
type Client struct {
	conn *noise.Conn
	past []Frame // received, and not yet awaited

	mu sync.Mutex // held while writing
}

// Dial opens an encrypted connection. A nil authority accepts any server.
func Dial(ctx context.Context, address string, authority *noise.PublicKey) (*Client, error) {
	conn, err := dial(ctx, Endpoint{Address: address, Authority: authority})
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return &Client{conn: conn}, nil
}

// NewClient does the handshake on a connection that is already there.
func NewClient(raw net.Conn, authority *noise.PublicKey) (*Client, error) {
	conn, err := noise.Connect(raw, authority, time.Now())
	if err != nil {
		return nil, fmt.Errorf("opening the encrypted connection: %w", err)
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

// Conn is the connection underneath, for tests that break it.
func (c *Client) Conn() *noise.Conn { return c.conn }

// Send writes messages in one go.
func (c *Client) Send(msgs ...sv2.Message) error {
	var plain []byte
	for _, m := range msgs {
		plain = m.AppendFrame(plain)
	}
	return c.write(plain)
}

// SendRaw writes a frame of the caller's making. The extension may carry the channel bit.
func (c *Client) SendRaw(extension uint16, typ uint8, payload []byte) error {
	h := sv2.Header{Extension: extension, Type: typ, Length: uint32(len(payload))}
	return c.write(append(h.Append(nil), payload...))
}

// SendBytes writes bytes as they are, without encryption: what breaks a session.
func (c *Client) SendBytes(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Conn.Write(b)
	return err
}

func (c *Client) write(plain []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(plain)
	return err
}

// Next is the oldest frame that was not awaited yet, or the next one from the wire.
func (c *Client) Next(within time.Duration) (Frame, error) {
	if len(c.past) > 0 {
		f := c.past[0]
		c.past = c.past[1:]
		return f, nil
	}
	return c.read(time.Now().Add(within))
}

func (c *Client) read(deadline time.Time) (Frame, error) {
	_ = c.conn.SetReadDeadline(deadline)
	raw, payload, err := c.conn.ReadFrame(nil, nil)
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Header: sv2.ParseHeader(raw), Payload: payload}
	f.Message, _ = sv2.Decode(f.Header, payload) // unknown ones are for the script to look at
	return f, nil
}

// Await is the next message of type M; others are kept for later calls, in order.
func Await[M any](c *Client, within time.Duration) (M, error) {
	f, err := c.await(within, func(f Frame) bool { _, ok := f.Message.(M); return ok })
	m, _ := f.Message.(M)
	if err != nil {
		err = fmt.Errorf("awaiting %T: %w", m, err)
	}
	return m, err
}

// AwaitType is the next frame of one of the core protocol's types.
func (c *Client) AwaitType(within time.Duration, types ...uint8) (Frame, error) {
	f, err := c.await(within, func(f Frame) bool {
		return f.Header.ID() == 0 && slices.Contains(types, f.Header.Type)
	})
	if err != nil {
		err = fmt.Errorf("awaiting message types %x: %w", types, err)
	}
	return f, err
}

func (c *Client) await(within time.Duration, wanted func(Frame) bool) (Frame, error) {
	for i, f := range c.past {
		if wanted(f) {
			c.past = slices.Delete(c.past, i, i+1)
			return f, nil
		}
	}
	deadline := time.Now().Add(within)
	for len(c.past) < maxPast {
		f, err := c.read(deadline)
		if err != nil || wanted(f) {
			return f, err
		}
		c.past = append(c.past, f)
	}
	return Frame{}, fmt.Errorf("%d other messages came first", maxPast)
}

// AwaitEnd waits for the server to close the connection; anything that comes first is kept.
func (c *Client) AwaitEnd(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		switch f, err := c.read(deadline); {
		case err == nil:
			c.past = append(c.past, f)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("connection is still open after %v", within)
		default:
			return nil // that is the end
		}
	}
}

// Setup sends SetupConnection with the flags and waits for its Success.
func (c *Client) Setup(flags uint32) (sv2.SetupConnectionSuccess, error) {
	host, port := splitAddress(c.conn.RemoteAddr().String())
	if err := c.Send(sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version, Flags: flags,
		Host: host, Port: port, Vendor: "stratumtest", HardwareVersion: "script",
	}); err != nil {
		return sv2.SetupConnectionSuccess{}, err
	}
	return Await[sv2.SetupConnectionSuccess](c, AwaitFor)
}

// OpenStandard opens a standard channel and waits for its Success.
func (c *Client) OpenStandard(identity string, nominal unit.Hashrate, easiest pool.Target) (
	sv2.OpenStandardMiningChannelSuccess, error,
) {
	if err := c.Send(sv2.OpenStandardMiningChannel{
		RequestID: 1, UserIdentity: identity, NominalHashRate: float32(nominal), MaxTarget: easiest.Bytes(),
	}); err != nil {
		return sv2.OpenStandardMiningChannelSuccess{}, err
	}
	return Await[sv2.OpenStandardMiningChannelSuccess](c, AwaitFor)
}

// OpenExtended opens an extended channel and waits for its Success.
func (c *Client) OpenExtended(identity string, nominal unit.Hashrate, easiest pool.Target) (
	sv2.OpenExtendedMiningChannelSuccess, error,
) {
	if err := c.Send(sv2.OpenExtendedMiningChannel{
		RequestID: 1, UserIdentity: identity, NominalHashRate: float32(nominal), MaxTarget: easiest.Bytes(),
	}); err != nil {
		return sv2.OpenExtendedMiningChannelSuccess{}, err
	}
	return Await[sv2.OpenExtendedMiningChannelSuccess](c, AwaitFor)
}

func splitAddress(address string) (host string, port uint16) {
	host, text, _ := net.SplitHostPort(address) // of a live connection: always well formed
	n, _ := strconv.ParseUint(text, 10, 16)
	return host, uint16(n)
}
