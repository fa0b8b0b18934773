package node

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

const (
	maxWeight    = 4_000_000      // weight units of a block
	commitScript = "6a24aa21a9ed" // the witness commitment's output script before the hash (BIP141)
)

// templateRequest is what both nodes are asked. btcd leaves the coinbase's value out
// unless "coinbasevalue" is asked for; Core refuses without the segwit rule, and on a signet
// without the signet rule.
func templateRequest(p *chaincfg.Params) any {
	rules := []string{"segwit"}
	if p.Name == chaincfg.SigNetParams.Name {
		rules = append(rules, "signet")
	}
	return map[string][]string{"capabilities": {"coinbasevalue", "longpoll"}, "rules": rules}
}

// decoder reads the result of getblocktemplate (BIP22, BIP23, BIP145).
type decoder struct {
	scanner
	params *chaincfg.Params
	t      pool.Template
	target string
	weight int64
	bytes  []byte // all raw transactions, one behind the other
	seen   map[string]bool
}

// decodeTemplate checks a template before anything is built on it: whatever a
// node sends gives a template that makes a block in form, or an error that
// names the field. It keeps nothing of the text.
func decodeTemplate(text []byte, p *chaincfg.Params) (*pool.Template, error) {
	d := decoder{scanner: scanner{b: text}, params: p, seen: make(map[string]bool)}
	d.object(func(name []byte) {
		key := clip(string(name))
		if d.seen[key] {
			d.refuse(key, "given twice")
			return
		}
		d.seen[key] = true
		d.member(key)
	})
	if d.peek() != 0 {
		d.fail("end of template")
	}
	if d.err == nil {
		d.check()
	}
	if d.err != nil {
		return nil, d.err
	}
	d.t.Next = pool.NextBlock{Version: d.t.Version, Value: subsidy(p, d.t.Height+1)}
	return &d.t, nil
}

// refuse ends decoding with an error about a field.
func (d *decoder) refuse(field, format string, args ...any) {
	if d.err == nil {
		d.err = fieldError(field, format, args...)
	}
	d.i = len(d.b)
}

func (d *decoder) member(key string) {
	switch key {
	case "version":
		d.t.Version = uint32(int32(d.number(key, math.MinInt32, math.MaxUint32)))
	case "previousblockhash":
		d.t.Prev = d.hash(key)
	case "bits":
		d.t.Bits = d.bits(key)
	case "target":
		d.target = string(d.text())
	case "height":
		d.t.Height = int32(d.number(key, 1, math.MaxInt32-1))
	case "curtime":
		d.t.Time = uint32(d.number(key, 1, math.MaxUint32))
	case "mintime":
		d.t.MinTime = uint32(d.number(key, 1, math.MaxUint32))
	case "coinbasevalue":
		d.t.Value = d.number(key, 0, maxMoney)
	case "default_witness_commitment":
		d.commitment(key)
	case "rules":
		d.array(func() { d.rule(string(d.text())) })
	case "transactions":
		d.bytes = make([]byte, 0, len(d.b)/2)
		d.array(d.transaction)
	default:
		d.value()
	}
}

func (d *decoder) number(field string, least, most int64) int64 {
	n := d.integer()
	if n < least || n > most {
		d.refuse(field, "%d, %d to %d are accepted", n, least, most)
		return 0
	}
	return n
}

// hash reads a hash in display order.
func (d *decoder) hash(field string) (h chainhash.Hash) {
	text := d.text()
	if d.err != nil {
		return h
	}
	if len(text) != 2*len(h) {
		d.refuse(field, "%d digits, %d are accepted", len(text), 2*len(h))
		return h
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		d.refuse(field, "hexadecimal digits are accepted")
	}
	slices.Reverse(h[:])
	return h
}

func (d *decoder) bits(field string) uint32 {
	text := string(d.text())
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil && d.err == nil {
		d.refuse(field, "%.20q, up to 8 hexadecimal digits are accepted", text)
	}
	return uint32(n)
}

