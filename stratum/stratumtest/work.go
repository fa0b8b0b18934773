package stratumtest

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// The header that is hashed: the first 64 bytes are one block of SHA-256 and stay the same for a
// whole job, so their state is computed once.
//
//	0  version  4 | 4  prev hash 32 | 36 merkle root 32 | 68 time 4 | 72 bits 4 | 76 nonce 4
const (
	headerSize = 80
	midSize    = 64
	timeAt     = 68
	bitsAt     = 72
	nonceAt    = 76
)

// work is an active job, ready to be ground. It is immutable.
type work struct {
	channel    uint32
	job        uint32
	version    uint32
	minTime    uint32
	since      time.Time // when it became active: the header time may follow the clock from there
	header     [headerSize]byte
	mid        []byte // state of SHA-256 after the first 64 bytes
	target     pool.Target
	network    pool.Target
	extranonce []byte // of an extended channel or Stratum V1, else nil
	first      uint32 // nonce to begin with: random, as two copies of a job must not repeat each other
	v1         v1Work // of Stratum V1
}

// tip is what SetNewPrevHash says.
type tip struct {
	prev    [32]byte
	minTime uint32
	bits    uint32
}

// ready completes the header of a job under a tip and a target.
func (j *job) ready(t tip, minTime uint32, target pool.Target, now time.Time) *work {
	w := &work{
		channel: j.channel, job: j.id, version: j.version, minTime: minTime, since: now,
		target: target, network: pool.TargetFromBits(t.bits), extranonce: j.extranonce, first: rand.Uint32(),
	}
	w.fill(j.version, &t.prev, &j.root, t.bits)
	return w
}

// fill writes the header but for its nonce, and hashes its first block.
func (w *work) fill(version uint32, prev, root *[32]byte, bits uint32) {
	binary.LittleEndian.PutUint32(w.header[0:], version)
	copy(w.header[4:], prev[:])
	copy(w.header[36:], root[:])
	binary.LittleEndian.PutUint32(w.header[timeAt:], w.minTime)
	binary.LittleEndian.PutUint32(w.header[bitsAt:], bits)
	h := sha256.New()
	h.Write(w.header[:midSize])
	if a, ok := h.(encoding.BinaryMarshaler); ok { // documented by crypto/sha256, and cannot fail
		w.mid, _ = a.MarshalBinary()
	}
}

// coinbaseRoot is the merkle root of an extended job: the coinbase is prefix, extranonce
// prefix, extranonce, suffix, without BIP141 bytes (sv2-spec 05 §5.3.16).
func coinbaseRoot(parts [][]byte, path []chainhash.Hash) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	var root [32]byte
	h.Sum(root[:0])
	root = sha256.Sum256(root[:])
	var pair [64]byte
	for i := range path {
		copy(pair[:], root[:])
		copy(pair[32:], path[i][:])
		root = sha256.Sum256(pair[:])
		root = sha256.Sum256(root[:])
	}
	return root
}
