package sv2

// PowerReport is what the device says that it draws: a claim, for evidence and not for proof.
// Device to pool.
//
//	0  channel_id  U32
//	4  PowerReading
//	39
type PowerReport struct {
	ChannelID uint32
	PowerReading
}

// DecodePowerReport reads a payload; see the package for aliasing and rest.
func DecodePowerReport(p []byte) (m PowerReport, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.PowerReading = r.powerReading()
	rest, err = r.end("PowerReport")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PowerReport) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypePowerReport)
	w.u32(m.ChannelID)
	w.powerReading(&m.PowerReading)
	return w.end()
}
