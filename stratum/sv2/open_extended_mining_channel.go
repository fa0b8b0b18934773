package sv2

// OpenExtendedMiningChannel asks for a channel that rolls its own extranonce (05 §5.3.4).
// Client to server.
//
//	request_id           U32
//	user_identity        STR0_255
//	nominal_hash_rate    F32
//	max_target           U256
//	min_extranonce_size  U16
type OpenExtendedMiningChannel struct {
	RequestID         uint32 // echoed, never interpreted
	UserIdentity      string
	NominalHashRate   float32  // hashes a second; 0 is allowed
	MaxTarget         [32]byte // the easiest target accepted, little-endian
	MinExtranonceSize uint16
}

// DecodeOpenExtendedMiningChannel reads a payload; see the package for aliasing and rest.
func DecodeOpenExtendedMiningChannel(p []byte) (m OpenExtendedMiningChannel, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.UserIdentity = r.text("user_identity")
	m.NominalHashRate = r.f32("nominal_hash_rate")
	m.MaxTarget = r.u256("max_target")
	m.MinExtranonceSize = r.u16("min_extranonce_size")
	rest, err = r.end("OpenExtendedMiningChannel")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m OpenExtendedMiningChannel) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeOpenExtendedMiningChannel)
	w.u32(m.RequestID)
	w.text(m.UserIdentity)
	w.f32(m.NominalHashRate)
	w.u256(&m.MaxTarget)
	w.u16(m.MinExtranonceSize)
	return w.end()
}

// OpenExtendedMiningChannelSuccess opens an extended channel (05 §5.3.5).
//
//	request_id         U32
//	channel_id         U32
//	target             U256
//	extranonce_size    U16
//	extranonce_prefix  B0_32
//	group_channel_id   U32
type OpenExtendedMiningChannelSuccess struct {
	RequestID        uint32
	ChannelID        uint32
	Target           [32]byte
	ExtranonceSize   uint16 // bytes that the client rolls
	ExtranoncePrefix []byte
	GroupChannelID   uint32 // clients from before 2026 do not know it
}

// DecodeOpenExtendedMiningChannelSuccess reads a payload; see the package for aliasing and rest.
func DecodeOpenExtendedMiningChannelSuccess(p []byte) (
	m OpenExtendedMiningChannelSuccess, rest []byte, err error,
) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.ChannelID = r.u32("channel_id")
	m.Target = r.u256("target")
	m.ExtranonceSize = r.u16("extranonce_size")
	m.ExtranoncePrefix = r.bytes8("extranonce_prefix", 32)
	m.GroupChannelID = r.u32("group_channel_id")
	rest, err = r.end("OpenExtendedMiningChannel.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m OpenExtendedMiningChannelSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeOpenExtendedMiningChannelSuccess)
	w.u32(m.RequestID)
	w.u32(m.ChannelID)
	w.u256(&m.Target)
	w.u16(m.ExtranonceSize)
	w.bytes8("extranonce_prefix", 32, m.ExtranoncePrefix)
	w.u32(m.GroupChannelID)
	return w.end()
}
