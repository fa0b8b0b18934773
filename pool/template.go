package pool

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Tip is what a job needs to know of the newest block: the values of
// SetNewPrevHash (sv2-spec 05 §5.3.17).
type Tip struct {
	Height  int32          // of the block to be mined on top
	Prev    chainhash.Hash // newest block, raw byte order
	Bits    uint32         // compact network target of the block to be mined
	MinTime uint32         // smallest header time, Unix seconds
}

// Target is the network target of the block to be mined.
func (t Tip) Target() Target { return TargetFromBits(t.Bits) }

// Tx is one transaction of a template, without the coinbase.
type Tx struct {
	Raw  []byte         // with witness
	ID   chainhash.Hash // without witness: the merkle leaf
	Fee  int64          // satoshi
	Cost int64          // weight units
}

// Template is a candidate block from a node. It is immutable.
//
// A template without transactions may be made from headers alone, before the node has
// built a full one: Partial is then true and a full template for the same tip follows.
type Template struct {
	Tip
	Version    uint32
	Time       uint32          // the node's clock, Unix seconds
	Value      int64           // satoshi that the coinbase may claim: subsidy and fees
	Txs        []Tx            // in block order, without the coinbase
	Commitment *chainhash.Hash // witness commitment; nil if no transaction has a witness
	Partial    bool            // made from headers; the full one follows
	Next       NextBlock       // what the block after this one will look like
}

// NextBlock is what can be known of the block after the one being mined,
// before that one is found. It feeds the coinbase-only future job.
type NextBlock struct {
	Version uint32
	Value   int64 // subsidy alone, satoshi
}

// Fees is the sum of the template's transaction fees in satoshi.
func (t *Template) Fees() (sum int64) {
	for i := range t.Txs {
		sum += t.Txs[i].Fee
	}
	return sum
}

// ErrNodeNotReady is wrapped by every error that says why a node gives no
// template now (away, syncing, without peers, on the wrong network). Waiting helps.
var ErrNodeNotReady = errors.New("node is not ready")

// Node gives templates and takes blocks.
type Node interface {
	// Next returns a template that differs from after: a new tip at once, better fees
	// on the same tip within the node's refresh interval. A nil after
	// asks for the current one. It blocks until there is one, the
	// context ends or the node fails.
	Next(ctx context.Context, after *Template) (*Template, error)
	// SubmitBlock hands a block over and returns nil when the node has it on its best chain.
	SubmitBlock(ctx context.Context, b *Block) error
}
