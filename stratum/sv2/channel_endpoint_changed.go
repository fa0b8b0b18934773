package sv2

// ChannelEndpointChanged says that the far end of a channel is another one now, so that
// what extensions agreed on for it is void (03 §3.6.4). Server to client.
//
//	channel_id  U32
type ChannelEndpointChanged struct {
	ChannelID uint32
}

// DecodeChannelEndpointChanged reads a payload; see the package for aliasing and rest.
func DecodeChannelEndpointChanged(p []byte) (m ChannelEndpointChanged, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	rest, err = r.end("ChannelEndpointChanged")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m ChannelEndpointChanged) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeChannelEndpointChanged)
	w.u32(m.ChannelID)
	return w.end()
}
