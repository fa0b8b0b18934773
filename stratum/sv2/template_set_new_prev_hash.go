package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// TemplateSetNewPrevHash is template distribution's SetNewPrevHash: it makes a future
// template the current one (07 §7.3). Server to client.
//
//	template_id       U64
//	prev_hash         U256
//	header_timestamp  U32
//	nBits             U32
//	target            U256
type TemplateSetNewPrevHash struct {
	TemplateID uint64
	PrevHash   chainhash.Hash
	Time       uint32 // the least
	Bits       uint32
	Target     [32]byte
}

// DecodeTemplateSetNewPrevHash reads a payload; see the package for aliasing and rest.
func DecodeTemplateSetNewPrevHash(p []byte) (m TemplateSetNewPrevHash, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	m.PrevHash = r.u256("prev_hash")
	m.Time = r.u32("header_timestamp")
	m.Bits = r.u32("nBits")
	m.Target = r.u256("target")
	rest, err = r.end("SetNewPrevHash (template distribution)")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m TemplateSetNewPrevHash) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeTemplateSetNewPrevHash)
	w.u64(m.TemplateID)
	w.u256((*[32]byte)(&m.PrevHash))
	w.u32(m.Time)
	w.u32(m.Bits)
	w.u256(&m.Target)
	return w.end()
}
