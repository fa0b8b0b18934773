package stratumtest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// v1Work is what a share of Stratum V1 says beyond a header's nonce and time.
type v1Work struct {
	job  string
	bits uint32 // version bits that are rolled, within mask
	mask uint32 // 0: none may be
}

// v1Jobs follows the jobs of one connection: a difficulty and an extranonce hold from the next job on.
type v1Jobs struct {
	target     pool.Target
	prefix     []byte // extranonce1
	size       int    // of extranonce2
	mask       uint32
	counter    uint64 // of extranonce2: a firmware goes on counting over jobs
	difficulty bool   // one has come
	newest     *v1Job
}

// ready makes work of the newest job: another extranonce2 each time, and other version bits.
func (js *v1Jobs) ready(j *v1Job, now time.Time) *work {
	js.counter++
	extranonce := make([]byte, js.size)
	var counter [8]byte
	binary.LittleEndian.PutUint64(counter[:], js.counter)
	copy(extranonce, counter[:])
	rolled := rand.Uint32() & js.mask
	w := &work{
		version: j.version&^js.mask | rolled, minTime: j.time, since: now, target: js.target,
		network: pool.TargetFromBits(j.bits), extranonce: extranonce, first: rand.Uint32(),
		v1: v1Work{job: j.id, bits: rolled, mask: js.mask},
	}
	root := coinbaseRoot([][]byte{j.first, js.prefix, extranonce, j.second}, j.branch)
	w.fill(w.version, &j.prev, &root, j.bits)
	return w
}

// space names the search space of a job: two that are equal would find the same shares.
func (js *v1Jobs) space(j *v1Job) (sum [32]byte) {
	h := sha256.New()
	for _, part := range [][]byte{j.prev[:], j.first, js.prefix, j.second} {
		var size [4]byte
		binary.LittleEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	for i := range j.branch {
		h.Write(j.branch[i][:])
	}
	h.Sum(sum[:0])
	return sum
}

// coinbase is how long the coinbase of a job is.
func (js *v1Jobs) coinbase(j *v1Job) int {
	return len(j.first) + len(js.prefix) + js.size + len(j.second)
}
