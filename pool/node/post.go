package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// maxIdle is how many connections to Core are kept open between calls: one for polling,
// one for a template, two for blocks.
const maxIdle = 4

// poster calls Bitcoin Core over HTTP with kept-alive connections.
type poster struct {
	url            string
	user, password string
	client         *http.Client
	transport      *http.Transport
	lastID         atomic.Uint64
}

// dialPoster prepares calls. The first one shows whether the node is there.
func dialPoster(_ context.Context, c Config) (link, error) {
	secure, err := c.secure()
	if err != nil {
		return nil, err
	}
	p := &poster{url: "http://" + c.Address + "/"}
	if secure != nil {
		p.url = "https://" + c.Address + "/"
	}
	if p.user, p.password, err = c.credentials(); err != nil {
		return nil, err
	}
	p.transport = &http.Transport{
		TLSClientConfig: secure, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: time.Minute,
		DisableCompression: true, Proxy: nil,
	}
	p.client = &http.Client{
		Transport:     p.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, nil
}

func (p *poster) call(ctx context.Context, method string, params ...any) ([]byte, error) {
	id := p.lastID.Add(1)
	text, err := newRequest(id, method, params)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	req.SetBasicAuth(p.user, p.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var buf bytes.Buffer
	if resp.ContentLength > 0 && resp.ContentLength <= maxMessage {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, maxMessage+1))
	if err := errors.Join(err, tooLong(n)); err != nil {
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	return openAnswer(id, method, resp, buf.Bytes())
}

// openAnswer unpacks an answer. Core says refusals with HTTP 500 or 404 and JSON
// inside, and what comes before its RPC with plain text.
func openAnswer(id uint64, method string, resp *http.Response, body []byte) ([]byte, error) {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return nil, errDenied
	case http.StatusForbidden:
		return nil, fmt.Errorf("%w: it does not accept this machine's address (rpcallowip)", errDenied)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return nil, fmt.Errorf("calling %s: the node is busy: %s: %s",
			method, resp.Status, clip(string(body)))
	}
	e, err := parseEnvelope(body)
	if err != nil {
		return nil, fmt.Errorf("calling %s: the node answers %s: %w", method, resp.Status, err)
	}
	if e.err == nil && (e.id != id || e.result == nil) {
		return nil, fieldError("id", "answer %d to call %d", e.id, id)
	}
	return e.result, e.err
}

func (p *poster) wake() <-chan struct{} { return nil }

func (p *poster) take() ([]header, bool) { return nil, false }

func (p *poster) done() <-chan struct{} { return nil }

func (p *poster) close() { p.transport.CloseIdleConnections() }
