package sv2

// OpenStandardMiningChannel asks for a channel whose jobs are ready merkle roots (05
// §5.3.2). Client to server.
//
//	request_id         U32
//	user_identity      STR0_255
//	nominal_hash_rate  F32
//	max_target         U256
type OpenStandardMiningChannel struct {
	RequestID       uint32 // echoed, never interpreted
	UserIdentity    string
	NominalHashRate float32  // hashes a second; 0 is allowed
	MaxTarget       [32]byte // the easiest target accepted, little-endian
}

// DecodeOpenStandardMiningChannel reads a payload; see the package for aliasing and rest.
func DecodeOpenStandardMiningChannel(p []byte) (m OpenStandardMiningChannel, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.UserIdentity = r.text("user_identity")
	m.NominalHashRate = r.f32("nominal_hash_rate")
	m.MaxTarget = r.u256("max_target")
	rest, err = r.end("OpenStandardMiningChannel")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m OpenStandardMiningChannel) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeOpenStandardMiningChannel)
	w.u32(m.RequestID)
	w.text(m.UserIdentity)
	w.f32(m.NominalHashRate)
	w.u256(&m.MaxTarget)
	return w.end()
}

// OpenStandardMiningChannelSuccess opens a standard channel (05 §5.3.3).
//
//	request_id         U32
//	channel_id         U32
//	target             U256
//	extranonce_prefix  B0_32
//	group_channel_id   U32
type OpenStandardMiningChannelSuccess struct {
	RequestID        uint32
	ChannelID        uint32
	Target           [32]byte
	ExtranoncePrefix []byte // the whole extranonce of its jobs
	GroupChannelID   uint32
}

// DecodeOpenStandardMiningChannelSuccess reads a payload; see the package for aliasing and rest.
func DecodeOpenStandardMiningChannelSuccess(p []byte) (
	m OpenStandardMiningChannelSuccess, rest []byte, err error,
) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.ChannelID = r.u32("channel_id")
	m.Target = r.u256("target")
	m.ExtranoncePrefix = r.bytes8("extranonce_prefix", 32)
	m.GroupChannelID = r.u32("group_channel_id")
	rest, err = r.end("OpenStandardMiningChannel.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m OpenStandardMiningChannelSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeOpenStandardMiningChannelSuccess)
	w.u32(m.RequestID)
	w.u32(m.ChannelID)
	w.u256(&m.Target)
	w.bytes8("extranonce_prefix", 32, m.ExtranoncePrefix)
	w.u32(m.GroupChannelID)
	return w.end()
}
