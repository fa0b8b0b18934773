package sv2

// UpdateChannel tells the server of a changed hashrate or bound (05 §5.3.7). There is no
// answer but an error or a new target.
//
//	channel_id         U32
//	nominal_hash_rate  F32
//	maximum_target     U256
type UpdateChannel struct {
	ChannelID       uint32
	NominalHashRate float32 // hashes a second; 0 is allowed
	MaxTarget       [32]byte
}

// DecodeUpdateChannel reads a payload; see the package for aliasing and rest.
func DecodeUpdateChannel(p []byte) (m UpdateChannel, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.NominalHashRate = r.f32("nominal_hash_rate")
	m.MaxTarget = r.u256("maximum_target")
	rest, err = r.end("UpdateChannel")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m UpdateChannel) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeUpdateChannel)
	w.u32(m.ChannelID)
	w.f32(m.NominalHashRate)
	w.u256(&m.MaxTarget)
	return w.end()
}

// UpdateChannelError refuses an UpdateChannel (05 §5.3.8).
//
//	channel_id  U32
//	error_code  STR0_255
type UpdateChannelError struct {
	ChannelID uint32
	Code      string
}

// DecodeUpdateChannelError reads a payload; see the package for aliasing and rest.
func DecodeUpdateChannelError(p []byte) (m UpdateChannelError, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Code = r.text("error_code")
	rest, err = r.end("UpdateChannel.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m UpdateChannelError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeUpdateChannelError)
	w.u32(m.ChannelID)
	w.text(m.Code)
	return w.end()
}
