package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/storage"
)

// fly gives the gathered events to the committer, unless it is at work.
func (l *loop) fly(ctx context.Context) {
	if l.flying || l.broken || len(l.next.events) == 0 {
		l.snapshot(ctx)
		return
	}
	l.flight, l.next = l.next, batch{}
	l.flying = true
	l.batches <- l.flight.events
}

// committed publishes what is durable now and answers. It returns an error only if going on would be
// wrong: somebody else writes the stream, or the journal is closed.
func (l *loop) committed(err error) error {
	b := l.flight
	l.flight, l.flying = batch{}, false
	if err != nil {
		l.s.log.Error("lease journal failed", slog.Any("err", err))
		l.next.calls = append(b.calls, l.next.calls...)
		l.breakDown()
		if errors.Is(err, storage.ErrExpect) || errors.Is(err, storage.ErrClosed) {
			return fmt.Errorf("recording leases: %w", err)
		}
		return nil
	}
	l.last += storage.Seq(len(b.events))
	l.s.view.publish(b.events)
	l.announce(b.events)
	for _, w := range b.calls {
		w.reply <- answer{lease: w.lease}
	}
	if l.broken {
		return nil
	}
	l.read() // timers that the last batch had no room for
	return nil
}

// announce wakes whoever acts on the events, and tells the log what matters.
func (l *loop) announce(events []lease.Event) {
	claims, owed := false, false
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case lease.Booked:
			l.s.log.Info("lease booked", leaseAttrs(e.Lease)...)
		case lease.Moved:
			claims = true
			owed = owed || e.Lease.Owes()
			l.s.log.Info("lease moved", leaseAttrs(e.Lease)...)
		case lease.Amended:
			claims = true
			l.s.log.Info("lease amended", leaseAttrs(e.Lease)...)
		case lease.Noted:
			claims = claims || e.Lease.State == lease.Failed
		case lease.ShortfallMade:
			l.s.log.Warn("feeder cannot deliver its bookings", slog.String("feeder", string(e.Feeder)),
				slog.Int64("missing_watts", int64(e.Shortfall.Watts)), slog.Time("from", e.Shortfall.From))
		case lease.ShortfallOver:
			l.s.log.Info("feeder can deliver its bookings again", slog.String("feeder", string(e.Feeder)))
		default:
		}
	}
	if claims {
		wakeOne(l.s.capsWake)
	}
	if owed {
		wakeOne(l.s.owedWake)
	}
}

func leaseAttrs(l *lease.Lease) []any {
	return []any{
		slog.String("lease_id", string(l.UID)), slog.String("tenant", string(l.Tenant)),
		slog.String("feeder", string(l.Feeder)), slog.Int64("watts", int64(l.Watts)),
		slog.String("state", l.State.String()), slog.String("reason", l.Reason),
	}
}

// breakDown makes the book read-only: it holds events that are not in the journal. Whoever
// waits is told so; the book is rebuilt once nothing is in flight.
func (l *loop) breakDown() {
	l.broken = true
	l.s.stats.failures.Add(1)
	l.s.stats.readOnly.Store(true)
	l.retryAt = time.Now().Add(retryAfter)
	l.fail()
}

// fail answers the calls whose events were not appended.
func (l *loop) fail() {
	for _, w := range l.next.calls {
		w.reply <- answer{err: ErrReadOnly}
	}
	l.next = batch{}
}

// rebuild folds the journal again after a failure, and asks the governor for everything that
// it said, because some of it went down with the old book.
func (l *loop) rebuild(ctx context.Context) error {
	if err := l.fold(ctx); err != nil {
		l.retryAt = time.Now().Add(retryAfter)
		if errors.Is(err, storage.ErrClosed) || errors.Is(err, lease.ErrCorrupt) {
			return err
		}
		l.s.log.Error("lease book cannot be rebuilt yet", slog.Any("err", err))
		return nil
	}
	l.broken = false
	l.s.stats.readOnly.Store(false)
	l.feed.rewind()
	wakeOne(l.s.capsWake)
	wakeOne(l.s.owedWake)
	l.s.log.Info("lease book is rebuilt", slog.Uint64("revision", uint64(l.book.Revision())))
	l.read()
	return nil
}

// snapshot begins a snapshot when enough has happened and the book is durable as it is. The
// larger the book, the rarer: the work stays in proportion to the events.
func (l *loop) snapshot(ctx context.Context) {
	if l.snapping || l.flying || l.broken || len(l.next.events) > 0 {
		return
	}
	if since := int(l.last - l.snapAt); since < max(snapEvery, l.book.Len()) {
		return
	}
	l.s.view.drop(func(uid lease.UID) bool { _, ok := l.book.Lease(uid); return ok })
	state, before := l.book.Snapshot(), l.snapAt
	l.snapping = true
	ctx = context.WithoutCancel(ctx)
	l.workers.Go(func() { // ends with the journal's calls
		l.snapDone <- snapResult{storage.Seq(state.Revision), l.s.keepSnapshot(ctx, state, before)}
	})
}

// snapped notes the end of a snapshot. A failed one costs a longer replay, nothing else.
func (l *loop) snapped(r snapResult) {
	l.snapping = false
	if r.err != nil {
		l.s.log.Warn("lease snapshot failed", slog.Any("err", r.err))
		l.snapAt = max(l.snapAt, r.at-snapEvery/2) // try again after some more events
		return
	}
	l.snapAt = r.at
	l.s.stats.snapshot.Store(uint64(r.at))
}

// lastSnapshot makes the next start fast. The loop and the committer are over.
func (l *loop) lastSnapshot(ctx context.Context) {
	if l.broken || len(l.next.events) > 0 || l.last == l.snapAt || l.last != storage.Seq(l.book.Revision()) {
		return
	}
	if err := l.s.keepSnapshot(ctx, l.book.Snapshot(), l.snapAt); err != nil {
		l.s.log.Warn("last lease snapshot failed", slog.Any("err", err))
	}
}
