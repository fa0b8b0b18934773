package load

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// v1Work is a job as a connection hashes it. The easiest difficulty that Stratum V1 can say in three digits,
// 2.33e-10, is missed by 7 hashes in 10,000, so that each share is hashed once to see whether it is one.
type v1Work struct {
	line   []byte // mining.notify, until it is needed
	level  []byte // of difficulty, as it was sent for the next job
	target pool.Target
	header [80]byte
	nonce  uint32
}

// prepare puts a job together when its first share is wanted.
func (c *v1Conn) prepare() error {
	w := &c.work
	if len(w.line) == 0 {
		return nil
	}
	var m struct{ Params []json.RawMessage }
	var text [9]string
	if err := json.Unmarshal(w.line, &m); err != nil || len(m.Params) != len(text) {
		return fmt.Errorf("no job is %s", w.line)
	}
	w.line = w.line[:0]
	for i := range text {
		_ = json.Unmarshal(m.Params[i], &text[i]) // what is no string is empty, and no number
	}
	var branch []string
	if err := json.Unmarshal(m.Params[4], &branch); err != nil {
		return fmt.Errorf("no merkle branch is %s", m.Params[4])
	}
	coinbase, err := hex.DecodeString(text[2] + c.prefix + c.zeros + text[3])
	if err != nil {
		return fmt.Errorf("reading the coinbase: %w", err)
	}
	root := twice(coinbase)
	for _, b := range branch {
		node, err := hex.DecodeString(b)
		if err != nil {
			return fmt.Errorf("reading the merkle branch: %w", err)
		}
		root = twice(append(root[:], node...))
	}
	words, err := hex.DecodeString(text[5] + text[1] + text[7] + text[6])
	if err != nil || len(words) != 44 {
		return fmt.Errorf("reading the header: %q", text)
	}
	for i := range 9 { // version and prevhash: words whose bytes are turned around
		binary.LittleEndian.PutUint32(w.header[4*i:], binary.BigEndian.Uint32(words[4*i:]))
	}
	copy(w.header[36:], root[:])
	binary.LittleEndian.PutUint32(w.header[68:], binary.BigEndian.Uint32(words[36:]))
	binary.LittleEndian.PutUint32(w.header[72:], binary.BigEndian.Uint32(words[40:]))
	w.nonce = 0
	w.target, err = stratumtest.V1Difficulty(w.level)
	return err
}

// grind is the next nonce that makes a share.
func (w *v1Work) grind() uint32 {
	for {
		w.nonce++
		binary.LittleEndian.PutUint32(w.header[76:], w.nonce)
		if hash := twice(w.header[:]); w.target.Meets(&hash) {
			return w.nonce
		}
	}
}

func twice(b []byte) [32]byte {
	h := sha256.Sum256(b)
	return sha256.Sum256(h[:])
}
