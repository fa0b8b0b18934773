package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"

	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

const (
	entriesStream = "ledger"
	balancesV1    = 0x01 // a snapshot

	entriesEvery = 1024 // records between two snapshots, at least
	maxList      = 1000 // entries of one List
)

// Balance is the sum of all lines on one account.
type Balance struct {
	Account string
	Amount  unit.Msat
}

// EntriesStats are figures of Entries, for screens.
type EntriesStats struct {
	Entries          uint64 // ever posted
	Accounts         int
	Last             storage.Seq
	SnapshotFailures uint64 // each costs a longer replay, nothing else
}

// Entries is the double-entry ledger. Entries are kept for ever: the journal is not trimmed; a snapshot
// of balances and identities only shortens the replay at the opening.
type Entries struct {
	log *stream

	mu       sync.RWMutex
	balances map[string]unit.Msat // guarded by mu
	posted   map[digest]digest    // guarded by mu: of the ID -> of the content
	stats    EntriesStats         // guarded by mu
}

// NewEntries opens the ledger in the book, which stays the caller's to close.
func NewEntries(ctx context.Context, book storage.Journal) (*Entries, error) {
	e := &Entries{balances: map[string]unit.Msat{}, posted: map[digest]digest{}}
	var err error
	e.log, err = openStream(ctx, book, entriesStream, e.restore, func(b []byte) error {
		entry, err := decodeEntry(b)
		if err != nil {
			return err
		}
		d := e.draft()
		if _, err := d.add(&entry); err != nil {
			return err
		}
		e.apply(d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	e.stats.Last = e.log.last
	return e, nil
}

// Post writes entries durably, all or none. An entry that is posted already counts as
// done; one whose ID is taken by another content is ErrConflict.
func (e *Entries) Post(ctx context.Context, entries ...Entry) error {
	for i := range entries {
		if err := entries[i].Validate(); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	if err := e.log.lock(ctx); err != nil {
		return err
	}
	defer e.log.unlock()
	d := e.draft()
	var records [][]byte
	for i := range entries {
		record, err := d.add(&entries[i])
		if err != nil {
			return fmt.Errorf("entry %q: %w", entries[i].ID, err)
		}
		if record != nil {
			records = append(records, record)
		}
	}
	if len(records) == 0 {
		return nil
	}
	if err := e.log.append(ctx, records...); err != nil {
		return err
	}
	e.apply(d)
	e.snapshot(ctx)
	return nil
}

// draft is what a few entries would change. The caller is the only writer.
type draft struct {
	of       *Entries
	balances map[string]unit.Msat
	posted   map[digest]digest
}

func (e *Entries) draft() *draft {
	return &draft{of: e, balances: map[string]unit.Msat{}, posted: map[digest]digest{}}
}

// add checks an entry against the ledger and the draft. It returns the entry's record, or nil
// if it is posted already.
func (d *draft) add(entry *Entry) ([]byte, error) {
	record := encodeEntry(entry)
	id, content := digestOf([]byte(entry.ID)), digestOf(record)
	d.of.mu.RLock()
	defer d.of.mu.RUnlock()
	old, taken := d.posted[id]
	if !taken {
		old, taken = d.of.posted[id]
	}
	switch {
	case taken && old == content:
		return nil, nil
	case taken:
		return nil, ErrConflict
	}
	for _, l := range entry.Lines {
		sum, drafted := d.balances[l.Account]
		if !drafted {
			sum = d.of.balances[l.Account]
		}
		sum, ok := addMsat(sum, l.Amount)
		if !ok {
			return nil, fmt.Errorf("%w: account %s", ErrOverflow, l.Account)
		}
		d.balances[l.Account] = sum
	}
	d.posted[id] = content
	return record, nil
}

func (e *Entries) apply(d *draft) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.Copy(e.balances, d.balances)
	maps.Copy(e.posted, d.posted)
	e.stats.Entries += uint64(len(d.posted))
	if e.log != nil {
		e.stats.Last = e.log.last
	}
}

// snapshot shortens the next replay once enough was posted: in proportion to the whole, so
// that its cost per entry stays constant. The caller holds the gate.
func (e *Entries) snapshot(ctx context.Context) {
	e.mu.RLock()
	due := e.log.since() >= max(entriesEvery, e.stats.Entries/4)
	e.mu.RUnlock()
	if !due {
		return
	}
	if err := e.log.snapshot(ctx, e.state()); err != nil {
		e.mu.Lock()
		e.stats.SnapshotFailures++
		e.mu.Unlock()
	}
}

// Balances are the sums of all accounts, sorted by account. They sum to zero.
func (e *Entries) Balances() []Balance {
	e.mu.RLock()
	defer e.mu.RUnlock()
	bs := make([]Balance, 0, len(e.balances))
	for _, account := range slices.Sorted(maps.Keys(e.balances)) {
		bs = append(bs, Balance{Account: account, Amount: e.balances[account]})
	}
	return bs
}

// Balance is the sum of one account, 0 if nothing was ever posted to it.
func (e *Entries) Balance(account string) unit.Msat {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.balances[account]
}

// errEnough stops a replay.
var errEnough = errors.New("enough")

// List gives up to limit entries (at most 1,000) with Seq > after, oldest first, that touch the account; an
// empty account is all of them. It reads the journal.
func (e *Entries) List(ctx context.Context, account string, after storage.Seq, limit int) ([]Posted, error) {
	if limit < 1 || limit > maxList {
		return nil, fmt.Errorf("%w: limit is %d: 1 to %d are accepted", ErrInvalid, limit, maxList)
	}
	var list []Posted
	err := e.log.journal.Replay(ctx, entriesStream, after, func(seq storage.Seq, b []byte) error {
		entry, err := decodeEntry(b)
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		touches := func(l Line) bool { return account == "" || l.Account == account }
		if slices.ContainsFunc(entry.Lines, touches) {
			list = append(list, Posted{Seq: seq, Entry: entry})
		}
		if len(list) == limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("reading ledger: %w", err)
	}
	return list, nil
}

// Stats are the present figures.
func (e *Entries) Stats() EntriesStats {
	e.mu.RLock()
	defer e.mu.RUnlock()
	st := e.stats
	st.Accounts = len(e.balances)
	return st
}

// state encodes the fold:
//
//	balancesV1 | uvarint n | n x (uvarint len, account, varint msat)
//	| uvarint n | n x (16 bytes of the ID's digest, 16 of the content's)
func (e *Entries) state() []byte {
	e.mu.RLock()
	defer e.mu.RUnlock()
	dst := binary.AppendUvarint([]byte{balancesV1}, uint64(len(e.balances)))
	for _, account := range slices.Sorted(maps.Keys(e.balances)) {
		dst = binary.AppendVarint(appendText(dst, account), int64(e.balances[account]))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.posted)))
	ids := slices.SortedFunc(maps.Keys(e.posted), func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		content := e.posted[id]
		dst = append(append(dst, id[:]...), content[:]...)
	}
	return dst
}

func (e *Entries) restore(state []byte) error {
	r := reader{b: state}
	r.version(balancesV1)
	sum := new(big.Int)
	for range r.count(2) {
		account, amount := r.text(MaxAccount), r.varint()
		e.balances[account] = unit.Msat(amount)
		sum.Add(sum, big.NewInt(amount))
	}
	if sum.Sign() != 0 {
		r.fail("balances sum to %s msat, not to 0", sum)
	}
	for range r.count(32) {
		var id, content digest
		copy(id[:], r.take(len(id)))
		copy(content[:], r.take(len(content)))
		e.posted[id] = content
	}
	e.stats.Entries = uint64(len(e.posted))
	return r.end()
}
