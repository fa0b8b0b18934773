package stratumtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// v1Longest bounds a line from a pool.
const v1Longest = 1 << 20

// V1Client is a connection of Stratum V1 that does what a script says and nothing by itself. Send may be
// used by several goroutines, the rest by one.
type V1Client struct {
	conn net.Conn
	in   *bufio.Reader
	half []byte      // of a line, at the end of the last wait
	past []V1Message // received, and not yet awaited

	mu sync.Mutex // held while writing
}

// DialV1 connects, over TLS if there is a configuration for it.
func DialV1(ctx context.Context, address string, secure *tls.Config) (*V1Client, error) {
	conn, err := dialV1(ctx, address, secure)
	if err != nil {
		return nil, err
	}
	return NewV1Client(conn), nil
}

func dialV1(ctx context.Context, address string, secure *tls.Config) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if secure == nil {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("dialing the pool: %w", err)
	}
	return conn, nil
}

// NewV1Client speaks over a connection that is already there, from either side.
func NewV1Client(conn net.Conn) *V1Client { return &V1Client{conn: conn, in: bufio.NewReader(conn)} }

// Close ends the connection without a word.
func (c *V1Client) Close() error { return c.conn.Close() }

// Conn is the connection underneath, for tests that break it.
func (c *V1Client) Conn() net.Conn { return c.conn }

// Send writes lines in one go.
func (c *V1Client) Send(lines ...string) error {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return c.SendBytes(b)
}

// SendBytes writes bytes as they are.
func (c *V1Client) SendBytes(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(b)
	return err
}

// Next is the oldest message that was not awaited yet, or the next one from the wire.
func (c *V1Client) Next(within time.Duration) (V1Message, error) {
	if len(c.past) > 0 {
		m := c.past[0]
		c.past = c.past[1:]
		return m, nil
	}
	return c.read(time.Now().Add(within))
}

func (c *V1Client) read(deadline time.Time) (V1Message, error) {
	line, err := c.line(deadline)
	if err != nil {
		return V1Message{}, err
	}
	return ParseV1(line)
}

// line reads one, without its end.
func (c *V1Client) line(deadline time.Time) (string, error) {
	_ = c.conn.SetReadDeadline(deadline)
	for {
		part, err := c.in.ReadSlice('\n')
		c.half = append(c.half, part...)
		switch {
		case err == nil:
			line := string(c.half[:len(c.half)-1])
			c.half = c.half[:0]
			return line, nil
		case len(c.half) > v1Longest:
			return "", fmt.Errorf("line is longer than %d bytes", v1Longest)
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// AwaitMethod is the next message with this method; others are kept for later calls, in order.
func (c *V1Client) AwaitMethod(method string, within time.Duration) (V1Message, error) {
	return c.await(method, within, func(m *V1Message) bool { return m.Method == method })
}

// AwaitReply is the answer to a request, whose id is given as JSON.
func (c *V1Client) AwaitReply(id string, within time.Duration) (V1Message, error) {
	return c.await("the answer to "+id, within, func(m *V1Message) bool {
		return m.Method == "" && string(m.ID) == id
	})
}

func (c *V1Client) await(what string, within time.Duration, wanted func(*V1Message) bool) (V1Message, error) {
	for i := range c.past {
		if m := c.past[i]; wanted(&m) {
			c.past = slices.Delete(c.past, i, i+1)
			return m, nil
		}
	}
	deadline := time.Now().Add(within)
	for len(c.past) < maxPast {
		m, err := c.read(deadline)
		if err != nil {
			return m, fmt.Errorf("awaiting %s: %w", what, err)
		}
		if wanted(&m) {
			return m, nil
		}
		c.past = append(c.past, m)
	}
	return V1Message{}, fmt.Errorf("%d other messages came before %s", maxPast, what)
}

// AwaitEnd waits for the other side to close the connection; anything that comes first is kept.
func (c *V1Client) AwaitEnd(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		switch m, err := c.read(deadline); {
		case err == nil:
			c.past = append(c.past, m)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("connection is still open after %v", within)
		default:
			return nil // that is the end
		}
	}
}