// commitment reads what btcd and Core send in different shapes: the bare hash, or the
// output script around it. The length tells.
func (d *decoder) commitment(field string) {
	if d.null() {
		return
	}
	text := string(d.text())
	if d.err != nil {
		return
	}
	digits := 2 * chainhash.HashSize
	if len(text) >= len(commitScript)+digits && strings.HasPrefix(text, commitScript) {
		text = text[len(commitScript):]
	}
	h := new(chainhash.Hash)
	if len(text) != digits {
		d.refuse(field, "%d digits, a hash or its output script is accepted", len(text))
		return
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		d.refuse(field, "hexadecimal digits are accepted")
		return
	}
	d.t.Commitment = h
}

// rule refuses what the node says a miner must understand and we do not (BIP9: a leading !).
func (d *decoder) rule(name string) {
	must, ok := strings.CutPrefix(name, "!")
	if ok && must != "segwit" && must != "signet" && must != "csv" && must != "taproot" {
		d.refuse("rules", "%.40q is not known, segwit, signet, csv and taproot are", name)
	}
}

func (d *decoder) transaction() {
	field := func(name string) string { return fmt.Sprintf("transactions[%d].%s", len(d.t.Txs), name) }
	var tx pool.Tx
	var id chainhash.Hash
	d.object(func(key []byte) {
		switch string(key) {
		case "data":
			tx.Raw = d.raw(field)
		case "txid":
			id = d.hash("transactions[].txid")
		case "fee":
			tx.Fee = d.number("transactions[].fee", 0, maxMoney)
		default:
			d.value()
		}
	})
	if d.err != nil {
		return
	}
	shape, err := inspectTx(tx.Raw)
	if err != nil {
		d.refuse(field("data"), "%v", err)
		return
	}
	if id != shape.id {
		d.refuse(field("txid"), "%v, the data's is %v", id, shape.id)
		return
	}
	tx.ID, tx.Cost = shape.id, shape.weight
	d.weight += shape.weight
	if shape.witness {
		d.seen["witness"] = true
	}
	d.t.Txs = append(d.t.Txs, tx)
}

func (d *decoder) raw(field func(string) string) []byte {
	text := d.text()
	from := len(d.bytes)
	if d.err != nil || from+len(text)/2 > cap(d.bytes) {
		return nil
	}
	to := from + len(text)/2
	raw := d.bytes[from:to:to]
	if _, err := hex.Decode(raw, text); err != nil {
		d.refuse(field("data"), "%v", err)
		return nil
	}
	d.bytes = d.bytes[:to]
	return raw
}

// check looks at what concerns more than one field.
func (d *decoder) check() {
	for _, key := range []string{
		"version", "previousblockhash", "bits", "height", "curtime", "mintime", "coinbasevalue",
		"transactions",
	} {
		if !d.seen[key] {
			d.refuse(key, "missing")
			return
		}
	}
	t := &d.t
	target := pool.TargetFromBits(t.Bits)
	most := subsidy(d.params, t.Height)
	for i := range t.Txs {
		most += min(t.Txs[i].Fee, maxMoney-most)
	}
	switch {
	case target == (pool.Target{}) || targetOf(t.Bits).Cmp(d.params.PowLimit) > 0:
		d.refuse("bits", "%08x is not a target of %s", t.Bits, d.params.Name)
	case d.target != "" && !strings.EqualFold(d.target, target.String()):
		d.refuse("target", "%.64s, bits say %s", d.target, target)
	case t.Value > most:
		d.refuse("coinbasevalue", "%d, subsidy and fees are %d", t.Value, most)
	case d.weight > maxWeight:
		d.refuse("transactions", "weight %d, up to %d is accepted", d.weight, maxWeight)
	case t.Commitment == nil && d.seen["witness"]:
		d.refuse("default_witness_commitment", "missing, a transaction has a witness")
	}
	t.Time = max(t.Time, t.MinTime)
}
