package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How long a call waits before it is made again: twice as long each time, unless the server says how long.
const (
	waitFirst = 500 * time.Millisecond
	waitMost  = 10 * time.Second
)

// patience says how long to wait before the next attempt, until there was no answer for too long.
type patience struct {
	c     *Client
	next  time.Duration
	until time.Time // zero: nothing has failed since the last answer
}

// answered begins anew: the server is there.
func (p *patience) answered() { p.next, p.until = 0, time.Time{} }

// after waits before another attempt, if one makes sense after err; if none does it returns what to tell.
func (p *patience) after(ctx context.Context, err error) error {
	if !passing(err) || ctx.Err() != nil {
		return err
	}
	now := time.Now()
	if p.until.IsZero() {
		p.until = now.Add(p.c.cfg.Patience)
	}
	p.next = min(max(2*p.next, waitFirst), waitMost)
	wait := p.next/2 + rand.N(p.next/2) // many clients do not come back at one instant
	if asked := retryDelay(err); asked > 0 {
		wait = asked + rand.N(asked/4+1)
	}
	if now.Add(wait).After(p.until) {
		return fmt.Errorf("%v without an answer: %w", p.c.cfg.Patience, err)
	}
	p.c.cfg.Lost(err, wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return err
	case <-t.C:
		return nil
	}
}

// passing says that the same call may be answered later.
func passing(err error) bool {
	if errors.Is(err, io.EOF) { // a stream's end
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		return retryDelay(err) > 0 // of calls; no capacity stays none
	default:
		return false
	}
}

// retryDelay is how long the server asks to wait; 0 if it does not.
func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return min(max(r.GetRetryDelay().AsDuration(), 0), time.Minute)
		}
	}
	return 0
}

// insist makes a call until it is answered, refused, or the client's patience or ctx ends.
func insist[T any](ctx context.Context, c *Client, call func(context.Context) (T, error)) (T, error) {
	p := patience{c: c}
	for {
		attempt, cancel := context.WithTimeout(c.signed(ctx), c.cfg.Attempt)
		answer, err := call(attempt)
		cancel()
		if err == nil {
			return answer, nil
		}
		if err := p.after(ctx, err); err != nil {
			return answer, err
		}
	}
}
