package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/storage"
)

const (
	sharesStream = "shares"  // in the book: slices
	shardPrefix  = "shares/" // in the shares journal: one stream per shard
)

// NewShares opens the account of credited work: it reads the book's slices and the shards' records
// after their cursors. The two journals may be the same. Both stay the caller's to close.
func NewShares(ctx context.Context, shares, book storage.Journal, cfg Config) (*Shares, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("opening shares: %w", err)
	}
	s := &Shares{
		cfg: cfg, journal: shares, totals: tallies{}, delta: tallies{}, shards: map[uint32]*shard{},
	}
	booked := cursors{}
	fold := func(b []byte) error { return foldSlice(b, booked, s.totals) }
	var err error
	if s.book, err = openStream(ctx, book, sharesStream, fold, fold); err != nil {
		return nil, fmt.Errorf("opening shares: %w", err)
	}
	if err := s.openShards(ctx, booked); err != nil {
		return nil, fmt.Errorf("opening shares: %w", err)
	}
	return s, nil
}

// openShards makes the shards that are configured, that the book names and that the journal
// holds: a shard of an older configuration still has its records counted.
func (s *Shares) openShards(ctx context.Context, booked cursors) error {
	for id := range uint32(s.cfg.Shards) {
		s.shards[id] = newShard(id)
	}
	for id := range booked {
		s.shards[id] = newShard(id)
	}
	names, err := s.journal.Streams(ctx)
	if err != nil {
		return fmt.Errorf("listing shards: %w", err)
	}
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, shardPrefix)
		if !ok {
			continue
		}
		id, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || id >= maxShards || shardName(uint32(id)) != name {
			return fmt.Errorf("%w: stream %q is not a shard: %s0 to %s%d are accepted",
				ErrMismatch, name, shardPrefix, shardPrefix, maxShards-1)
		}
		s.shards[uint32(id)] = newShard(uint32(id))
	}
	for id, sh := range s.shards {
		sh.booked = booked[id]
		if err := s.openShard(ctx, sh); err != nil {
			return err
		}
	}
	return nil
}

func shardName(id uint32) string { return shardPrefix + strconv.FormatUint(uint64(id), 10) }

func newShard(id uint32) *shard {
	return &shard{stream: shardName(id), early: map[storage.Seq]early{}}
}

// openShard counts the shard's records after its cursor.
func (s *Shares) openShard(ctx context.Context, sh *shard) error {
	last, err := s.journal.Last(ctx, sh.stream)
	if err != nil {
		return fmt.Errorf("reading %s: %w", sh.stream, err)
	}
	if last < sh.booked {
		return fmt.Errorf("%w: %s ends at %d, the book counted up to %d: put back the shares journal "+
			"that was used with this book", ErrMismatch, sh.stream, last, sh.booked)
	}
	sh.applied = sh.booked
	err = s.journal.Replay(ctx, sh.stream, sh.booked, func(seq storage.Seq, b []byte) error {
		at, credits, err := decodeCredits(b)
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		s.applyLocked(sh, early{last: seq, at: at, credits: credits}) // nobody else has s yet
		return nil
	})
	if err != nil {
		return fmt.Errorf("replaying %s: %w", sh.stream, err)
	}
	return nil
}

var _ interface {
	Credit(ctx context.Context, credits []pool.Credit) error
} = (*Shares)(nil) // stratum's Crediter, which this room may not import
