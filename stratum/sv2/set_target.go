package sv2

// SetTarget bounds the shares of jobs that come after it; active jobs keep their target
// (05 §5.3.21). Server to client.
//
//	channel_id      U32
//	maximum_target  U256
type SetTarget struct {
	ChannelID uint32
	MaxTarget [32]byte
}

// DecodeSetTarget reads a payload; see the package for aliasing and rest.
func DecodeSetTarget(p []byte) (m SetTarget, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.MaxTarget = r.u256("maximum_target")
	rest, err = r.end("SetTarget")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetTarget) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetTarget)
	w.u32(m.ChannelID)
	w.u256(&m.MaxTarget)
	return w.end()
}
