package service

import (
	"context"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/lease"
)

// call is one thing asked of the loop: a command, a look at the book, or a word on the clock.
type call struct {
	command     lease.Command
	look        func(b *lease.Book, now time.Time, trusted bool)
	acceptClock bool
	reply       chan answer // capacity 1: the loop never waits for a caller
}

// answer is what became of a call.
type answer struct {
	lease lease.Lease
	err   error
}

// command has the loop do a command. When the context ends first, it may still be done: the
// caller repeats it with the same request id.
func (s *Service) command(ctx context.Context, c lease.Command) (lease.Lease, error) {
	a, err := s.do(ctx, call{command: c})
	if err != nil {
		return lease.Lease{}, err
	}
	return a.lease, nil
}

// query looks at the book within the loop. It may see bookings that are not durable yet.
func (s *Service) query(ctx context.Context, look func(*lease.Book, time.Time, bool)) error {
	_, err := s.do(ctx, call{look: look})
	return err
}

func (s *Service) do(ctx context.Context, c call) (answer, error) {
	if err := s.serving(); err != nil {
		return answer{}, err
	}
	return s.ask(ctx, c)
}

// ask gives the call to the loop, which may still be on its way to serving.
func (s *Service) ask(ctx context.Context, c call) (answer, error) {
	c.reply = make(chan answer, 1)
	select {
	case s.calls <- c:
	case <-s.stopped:
		return answer{}, ErrClosed
	case <-ctx.Done():
		return answer{}, fmt.Errorf("waiting for the lease book: %w", ctx.Err())
	}
	select {
	case a := <-c.reply:
		return a, a.err
	case <-ctx.Done():
		return answer{}, fmt.Errorf("waiting for the commit: %w", ctx.Err())
	}
}
