package sv2

// SubmitSharesStandard is a share of a standard channel, 24 bytes (05 §5.3.11). Client to
// server.
//
//	channel_id       U32
//	sequence_number  U32
//	job_id           U32
//	nonce            U32
//	ntime            U32
//	version          U32
type SubmitSharesStandard struct {
	ChannelID uint32
	Sequence  uint32
	JobID     uint32
	Nonce     uint32
	Time      uint32
	Version   uint32
}

// DecodeSubmitSharesStandard reads a payload; see the package for aliasing and rest.
func DecodeSubmitSharesStandard(p []byte) (m SubmitSharesStandard, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Sequence = r.u32("sequence_number")
	m.JobID = r.u32("job_id")
	m.Nonce = r.u32("nonce")
	m.Time = r.u32("ntime")
	m.Version = r.u32("version")
	rest, err = r.end("SubmitSharesStandard")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SubmitSharesStandard) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSubmitSharesStandard)
	w.u32(m.ChannelID)
	w.u32(m.Sequence)
	w.u32(m.JobID)
	w.u32(m.Nonce)
	w.u32(m.Time)
	w.u32(m.Version)
	return w.end()
}
