package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// MaxAnswer is the longest answer of a machine that is read, in bytes.
const MaxAnswer = 1 << 20

// web is the HTTP half of a driver. Each call is a connection of its own: control boards serve few.
type web struct {
	base   string // http://host:port
	client *http.Client
	sign   func(*http.Request) // adds credentials; nil: none
}

func newWeb(cfg Config) *web {
	return &web{base: "http://" + cfg.Address, client: &http.Client{
		// A machine that sends us elsewhere is not the machine that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            cfg.Gate.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}
}

// call sends body as JSON, if there is one, and reads the answer into out, if that is wanted.
func (w *web) call(ctx context.Context, method, path string, body, out any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
		send = bytes.NewReader(b)
	}
	b, err := w.exchange(ctx, method, path, send)
	if err != nil || out == nil {
		return err
	}
	return decodeAnswer(b, out)
}

// decodeAnswer reads JSON that a machine sent.
func decodeAnswer(b []byte, out any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}

// exchange makes one request and returns the body of a good answer.
func (w *web) exchange(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if w.sign != nil {
		w.sign(req)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, quiet(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	return b, statusError(resp.StatusCode, method, path)
}

// quiet takes the URL out of an error of net/http: its query may hold a key.
func quiet(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("asking the machine: %w", err)
}

// readAnswer reads all of an answer that is not too long.
func readAnswer(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxAnswer+1))
	switch {
	case err != nil && !errors.Is(err, net.ErrClosed):
		return nil, fmt.Errorf("reading the machine's answer: %w", err)
	case len(b) > MaxAnswer:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, MaxAnswer)
	}
	return b, nil
}

// statusError is what a status means: nil for any 2xx.
func statusError(status int, method, path string) error {
	if i := bytes.IndexByte([]byte(path), '?'); i >= 0 {
		path = path[:i]
	}
	kind := ErrAnswer
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = ErrLogin
	case status >= 400 && status < 500:
		kind = ErrRefused
	}
	return fmt.Errorf("%w: status %d to %s %s", kind, status, method, path)
}
