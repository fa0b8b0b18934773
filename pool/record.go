package pool

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// MaxSharesPerJob bounds what a channel remembers of one job's shares, and with it how
// many shares of one job it accepts. At three quarters of it a fresh job is asked for.
const MaxSharesPerJob = 1 << 14

// blockReserve is how many blocks are remembered past the bound, where shares no longer count.
const blockReserve = MaxSharesPerJob / 4

// record is what one channel keeps of a job that it has submitted to: the set of the shares that were
// seen. It keeps 64 bits of each hash in an open-addressing table: a false duplicate is as likely as
// a collision of 64 uniform bits. Nothing is ever forgotten; the set dies with its job. No record at
// all is an empty one.
type record struct {
	table  []uint64 // 0 is an empty slot; a power of two, at most half full
	n      int32
	closed bool           // the job was retired: what it saw is gone, so nothing can be accepted
	root   chainhash.Hash // merkle root on standard channels; zero before the first share
}

// fragment is the part of a hash that is remembered. Its low-order bytes are
// uniform whatever the target is.
func fragment(hash *[32]byte) uint64 {
	return max(1, binary.LittleEndian.Uint64(hash[:]))
}

func (d *record) has(hash *[32]byte) bool {
	if d == nil || d.n == 0 {
		return false
	}
	return d.table[d.slot(fragment(hash))] != 0
}

// slot is where the fragment is, or would be.
func (d *record) slot(f uint64) int {
	mask := len(d.table) - 1
	i := int(f) & mask
	for d.table[i] != 0 && d.table[i] != f {
		i = (i + 1) & mask
	}
	return i
}

// add remembers a hash that is not in the set.
func (d *record) add(hash *[32]byte) {
	if 2*(int(d.n)+1) > len(d.table) {
		d.grow()
	}
	f := fragment(hash)
	d.table[d.slot(f)] = f
	d.n++
}

func (d *record) grow() {
	old := d.table
	d.table = make([]uint64, max(8, 2*len(old)))
	for _, f := range old {
		if f != 0 {
			d.table[d.slot(f)] = f
		}
	}
}

// room reports whether one more share can be accepted.
func (d *record) room() bool { return d == nil || !d.closed && d.n < MaxSharesPerJob }

// roomForBlock reports whether one more block can be remembered.
func (d *record) roomForBlock() bool { return d == nil || d.n < MaxSharesPerJob+blockReserve }

// nearlyFull reports whether a fresh job is due.
func (d *record) nearlyFull() bool {
	return d != nil && (d.closed || d.n >= MaxSharesPerJob/4*3)
}
