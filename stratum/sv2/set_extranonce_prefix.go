package sv2

// SetExtranoncePrefix changes the prefix for the jobs that come after it (05 §5.3.10).
// Server to client.
//
//	channel_id         U32
//	extranonce_prefix  B0_32
type SetExtranoncePrefix struct {
	ChannelID        uint32
	ExtranoncePrefix []byte
}

// DecodeSetExtranoncePrefix reads a payload; see the package for aliasing and rest.
func DecodeSetExtranoncePrefix(p []byte) (m SetExtranoncePrefix, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.ExtranoncePrefix = r.bytes8("extranonce_prefix", 32)
	rest, err = r.end("SetExtranoncePrefix")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetExtranoncePrefix) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetExtranoncePrefix)
	w.u32(m.ChannelID)
	w.bytes8("extranonce_prefix", 32, m.ExtranoncePrefix)
	return w.end()
}
