package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/btcsuite/websocket"
)

// Bounds of a socket.
const (
	socketBuffer = 64 << 10
	maxNews      = 64               // announced blocks that wait to be taken; more are lost, and said so
	maxCalls     = 16               // calls in flight; btcd serves 20 of one client at a time
	writeTimeout = 30 * time.Second // for a block of 8 MB in hexadecimal
)

// socket is a websocket to btcd. btcd closes the connection after every plain HTTP answer and
// gives all of its HTTP clients ten slots together, so blocks and submissions go over a websocket.
//
// One goroutine reads; it ends when the connection does.
type socket struct {
	conn  *websocket.Conn
	ended chan struct{} // closed when reading has ended
	news  chan struct{} // wakes the follower
	slots chan struct{}

	write sync.Mutex // held while one message is written

	// guarded by mu
	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan<- envelope
	blocks  []header
	lost    bool
	err     error // why reading ended
}

// dialSocket connects, authenticates and asks for block notifications.
func dialSocket(ctx context.Context, c Config) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := dial(ctx, c)
	if err != nil {
		return nil, err
	}
	ws, err := upgrade(ctx, conn, c)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s := &socket{
		conn: ws, ended: make(chan struct{}), news: make(chan struct{}, 1),
		slots: make(chan struct{}, maxCalls), waiting: make(map[uint64]chan<- envelope),
	}
	go s.read()
	if _, err := s.call(ctx, "notifyblocks"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func dial(ctx context.Context, c Config) (net.Conn, error) {
	secure, err := c.secure()
	if err != nil {
		return nil, err
	}
	if secure == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", c.Address)
	}
	return (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", c.Address)
}

// maxUpgrade is the longest answer to the request for a websocket.
const maxUpgrade = 64 << 10

// capped bounds what is read before a connection is a websocket, which has bounds of its own.
type capped struct {
	net.Conn
	left int // bytes that may still be read; below zero: any number
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return c.Conn.Read(p)
	}
	if c.left == 0 {
		return 0, fieldError("(http)", "answer of more than %d bytes", maxUpgrade)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// upgrade makes a websocket of a connection.
func upgrade(ctx context.Context, conn net.Conn, c Config) (*websocket.Conn, error) {
	user, password, err := c.credentials()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	login := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	bound := &capped{conn, maxUpgrade}
	ws, resp, err := websocket.NewClient(bound, &url.URL{Scheme: "ws", Host: c.Address, Path: "/ws"},
		http.Header{"Authorization": {"Basic " + login}}, socketBuffer, socketBuffer)
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	switch {
	case err == nil:
		bound.left = -1
		return ws, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("opening the websocket: %w", ctx.Err())
	case resp == nil:
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, errDenied
	default:
		return nil, fmt.Errorf("opening the websocket: the node answers %s; is this btcd's RPC port?",
			resp.Status)
	}
	return nil, fmt.Errorf("opening the websocket: %w (btcd without --notls needs its certificate)", err)
}

func (s *socket) call(ctx context.Context, method string, params ...any) ([]byte, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("calling %s: %w", method, ctx.Err())
	}
	defer func() { <-s.slots }()

	answer := make(chan envelope, 1)
	id, err := s.expect(answer)
	if err != nil {
		return nil, err
	}
	defer s.forget(id)
	text, err := newRequest(id, method, params)
	if err != nil {
		return nil, err
	}
	if err := s.send(text); err != nil {
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	select {
	case a := <-answer:
		return a.result, a.err
	case <-s.ended:
		return nil, fmt.Errorf("calling %s: %w", method, s.failure())
	case <-ctx.Done():
		return nil, fmt.Errorf("calling %s: no answer in time: %w", method, ctx.Err())
	}
}

func (s *socket) expect(answer chan<- envelope) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.lastID++
	s.waiting[s.lastID] = answer
	return s.lastID, nil
}

func (s *socket) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

func (s *socket) send(text []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.TextMessage, text)
}

// read hands messages out until the connection ends.
func (s *socket) read() {
	defer close(s.ended)
	var buf bytes.Buffer // reused: only results are copied out
	for {
		err := s.readMessage(&buf)
		if err != nil {
			s.mu.Lock()
			s.err = fmt.Errorf("%w: %w", errClosed, err)
			s.mu.Unlock()
			_ = s.conn.Close()
			return
		}
	}
}

func (s *socket) readMessage(buf *bytes.Buffer) error {
	_, r, err := s.conn.NextReader()
	if errors.Is(err, io.EOF) {
		return errors.New("the node hung up")
	}
	if err != nil {
		return err
	}
	buf.Reset()
	if n, err := buf.ReadFrom(io.LimitReader(r, maxMessage+1)); err != nil || n > maxMessage {
		return errors.Join(err, tooLong(n))
	}
	e, err := parseEnvelope(buf.Bytes())
	if err != nil {
		return err
	}
	if e.method != "" {
		return s.announce(e)
	}
	s.mu.Lock()
	answer := s.waiting[e.id]
	delete(s.waiting, e.id)
	s.mu.Unlock()
	if answer != nil {
		e.result = bytes.Clone(e.result)
		answer <- e // never blocks: room for one, sent once
	}
	return nil
}

func tooLong(n int64) error {
	if n <= maxMessage {
		return nil
	}
	return fieldError("(message)", "more than %d bytes", maxMessage)
}

// announce takes a notification. Only new blocks matter: what they are not built on is gone.
func (s *socket) announce(e envelope) error {
	if e.method != "filteredblockconnected" {
		return nil
	}
	var params []json.RawMessage
	var height int32
	var text string
	if err := json.Unmarshal(e.params, &params); err != nil || len(params) < 2 {
		return fieldError(e.method, "height and header are accepted")
	}
	if json.Unmarshal(params[0], &height) != nil || json.Unmarshal(params[1], &text) != nil {
		return fieldError(e.method, "height and header are accepted")
	}
	h, err := headerFromHex(text, height)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if len(s.blocks) == maxNews {
		s.blocks, s.lost = s.blocks[:0], true
	}
	s.blocks = append(s.blocks, h)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default: // woken already
	}
	return nil
}

func headerFromHex(text string, height int32) (header, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != headerSize || height < 0 {
		return header{}, fieldError("header", "%d digits at height %d, %d hexadecimal digits are accepted",
			len(text), height, 2*headerSize)
	}
	return parseHeader(raw, height)
}

func (s *socket) take() ([]header, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blocks, lost := s.blocks, s.lost
	s.blocks, s.lost = nil, false
	return blocks, lost
}

func (s *socket) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *socket) wake() <-chan struct{} { return s.news }

func (s *socket) done() <-chan struct{} { return s.ended }

func (s *socket) close() {
	_ = s.conn.Close()
	<-s.ended
}
