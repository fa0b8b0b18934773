package sv2

// SubmitSharesExtended is a share of an extended channel (05 §5.3.12). A TLV of extension
// 0x0002 may follow: see UserIdentity. Client to server.
//
//	channel_id       U32
//	sequence_number  U32
//	job_id           U32
//	nonce            U32
//	ntime            U32
//	version          U32
//	extranonce       B0_32
type SubmitSharesExtended struct {
	ChannelID  uint32
	Sequence   uint32
	JobID      uint32
	Nonce      uint32
	Time       uint32
	Version    uint32
	Extranonce []byte
}

// DecodeSubmitSharesExtended reads a payload; see the package for aliasing and rest.
func DecodeSubmitSharesExtended(p []byte) (m SubmitSharesExtended, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Sequence = r.u32("sequence_number")
	m.JobID = r.u32("job_id")
	m.Nonce = r.u32("nonce")
	m.Time = r.u32("ntime")
	m.Version = r.u32("version")
	m.Extranonce = r.bytes8("extranonce", 32)
	rest, err = r.end("SubmitSharesExtended")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SubmitSharesExtended) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSubmitSharesExtended)
	w.u32(m.ChannelID)
	w.u32(m.Sequence)
	w.u32(m.JobID)
	w.u32(m.Nonce)
	w.u32(m.Time)
	w.u32(m.Version)
	w.bytes8("extranonce", 32, m.Extranonce)
	return w.end()
}
