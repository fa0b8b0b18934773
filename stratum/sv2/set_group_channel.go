package sv2

// SetGroupChannel puts channels into a group (05 §5.3.22). Its channel bit is not set,
// though an id comes first. Server to client.
//
//	group_channel_id  U32
//	channel_ids       SEQ0_64K[U32]
type SetGroupChannel struct {
	GroupChannelID uint32
	ChannelIDs     []uint32
}

// DecodeSetGroupChannel reads a payload; see the package for aliasing and rest.
func DecodeSetGroupChannel(p []byte) (m SetGroupChannel, rest []byte, err error) {
	r := reader{rest: p}
	m.GroupChannelID = r.u32("group_channel_id")
	m.ChannelIDs = r.u32s("channel_ids")
	rest, err = r.end("SetGroupChannel")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetGroupChannel) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeSetGroupChannel)
	w.u32(m.GroupChannelID)
	w.u32s("channel_ids", m.ChannelIDs)
	return w.end()
}
