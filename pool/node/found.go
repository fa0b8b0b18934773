package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// Outcome texts of a block.
const (
	OutcomeAccepted = "accepted"  // on a node's best chain
	OutcomeRefused  = "refused: " // by all nodes; their reasons follow
	// OutcomeOrphaned begins what is said of a block that was accepted and is no longer on the best chain.
	OutcomeOrphaned = "orphaned: "
)

const (
	firstResend   = time.Second
	longestResend = 30 * time.Second
)

// found is a block whose outcome is not journaled yet. Guarded by the relay's mu.
type found struct {
	block    *pool.Block
	serial   uint64 // order of arrival
	since    time.Time
	spooled  bool // the attempt to write it to disk has ended
	entered  bool // that it was found is journaled
	outcome  string
	attempts []attempt // one per node
}

// attempt is what one node was asked and said about a block.
type attempt struct {
	sent    int
	refused string    // the node's reason
	next    time.Time // not before
}

// SubmitBlock implements pool.Node for found blocks, with a difference: it returns as soon as the
// block is in the spool. Sending began before that and goes on in Run. An error means that the
// block is not on disk; it is sent all the same unless ErrSpoolFull is wrapped
// or the block is out of form.
func (r *Relay) SubmitBlock(_ context.Context, b *pool.Block) error {
	if err := checkBlock(b); err != nil {
		return err
	}
	r.mu.Lock()
	if _, known := r.found[b.Hash]; known {
		r.mu.Unlock()
		return nil
	}
	if len(r.found) >= maxPending {
		r.mu.Unlock()
		return fmt.Errorf("%w: %d blocks wait for an outcome", ErrSpoolFull, maxPending)
	}
	f := r.addLocked(b)
	r.stats.Found++
	r.mu.Unlock()
	for _, c := range r.due {
		poke(c)
	}
	err := r.spool.put(b)
	r.mu.Lock()
	f.spooled = true
	r.mu.Unlock()
	poke(r.books)
	return err
}

func (r *Relay) add(b *pool.Block) *found {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addLocked(b)
}

func (r *Relay) addLocked(b *pool.Block) *found {
	r.serial++
	f := &found{block: b, serial: r.serial, since: time.Now(), attempts: make([]attempt, len(r.nodes))}
	r.found[b.Hash] = f
	return f
}

// sendAll sends to node i whatever it should have, until ctx ends.
func (r *Relay) sendAll(ctx context.Context, i int) {
	for ctx.Err() == nil {
		f, wait := r.pick(i)
		if f != nil {
			r.judge(f, i, r.nodes[i].SubmitBlock(ctx, f.block))
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.due[i]:
		}
		timer.Stop()
	}
}

// pick is the block that node i should get now: those that it never got come
// first, in their order. If there is none, it is how long there will be none.
func (r *Relay) pick(i int) (*found, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *found
	now, wait := time.Now(), longestResend
	for _, f := range r.found {
		a := &f.attempts[i]
		if f.outcome != "" || a.refused != "" {
			continue
		}
		if d := a.next.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if best == nil || f.before(best, i) {
			best = f
		}
	}
	if best != nil {
		if best.attempts[i].sent > 0 {
			r.stats.Resent++
		}
		best.attempts[i].sent++
	}
	return best, wait
}

func (f *found) before(o *found, i int) bool {
	if new1, new2 := f.attempts[i].sent == 0, o.attempts[i].sent == 0; new1 != new2 {
		return new1
	}
	return f.serial < o.serial
}

// retryNow makes everything due that waits for node i.
func (r *Relay) retryNow(i int) {
	r.mu.Lock()
	for _, f := range r.found {
		f.attempts[i].next = time.Time{}
	}
	r.mu.Unlock()
	poke(r.due[i])
}

// judge records what node i said about a block: one acceptance is enough, a refusal counts
// when all have refused or the others stay away for too long.
func (r *Relay) judge(f *found, i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.outcome != "" {
		return
	}
	a := &f.attempts[i]
	switch {
	case err == nil:
		f.outcome = OutcomeAccepted
		r.stats.Accepted++
	case errors.Is(err, ErrRefused):
		a.refused = r.nodes[i].Name() + ": " + err.Error()
		r.refuseLocked(f)
	default:
		a.next = time.Now().Add(min(firstResend<<min(a.sent-1, 10), longestResend))
		r.refuseLocked(f)
	}
	if f.outcome != "" {
		poke(r.books)
	}
}

func (r *Relay) refuseLocked(f *found) {
	var reasons []string
	for _, a := range f.attempts {
		if a.refused != "" {
			reasons = append(reasons, a.refused)
		}
	}
	if len(reasons) == 0 || len(reasons) < len(f.attempts) && time.Since(f.since) < patience {
		return
	}
	f.outcome = OutcomeRefused + strings.Join(reasons, "; ")
	r.stats.Refused++
}
