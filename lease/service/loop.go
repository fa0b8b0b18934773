package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/storage"
)

// loop owns the book. Events gather in next while the batch in flight is being appended: a
// commit takes whatever gathered during the one before it, without a timer.
type loop struct {
	s     *Service
	book  *lease.Book
	clock *clock

	next    batch
	flight  batch
	flying  bool
	batches chan []lease.Event // to the committer, capacity 1
	done    chan error         // from the committer, capacity 1

	last     storage.Seq // of the durable records
	snapAt   storage.Seq // of the newest snapshot
	snapping bool
	snapDone chan snapResult // capacity 1

	broken  bool // the book has events that the journal refused
	retryAt time.Time
	marked  time.Time // service time of the last event that was made

	feed    *feed
	workers sync.WaitGroup
}

// batch is events that become durable together, and the calls that wait for them.
type batch struct {
	events []lease.Event
	calls  []waiting
}

// waiting is a call that was done and is answered once its events are durable.
type waiting struct {
	reply chan answer
	lease lease.Lease
}

type snapResult struct {
	at  storage.Seq
	err error
}

// Run folds the journal, orders the caps and serves until the context ends or Shutdown is
// called. It returns nil after either, and an error if the journal is not usable.
func (s *Service) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("the lease service runs already")
	}
	defer close(s.stopped)
	l := &loop{
		s: s, batches: make(chan []lease.Event, 1), done: make(chan error, 1),
		snapDone: make(chan snapResult, 1),
	}
	if err := l.boot(ctx); err != nil {
		return err
	}
	// Workers end when this context does, the committer when its channel is closed.
	wctx, cancel := context.WithCancel(ctx)
	l.workers.Go(func() { s.runCaps(wctx) })
	l.workers.Go(func() { s.runSettle(wctx) })
	l.workers.Go(func() { l.commit(context.WithoutCancel(ctx)) })
	l.feed = s.startFeed(wctx)
	close(s.ready)
	s.log.Info("lease service serves", slog.Uint64("revision", uint64(l.book.Revision())))
	err := l.run(ctx)
	cancel()
	l.feed.wait()
	close(l.batches)
	l.workers.Wait()
	if err == nil {
		l.lastSnapshot(context.WithoutCancel(ctx))
	}
	return err
}

// boot folds the journal, fires what was missed and orders the caps, also when there are none.
func (l *loop) boot(ctx context.Context) error {
	if err := l.fold(ctx); err != nil {
		return err
	}
	l.clock = newClock(l.s.cfg.Wall, l.book.High())
	now, trusted := l.clock.read()
	l.s.stats.now.Store(now.UnixMilli())
	_ = l.step(lease.Restart{}, now) // it breaks the loop's book if anything
	if trusted {
		l.fire(now)
	}
	for len(l.next.events) > 0 {
		events := l.next.events
		l.next = batch{}
		at, err := l.s.append(ctx, l.last, events)
		if err != nil {
			return fmt.Errorf("recording what was missed: %w", err)
		}
		l.last = at
		l.s.view.publish(events)
		if trusted {
			l.fire(now)
		}
	}
	if l.broken {
		return fmt.Errorf("restarting the book: %w", lease.ErrCorrupt)
	}
	sctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := l.s.sendCaps(sctx); err != nil {
		l.s.log.Warn("caps were not taken at the start, trying again", slog.Any("err", err))
		wakeOne(l.s.capsWake)
	}
	wakeOne(l.s.owedWake)
	return ctx.Err()
}

// fold makes the book what the journal says, and the view with it.
func (l *loop) fold(ctx context.Context) error {
	f, err := l.s.load(ctx)
	if err != nil {
		return fmt.Errorf("folding the lease book: %w", err)
	}
	l.book, l.last, l.snapAt = f.book, f.at, f.snapAt
	l.marked = f.book.High()
	l.s.stats.snapshot.Store(uint64(f.snapAt))
	l.s.view.fill(f.book, f.floor, f.events)
	return nil
}

// run is the loop. It ends when the context does or Shutdown is called, with everything
// that was taken answered.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		calls, feed := l.s.calls, l.feed.commands
		if l.full() {
			calls = nil
		}
		if l.full() || l.broken {
			feed = nil
		}
		select {
		case c := <-calls:
			l.call(c)
		case c := <-feed:
			l.fed(c)
		case err := <-l.done:
			if err := l.committed(err); err != nil {
				return l.end(err)
			}
		case r := <-l.snapDone:
			l.snapped(r)
		case <-timer.C:
			if err := l.wake(ctx); err != nil {
				return l.end(err)
			}
		case <-l.s.quit:
			return l.end(nil)
		case <-ctx.Done():
			return l.end(nil)
		}
		l.fly(ctx)
		timer.Reset(l.pause())
	}
}

// full says that no more is taken before a commit ends.
func (l *loop) full() bool {
	return len(l.next.events) >= maxBatch || len(l.next.calls)+len(l.flight.calls) >= maxPending
}

// pause is how long nothing may happen: until the next timer, and at most a second, so that
// a jump of the clock is seen.
func (l *loop) pause() time.Duration {
	wait := time.Second
	if at, ok := l.book.NextTimer(); ok && !l.broken && !l.clock.suspect {
		if len(l.next.events) >= maxBatch {
			return wait // the end of a commit wakes the loop
		}
		wait = min(wait, max(0, at.Sub(l.s.clockNow(l.clock))))
	}
	return wait
}

