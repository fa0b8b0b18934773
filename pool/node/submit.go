package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// SubmitBlock implements pool.Node: nil means that the node has the block on its
// best chain. ErrRefused is wrapped if sending it again cannot help, pool.ErrNodeNotReady
// if it can.
//
// The block becomes the tip at once, because a node needs 160 ms to check a full one;
// a refusal takes that back.
func (f *follower) SubmitBlock(ctx context.Context, b *pool.Block) error {
	l, err := f.current()
	if err != nil {
		return err
	}
	f.count.submissions.Add(1)
	f.stepAhead(b)
	err = f.bounded(ctx, func(ctx context.Context) error { return submit(ctx, l, b) })
	f.settle(b, err)
	if err == nil || errors.Is(err, ErrRefused) {
		return err
	}
	return asNotReady(f.cfg.Name, err)
}

// current is the connection, or why there is none.
func (f *follower) current() (link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.link != nil:
		return f.link, nil
	case f.state.Phase == Ready: // the connection was lost this moment
		return nil, &notReady{name: f.cfg.Name, state: State{Phase: Away}}
	}
	return nil, &notReady{name: f.cfg.Name, state: f.state}
}

// stepAhead makes our own block the tip if it is on top of the tip and solves it.
func (f *follower) stepAhead(b *pool.Block) {
	h, err := parseHeader(b.Raw, b.Height)
	if err != nil || h.hash != b.Hash || !pool.TargetFromBits(h.bits).Meets((*[32]byte)(&h.hash)) {
		return // the node will say what is wrong with it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil || f.chain == nil || f.chain.tip().hash != h.prev || f.bitsLocked() != h.bits {
		return
	}
	if !f.chain.extend(h) {
		return
	}
	f.pending = &h
	f.publishPartialLocked()
}

// bitsLocked is the target of the block after the tip, or 0 if it is not known.
func (f *follower) bitsLocked() uint32 {
	if f.full.Prev == f.chain.tip().hash {
		return f.full.Bits
	}
	bits, ok := f.chain.nextBits()
	if !ok {
		return 0
	}
	return bits
}

// settle confirms the step ahead or takes it back.
func (f *follower) settle(b *pool.Block, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.chain == nil || f.pending == nil || f.pending.hash != b.Hash {
		return
	}
	f.pending = nil
	if err != nil {
		f.chain.truncate(len(f.chain.recent) - 1)
		if f.full != nil && f.full.Prev == f.chain.tip().hash {
			f.board.set(f.full, nil)
		} else {
			f.publishPartialLocked()
		}
	}
	select {
	case f.kick <- struct{}{}:
	default: // woken already
	}
}

// BlockAt is the block at a height of the node's best chain, nil if the chain is not that high.
func (f *follower) BlockAt(ctx context.Context, height int32) (*chainhash.Hash, error) {
	l, err := f.current()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	at, _, err := placeOf(ctx, l, height)
	return at, err
}

// submit sends a block and asks where it went.
func submit(ctx context.Context, l link, b *pool.Block) error {
	text, err := l.call(ctx, "submitblock", hex.EncodeToString(b.Raw))
	switch code := codeOf(err); {
	case code == codeDownloading || code == codeStarting:
		return err
	case code != 0:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return err
	}
	var reason *string
	if err := json.Unmarshal(text, &reason); err != nil {
		return fieldError("submitblock", "%.100q, null or a reason is accepted", text)
	}
	if reason != nil && !maybeKnown(*reason) {
		return fmt.Errorf("%w: %s", ErrRefused, clip(strings.TrimPrefix(*reason, "rejected: ")))
	}
	return confirm(ctx, l, b)
}

// maybeKnown reports whether the node may have the block in spite of the reason that
// it gave: Core's words of BIP22, or btcd's free text.
func maybeKnown(reason string) bool {
	switch reason {
	case "duplicate", "inconclusive", "duplicate-inconclusive", "prev-blk-not-found":
		return true
	}
	return strings.HasPrefix(reason, "rejected: already have block")
}

// confirm asks whether the block is on the best chain: btcd answers null also for a
// block that lost the race and for one whose parent it does not know.
func confirm(ctx context.Context, l link, b *pool.Block) error {
	at, best, err := placeOf(ctx, l, b.Height)
	switch {
	case err != nil:
		return fmt.Errorf("confirming block %v: %w", b.Hash, err)
	case at == nil:
		return fmt.Errorf("%w: block %v waits for its parent %v: the node is at height %d",
			errBehind, b.Hash, b.Prev, best)
	case *at != b.Hash:
		return fmt.Errorf("%w: it lost the race: block %v has height %d", ErrRefused, at, b.Height)
	}
	return nil
}

// placeOf is the block at a height of the best chain, nil if the chain is not that
// high, and the chain's height.
func placeOf(ctx context.Context, l link, height int32) (*chainhash.Hash, int32, error) {
	best, err := ask[int32](ctx, l, "getblockcount")
	if err != nil || best < height {
		return nil, best, err
	}
	at, err := askHash(ctx, l, "getblockhash", height)
	if code := codeOf(err); code == codeMisc || code == codeParameter {
		return nil, best, nil // the chain became shorter in between
	}
	return &at, best, err
}
