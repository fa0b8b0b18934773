package sv2

// CloseChannel ends a channel, or all of a group; either side may send it (05 §5.3.9).
//
//	channel_id   U32
//	reason_code  STR0_255
type CloseChannel struct {
	ChannelID uint32
	Reason    string
}

// DecodeCloseChannel reads a payload; see the package for aliasing and rest.
func DecodeCloseChannel(p []byte) (m CloseChannel, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Reason = r.text("reason_code")
	rest, err = r.end("CloseChannel")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m CloseChannel) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeCloseChannel)
	w.u32(m.ChannelID)
	w.text(m.Reason)
	return w.end()
}