// clockNow is service time by the clock's last read and what has elapsed since.
func (s *Service) clockNow(c *clock) time.Time { return c.last.Add(time.Since(c.mono)) }

// read is service time, with due timers fired if it is trusted.
func (l *loop) read() (time.Time, bool) {
	now, trusted := l.clock.read()
	l.s.stats.now.Store(now.UnixMilli())
	if was := l.s.stats.suspect.Swap(!trusted); was == trusted {
		l.s.log.Warn("clock trust changed", slog.Bool("trusted", trusted), slog.Time("now", now))
	}
	if trusted && !l.broken {
		l.fire(now)
	}
	return now, trusted
}

// fire lets every due timer go, as far as a batch allows; the rest follows the commit.
func (l *loop) fire(now time.Time) {
	for len(l.next.events) < maxBatch && !l.broken {
		at, ok := l.book.NextTimer()
		if !ok || at.After(now) {
			return
		}
		_ = l.step(lease.Tick{}, now) // it breaks the loop's book if anything
	}
}

// wake is the loop's own heartbeat.
func (l *loop) wake(ctx context.Context) error {
	if l.broken {
		if l.flying || time.Now().Before(l.retryAt) {
			return nil
		}
		return l.rebuild(ctx)
	}
	now, trusted := l.read()
	if trusted && !now.Before(l.marked.Add(markEvery)) && l.book.Busy() {
		_ = l.step(lease.Tick{Mark: true}, now) // the same
	}
	return nil
}

// step has the book do a command and keeps its events for the next commit.
func (l *loop) step(c lease.Command, now time.Time) error {
	events, err := l.book.Step(c, now)
	if len(events) > 0 {
		l.next.events = append(l.next.events, events...)
		l.marked = now
	}
	if _, refused := errors.AsType[*lease.Refusal](err); err != nil && !refused {
		l.s.log.Error("lease book is broken", slog.Any("err", err))
		l.breakDown()
	}
	return err
}

// call does what a caller asked and answers as soon as that is durable.
func (l *loop) call(c call) {
	if c.acceptClock {
		l.clock.accept()
		l.read()
		c.reply <- answer{}
		return
	}
	if l.broken {
		c.reply <- answer{err: ErrReadOnly}
		return
	}
	now, trusted := l.read()
	if c.look != nil {
		c.look(l.book, now, trusted)
		c.reply <- answer{}
		return
	}
	if books(c.command) && !trusted {
		c.reply <- answer{err: ErrClock}
		return
	}
	before := l.book.Revision()
	if err := l.step(c.command, now); err != nil {
		l.s.stats.refused.Add(1)
		if l.broken {
			err = ErrReadOnly
		}
		c.reply <- answer{err: err}
		return
	}
	w := waiting{reply: c.reply}
	if le, ok := l.book.Answer(c.command); ok {
		w.lease = *le
	}
	switch {
	case l.book.Revision() != before || len(l.next.events) > 0:
		l.next.calls = append(l.next.calls, w)
	case l.flying: // a repeat of what is not durable yet
		l.flight.calls = append(l.flight.calls, w)
	default:
		c.reply <- answer{lease: w.lease}
	}
	if l.book.Revision() == before {
		l.s.stats.repeats.Add(1)
	}
	l.read() // a lease whose order is due at once
}

// books says whether the command sells watts by the clock.
func books(c lease.Command) bool {
	switch c.(type) {
	case lease.Create, lease.Amend:
		return true
	default:
		return false
	}
}

// fed does what the governor or the ledger said. A refusal means that it was about something
// that the book does not have.
func (l *loop) fed(c lease.Command) {
	now, _ := l.read()
	if w, ok := c.(lease.SetCapacity); ok {
		c = l.settleCapacity(w, now)
	}
	if c == nil || l.broken {
		return
	}
	if err := l.step(c, now); err != nil {
		l.s.log.Debug("lease book ignores a word", slog.Any("err", err))
	}
}

// end finishes what was taken: it waits for the commits and answers.
func (l *loop) end(err error) error {
	ctx := context.Background()
	for l.flying || (err == nil && !l.broken && len(l.next.events) > 0) {
		l.fly(ctx)
		if !l.flying {
			break
		}
		if cerr := l.committed(<-l.done); cerr != nil && err == nil {
			err = cerr
		}
	}
	l.fail()
	if l.snapping {
		l.snapped(<-l.snapDone)
	}
	return err
}

// commit appends batches in order until the channel is closed.
func (l *loop) commit(ctx context.Context) {
	for events := range l.batches {
		_, err := l.s.append(ctx, storage.Seq(events[0].Revision)-1, events)
		l.done <- err
	}
}

// append makes events durable, all or none, right after the last record that we know of.
func (s *Service) append(ctx context.Context, last storage.Seq, events []lease.Event) (storage.Seq, error) {
	records := make([][]byte, len(events))
	for i := range events {
		b, err := json.Marshal(&events[i])
		if err != nil {
			return 0, fmt.Errorf("encoding event %d: %w", events[i].Revision, err)
		}
		records[i] = b
	}
	at, err := s.journal.Append(ctx, storage.Write{Stream: Stream, Expect: last, Records: records})
	if err != nil {
		return 0, fmt.Errorf("appending to stream %s: %w", Stream, err)
	}
	s.stats.commits.Add(1)
	return at, nil
}

func wakeOne(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}
