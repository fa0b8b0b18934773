package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// NewTemplate is a block template (07 §7.2). CoinbaseOutputs are bare, without their
// number. Server to client.
//
//	template_id                  U64
//	future_template              BOOL
//	version                      U32
//	coinbase_tx_version          U32
//	coinbase_prefix              B0_255
//	coinbase_tx_input_sequence   U32
//	coinbase_tx_value_remaining  U64
//	coinbase_tx_outputs_count    U32
//	coinbase_tx_outputs          B0_64K
//	coinbase_tx_locktime         U32
//	merkle_path                  SEQ0_255[U256]
type NewTemplate struct {
	TemplateID       uint64
	Future           bool
	Version          uint32
	CoinbaseVersion  uint32
	CoinbasePrefix   []byte // the beginning of the scriptSig, at most 8 bytes
	InputSequence    uint32
	ValueRemaining   uint64 // satoshi left for the client's outputs
	OutputsCount     uint32
	CoinbaseOutputs  []byte // come after the client's own
	CoinbaseLockTime uint32
	MerklePath       []chainhash.Hash
}

// DecodeNewTemplate reads a payload; see the package for aliasing and rest.
func DecodeNewTemplate(p []byte) (m NewTemplate, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	m.Future = r.boolean("future_template")
	m.Version = r.u32("version")
	m.CoinbaseVersion = r.u32("coinbase_tx_version")
	m.CoinbasePrefix = r.bytes8("coinbase_prefix", 255)
	m.InputSequence = r.u32("coinbase_tx_input_sequence")
	m.ValueRemaining = r.u64("coinbase_tx_value_remaining")
	m.OutputsCount = r.u32("coinbase_tx_outputs_count")
	m.CoinbaseOutputs = r.bytes16("coinbase_tx_outputs")
	m.CoinbaseLockTime = r.u32("coinbase_tx_locktime")
	m.MerklePath = r.hashes("merkle_path")
	rest, err = r.end("NewTemplate")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m NewTemplate) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeNewTemplate)
	w.u64(m.TemplateID)
	w.boolean(m.Future)
	w.u32(m.Version)
	w.u32(m.CoinbaseVersion)
	w.bytes8("coinbase_prefix", 255, m.CoinbasePrefix)
	w.u32(m.InputSequence)
	w.u64(m.ValueRemaining)
	w.u32(m.OutputsCount)
	w.bytes16("coinbase_tx_outputs", m.CoinbaseOutputs)
	w.u32(m.CoinbaseLockTime)
	w.hashes("merkle_path", m.MerklePath)
	return w.end()
}
