package sv2

// SubmitSolution brings a found block (07 §7.7). Client to server.
//
//	template_id       U64
//	version           U32
//	header_timestamp  U32
//	header_nonce      U32
//	coinbase_tx       B0_64K
type SubmitSolution struct {
	TemplateID uint64
	Version    uint32
	Time       uint32
	Nonce      uint32
	Coinbase   []byte // whole, with its witness
}

// DecodeSubmitSolution reads a payload; see the package for aliasing and rest.
func DecodeSubmitSolution(p []byte) (m SubmitSolution, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	m.Version = r.u32("version")
	m.Time = r.u32("header_timestamp")
	m.Nonce = r.u32("header_nonce")
	m.Coinbase = r.bytes16("coinbase_tx")
	rest, err = r.end("SubmitSolution")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SubmitSolution) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeSubmitSolution)
	w.u64(m.TemplateID)
	w.u32(m.Version)
	w.u32(m.Time)
	w.u32(m.Nonce)
	w.bytes16("coinbase_tx", m.Coinbase)
	return w.end()
}
