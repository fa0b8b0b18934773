package sv2

// OpenMiningChannelError refuses a channel of either kind (05 §5.3.6).
//
//	request_id  U32
//	error_code  STR0_255
type OpenMiningChannelError struct {
	RequestID uint32
	Code      string
}

// DecodeOpenMiningChannelError reads a payload; see the package for aliasing and rest.
func DecodeOpenMiningChannelError(p []byte) (m OpenMiningChannelError, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Code = r.text("error_code")
	rest, err = r.end("OpenMiningChannel.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m OpenMiningChannelError) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeOpenMiningChannelError)
	w.u32(m.RequestID)
	w.text(m.Code)
	return w.end()
}
