package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/storage"
)

// Outcomes of a found block. A refused one is OutcomeRefused with the reason.
const (
	OutcomeSending  = "sending"
	OutcomeAccepted = "accepted"
	OutcomeRefused  = "refused: "
	OutcomeOrphaned = "orphaned: " // it was accepted; what has its height follows
)

const (
	blocksStream = "blocks"
	keepBlocks   = 10_000 // newest blocks that are kept
	blocksEvery  = 2_000  // records between two snapshots

	foundV1   = 0x01
	outcomeV1 = 0x02
	blocksV1  = 0x03 // a snapshot

	maxOutcome = 512 // bytes
)

// FoundBlock is a block that a worker found and what became of it.
type FoundBlock struct {
	Hash    chainhash.Hash
	Prev    chainhash.Hash
	Height  int32
	Worker  pool.WorkerID
	Value   int64     // satoshi that its coinbase claims
	At      time.Time // when it was noted
	Outcome string    // OutcomeSending, OutcomeAccepted or OutcomeRefused with the reason
	Decided time.Time // when the outcome was noted; zero while sending
}

// BlocksStats count blocks since the book began.
type BlocksStats struct {
	Found    uint64
	Accepted uint64 // among the newest ones that List gives
	Kept     int
}

// Blocks is the journal of found blocks. The block's bytes are not in it: spooling and sending
// them is pool/node's.
type Blocks struct {
	log *stream

	mu     sync.RWMutex
	found  uint64                         // guarded by mu: ever
	blocks []*FoundBlock                  // guarded by mu: oldest first
	byHash map[chainhash.Hash]*FoundBlock // guarded by mu: the same
}

// NewBlocks opens the journal of found blocks in the book, which stays the caller's to close.
func NewBlocks(ctx context.Context, book storage.Journal) (*Blocks, error) {
	b := &Blocks{byHash: map[chainhash.Hash]*FoundBlock{}}
	var err error
	if b.log, err = openStream(ctx, book, blocksStream, b.restore, b.fold); err != nil {
		return nil, fmt.Errorf("opening blocks: %w", err)
	}
	return b, nil
}

// Found notes a block durably. A block that is known already changes nothing.
func (b *Blocks) Found(ctx context.Context, block *pool.Block) error {
	if block.Worker == "" || len(block.Worker) > maxWorker {
		return fmt.Errorf("%w: block's worker has %d bytes: 1 to %d are accepted",
			ErrInvalid, len(block.Worker), maxWorker)
	}
	if err := b.log.lock(ctx); err != nil {
		return err
	}
	defer b.log.unlock()
	if _, known := b.find(block.Hash); known {
		return nil
	}
	f := FoundBlock{
		Hash: block.Hash, Prev: block.Prev, Height: block.Height, Worker: block.Worker,
		Value: block.Value, At: now(), Outcome: OutcomeSending,
	}
	return b.write(ctx, appendFound([]byte{foundV1}, &f))
}

// Outcome notes durably what became of a block: "accepted", "refused: reason" or "orphaned: reason". The
// newest outcome counts, because a reorganisation may change it.
func (b *Blocks) Outcome(ctx context.Context, hash chainhash.Hash, outcome string) error {
	reason, known := strings.CutPrefix(outcome, OutcomeRefused)
	if !known {
		reason, known = strings.CutPrefix(outcome, OutcomeOrphaned)
	}
	if outcome != OutcomeAccepted && (!known || reason == "") {
		return fmt.Errorf("%w: outcome %q: %q, or %q or %q with a reason is accepted",
			ErrInvalid, outcome, OutcomeAccepted, OutcomeRefused, OutcomeOrphaned)
	}
	outcome = clip(outcome, maxOutcome)
	if err := b.log.lock(ctx); err != nil {
		return err
	}
	defer b.log.unlock()
	f, known := b.find(hash)
	switch {
	case !known:
		return fmt.Errorf("%w: %s", ErrUnknownBlock, hash)
	case f.Outcome == outcome:
		return nil
	}
	record := append([]byte{outcomeV1}, hash[:]...)
	return b.write(ctx, appendText(appendTime(record, now()), outcome))
}

// clip shortens what a node wrote to valid text of up to limit bytes.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// write appends a record, folds it and, when it is time, compacts. The caller holds the gate.
func (b *Blocks) write(ctx context.Context, record []byte) error {
	if err := b.log.append(ctx, record); err != nil {
		return err
	}
	if err := b.fold(record); err != nil {
		return err
	}
	if b.log.since() >= blocksEvery {
		// A failure costs a longer replay, and the next record tries again.
		_ = b.log.compact(ctx, b.state())
	}
	return nil
}

