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
	"time"
)

// MaxAnswer is the longest answer of a machine that is read, in bytes.
const MaxAnswer = 1 << 20

// web is the HTTP half of a driver. It holds one connection, and that not for long: control boards serve
// few.
type web struct {
	base   string // http://host:port
	client *http.Client
	// sign adds credentials to a request; nil: none are needed.
	sign func(*http.Request)
	// login answers a refusal with its headers; after it the request is made once more. nil: refused for
	// good.
	login func(ctx context.Context, refusal http.Header) error
}

// idle is how long a connection outlives its last request: long enough for the next of the same call.
const idle = 200 * time.Millisecond

func newWeb(cfg Config) *web {
	return &web{base: "http://" + cfg.Address, client: &http.Client{
		// A machine that sends us elsewhere is not the machine that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            cfg.Gate.DialContext,
			MaxConnsPerHost:        1,
			IdleConnTimeout:        idle,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}
}

// call sends body as JSON, if there is one, and reads the answer into out, if that is wanted.
func (w *web) call(ctx context.Context, method, path string, body, out any) error {
	var send []byte
	if body != nil {
		var err error
		if send, err = json.Marshal(body); err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
	}
	b, err := w.exchange(ctx, method, path, send)
	if err != nil || out == nil {
		return err
	}
	return decodeAnswer(b, out)
}

// decodeAnswer reads JSON that a machine sent.
func decodeAnswer(b []byte, out any) error {
	err := json.Unmarshal(b, out)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // its own text spells our types
		at := ""
		if wrong.Field != "" {
			at = " at " + quote(wrong.Field)
		}
		return fmt.Errorf("%w: %s%s where something else is promised", ErrAnswer,
			clip(wrong.Value, maxSaid), at)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}

// exchange makes one request, and once more after a login, and returns the body of a good answer.
func (w *web) exchange(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	b, status, head, err := w.once(ctx, method, path, body)
	if err == nil && status == http.StatusUnauthorized && w.login != nil {
		if err := w.login(ctx, head); err != nil {
			return nil, err
		}
		b, status, _, err = w.once(ctx, method, path, body)
	}
	if err != nil {
		return nil, err
	}
	return b, statusError(status, method, path)
}

func (w *web) once(ctx context.Context, method, path string, body []byte) ([]byte, int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if w.sign != nil {
		w.sign(req)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, 0, nil, quiet(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := readAnswer(resp.Body)
	return b, resp.StatusCode, resp.Header, err
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
