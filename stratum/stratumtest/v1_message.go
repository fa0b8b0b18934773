package stratumtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// V1Message is one line of Stratum V1. A part that the line does not have is nil; null is "null".
type V1Message struct {
	Line   string
	ID     json.RawMessage // as it stands
	Method string          // empty: a reply
	Params []json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// ParseV1 reads a line by the rules of JSON alone. It shares no code with the server's reader.
func ParseV1(line string) (m V1Message, err error) {
	m.Line = line
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &parts); err != nil {
		return m, fmt.Errorf("line is no JSON object: %w", err)
	}
	m.ID, m.Result, m.Error = parts["id"], parts["result"], parts["error"]
	if method, ok := parts["method"]; ok {
		if err := json.Unmarshal(method, &m.Method); err != nil {
			return m, fmt.Errorf("method: %w", err)
		}
		if err := json.Unmarshal(parts["params"], &m.Params); err != nil {
			return m, fmt.Errorf("params of %s: %w", m.Method, err)
		}
	}
	return m, nil
}

// Refusal is what a reply's error says: its number and its words. Both are zero without an error.
func (m *V1Message) Refusal() (code int, words string) {
	var e []json.RawMessage
	if json.Unmarshal(m.Error, &e) != nil || len(e) < 2 {
		return 0, ""
	}
	_ = json.Unmarshal(e[0], &code) // what is no number stays 0
	_ = json.Unmarshal(e[1], &words)
	return code, words
}

// text is a parameter that is a string.
func (m *V1Message) text(i int) (s string, err error) {
	if i >= len(m.Params) {
		return "", fmt.Errorf("%s has %d parameters, %d are needed", m.Method, len(m.Params), i+1)
	}
	if err := json.Unmarshal(m.Params[i], &s); err != nil {
		return "", fmt.Errorf("parameter %d of %s is no string: %s", i+1, m.Method, m.Params[i])
	}
	return s, nil
}

// V1Difficulty is the target of a difficulty, where difficulty 1 is 0xffff followed by 26 zero bytes.
func V1Difficulty(difficulty json.RawMessage) (pool.Target, error) {
	d, err := strconv.ParseFloat(string(difficulty), 64)
	if err != nil || !(d > 0) {
		return pool.Target{}, fmt.Errorf("difficulty %s is no number above 0", difficulty)
	}
	one := new(big.Float).SetPrec(512).SetInt(new(big.Int).Lsh(big.NewInt(0xffff), 208))
	n, _ := one.Quo(one, big.NewFloat(d)).Int(nil)
	var raw [32]byte
	if n.BitLen() > 256 {
		return pool.MaxTarget, nil
	}
	n.FillBytes(raw[:])
	slices.Reverse(raw[:]) // a target has its least significant byte first
	return pool.TargetFromBytes(&raw), nil
}

// v1Job is what mining.notify says.
type v1Job struct {
	id                  string
	prev                [32]byte
	first, second       []byte // coinbase before and after the extranonces
	branch              []chainhash.Hash
	version, bits, time uint32
	clean               bool
}

// parseV1Notify reads a job to the letter: numbers have eight lower-case digits, hashes sixty-four.
func parseV1Notify(m *V1Message) (j *v1Job, err error) {
	if len(m.Params) != 9 {
		return nil, fmt.Errorf("mining.notify has %d parameters, not 9", len(m.Params))
	}
	j = &v1Job{}
	var text [8]string
	for _, i := range [...]int{0, 1, 2, 3, 5, 6, 7} {
		if text[i], err = m.text(i); err != nil {
			return nil, err
		}
	}
	j.id = text[0]
	prev, err := exactHex("prevhash", text[1], 32)
	if err != nil {
		return nil, err
	}
	for i := range j.prev { // eight words, the bytes of each turned around
		j.prev[i] = prev[i/4*4+3-i%4]
	}
	if j.first, err = exactHex("coinb1", text[2], -1); err != nil {
		return nil, err
	}
	if j.second, err = exactHex("coinb2", text[3], -1); err != nil {
		return nil, err
	}
	if err := j.parseBranch(m.Params[4]); err != nil {
		return nil, err
	}
	for i, to := range []*uint32{&j.version, &j.bits, &j.time} {
		if *to, err = exactWord([...]string{"version", "nbits", "ntime"}[i], text[5+i]); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(m.Params[8], &j.clean); err != nil {
		return nil, fmt.Errorf("clean_jobs is no boolean: %s", m.Params[8])
	}
	return j, nil
}

func (j *v1Job) parseBranch(raw json.RawMessage) error {
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("merkle branch is no list of strings: %s", raw)
	}
	for _, s := range list {
		b, err := exactHex("merkle branch", s, 32)
		if err != nil {
			return err
		}
		j.branch = append(j.branch, chainhash.Hash(b))
	}
	return nil
}

var errV1Case = errors.New("upper-case hexadecimal")

// exactHex reads lower-case hexadecimal of so many bytes, of any number if negative.
func exactHex(what, s string, size int) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err == nil && s != strings.ToLower(s) {
		err = errV1Case
	}
	if err == nil && size >= 0 && len(b) != size {
		err = fmt.Errorf("%d bytes, not %d", len(b), size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", what, s, err)
	}
	return b, nil
}

func exactWord(what, s string) (uint32, error) {
	b, err := exactHex(what, s, 4)
	if err != nil {
		return 0, err
	}
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), nil
}

// quoted is a string as JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s) // a string can always be written
	return string(b)
}

// same reports whether two values are written alike.
func same(a, b json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(a), bytes.TrimSpace(b)) }