func (b *Blocks) find(hash chainhash.Hash) (FoundBlock, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if f := b.byHash[hash]; f != nil {
		return *f, true
	}
	return FoundBlock{}, false
}

// List gives the newest blocks, newest first.
func (b *Blocks) List() []FoundBlock {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]FoundBlock, 0, len(b.blocks))
	for _, f := range slices.Backward(b.blocks) {
		list = append(list, *f)
	}
	return list
}

// Accepted are the blocks that were accepted, also those orphaned since, newest first, without their bytes:
// a reorganisation may change what became of them.
func (b *Blocks) Accepted() []*pool.Block {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []*pool.Block
	for _, f := range slices.Backward(b.blocks) {
		if f.Outcome == OutcomeAccepted || strings.HasPrefix(f.Outcome, OutcomeOrphaned) {
			list = append(list, &pool.Block{
				Hash: f.Hash, Prev: f.Prev, Height: f.Height, Worker: f.Worker, Value: f.Value,
			})
		}
	}
	return list
}

// Stats are the present figures.
func (b *Blocks) Stats() BlocksStats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	st := BlocksStats{Found: b.found, Kept: len(b.blocks)}
	for _, f := range b.blocks {
		if f.Outcome == OutcomeAccepted {
			st.Accepted++
		}
	}
	return st
}

// fold adds one record:
//
//	foundV1   | block as appendFound writes it
//	outcomeV1 | 32 bytes hash | varint Unix ms | uvarint len, outcome
func (b *Blocks) fold(record []byte) error {
	if len(record) > 0 && record[0] == foundV1 {
		r := reader{b: record[1:]}
		f := r.found()
		if err := r.end(); err != nil {
			return err
		}
		b.add(f)
		return nil
	}
	r := reader{b: record}
	r.version(outcomeV1)
	hash, at, outcome := r.hash(), r.time(), r.text(maxOutcome)
	if err := r.end(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.byHash[hash]; f != nil { // it may be too old to be kept
		f.Outcome, f.Decided = outcome, at
	}
	return nil
}

func (b *Blocks) add(f FoundBlock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found++
	b.blocks = append(b.blocks, &f)
	b.byHash[f.Hash] = &f
	if len(b.blocks) > keepBlocks {
		delete(b.byHash, b.blocks[0].Hash)
		b.blocks = slices.Delete(b.blocks, 0, 1)
	}
}

// state encodes the fold: blocksV1 | uvarint found ever | uvarint n | n blocks.
func (b *Blocks) state() []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	dst := binary.AppendUvarint([]byte{blocksV1}, b.found)
	dst = binary.AppendUvarint(dst, uint64(len(b.blocks)))
	for _, f := range b.blocks {
		dst = appendFound(dst, f)
	}
	return dst
}

func (b *Blocks) restore(state []byte) error {
	r := reader{b: state}
	r.version(blocksV1)
	found := r.uvarint()
	for range r.count(minFound) {
		if f := r.found(); r.err == nil {
			b.add(f)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = found
	return r.end()
}

// minFound is the length of the shortest block that appendFound writes.
const minFound = 2*chainhash.HashSize + 6

// appendFound encodes a block:
//
//	32 bytes hash | 32 bytes prev | varint height | uvarint len, worker | varint value
//	| varint Unix ms | uvarint len, outcome | varint Unix ms of the outcome, 0 without one
func appendFound(dst []byte, f *FoundBlock) []byte {
	dst = append(append(dst, f.Hash[:]...), f.Prev[:]...)
	dst = appendText(binary.AppendVarint(dst, int64(f.Height)), string(f.Worker))
	dst = appendTime(binary.AppendVarint(dst, f.Value), f.At)
	dst = appendText(dst, f.Outcome)
	if f.Decided.IsZero() {
		return binary.AppendVarint(dst, 0)
	}
	return appendTime(dst, f.Decided)
}

func (r *reader) hash() (h chainhash.Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

func (r *reader) found() FoundBlock {
	f := FoundBlock{Hash: r.hash(), Prev: r.hash()}
	height := r.varint()
	if f.Height = int32(height); int64(f.Height) != height {
		r.fail("height %d is out of range", height)
	}
	f.Worker, f.Value, f.At, f.Outcome = r.worker(), r.varint(), r.time(), r.text(maxOutcome)
	if decided := r.varint(); decided != 0 {
		f.Decided = time.UnixMilli(decided).UTC()
	}
	return f
}
