package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
)

// idlePoll spaces the questions to a governor that answers with nothing at once.
const idlePoll = 200 * time.Millisecond

// feed asks the governor for capacity and proofs, each in a goroutine that ends with the
// context, and gives them to the loop as commands, in order.
type feed struct {
	commands chan lease.Command // capacity 0: the loop takes them when it can
	workers  sync.WaitGroup

	mu      sync.Mutex
	restart [2]context.CancelFunc // guarded by mu: of the questions that are open
	epoch   int                   // guarded by mu: grows with each rewind
}

// The two questions.
const (
	askCapacity = iota
	askProofs
)

func (s *Service) startFeed(ctx context.Context) *feed {
	f := &feed{commands: make(chan lease.Command)}
	f.workers.Go(func() { poll(ctx, f.question(askCapacity, s.log), s.curtailer.Capacity, capacityCommand) })
	f.workers.Go(func() { poll(ctx, f.question(askProofs, s.log), s.curtailer.Delivered, proofCommand) })
	return f
}

func (f *feed) wait() { f.workers.Wait() }

// rewind has both questions asked from the beginning again.
func (f *feed) rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch++
	for _, cancel := range f.restart {
		if cancel != nil {
			cancel()
		}
	}
}

// question is one of the two, with its own place in the feed.
type question struct {
	*feed
	which int
	log   *slog.Logger
}

func (f *feed) question(which int, log *slog.Logger) question { return question{f, which, log} }

// open makes the context of one asking, which a rewind ends, and says which epoch it is of.
func (q question) open(ctx context.Context) (context.Context, context.CancelFunc, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	qctx, cancel := context.WithCancel(ctx)
	q.restart[q.which] = cancel
	return qctx, cancel, q.epoch
}

// poll asks, gives what came to the loop, and asks for what is newer.
func poll[T any](
	ctx context.Context, q question,
	ask func(context.Context, uint64) ([]T, error), convert func(T) (uint64, lease.Command),
) {
	after, epoch := uint64(0), 0
	for ctx.Err() == nil {
		qctx, cancel, now := q.open(ctx)
		if now != epoch {
			after, epoch = 0, now
		}
		news, err := ask(qctx, after)
		for i := 0; i < len(news) && err == nil; i++ {
			seq, c := convert(news[i])
			select {
			case q.commands <- c:
				after = max(after, seq)
			case <-qctx.Done():
				err = qctx.Err()
			}
		}
		interrupted := qctx.Err() != nil
		cancel()
		switch {
		case err != nil && !interrupted:
			q.log.Warn("governor does not answer", slog.Any("err", err))
			sleep(ctx, retryAfter)
		case len(news) == 0 && !interrupted:
			sleep(ctx, idlePoll)
		}
	}
}

// capacityCommand has no time yet: the loop gives it one.
func capacityCommand(c fleet.Capacity) (uint64, lease.Command) {
	return c.Seq, lease.SetCapacity{
		Feeder: lease.FeederID(c.Feeder), Basis: c.Basis, Notice: c.Notice,
		Steps: []lease.CapacityStep{{Watts: max(0, c.Firm)}},
	}
}

func proofCommand(p fleet.Proof) (uint64, lease.Command) {
	return p.Seq, lease.Prove{
		UID: lease.UID(p.Claim), Watts: p.Watts, At: p.At, FirstOrder: p.FirstOrder, Free: p.Free,
		Gone:  p.Gone,
		Drawn: p.Drawn, Delivered: p.Delivered, Overrun: p.Overrun, Freed: p.Freed, Reason: p.Reason,
	}
}

// settleCapacity gives a word on capacity its time. A loss always counts; a gain below a
// hundredth is the noise of a meter and not worth a record.
func (l *loop) settleCapacity(c lease.SetCapacity, now time.Time) lease.Command {
	c.Steps[0].From = now.Truncate(time.Second)
	have, _ := l.book.Capacity(c.Feeder, now)
	if l.book.MeasuredNotice(c.Feeder) != c.Notice {
		return c
	}
	if gain := c.Steps[0].Watts - have; gain >= 0 && gain < max(1, have/100) && have > 0 {
		return nil
	}
	return c
}
