package sv2

// SetPowerTarget orders the power of the machine behind one channel. Sending it again with the
// same command refreshes it and changes nothing. Pool to device.
//
//	0  channel_id  U32
//	4  PowerTarget
//	30
type SetPowerTarget struct {
	ChannelID uint32
	PowerTarget
}

// DecodeSetPowerTarget reads a payload; see the package for aliasing and rest.
func DecodeSetPowerTarget(p []byte) (m SetPowerTarget, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.PowerTarget = r.powerTarget()
	rest, err = r.end("SetPowerTarget")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetPowerTarget) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypeSetPowerTarget)
	w.u32(m.ChannelID)
	w.powerTarget(&m.PowerTarget)
	return w.end()
}

// PowerAnswer is what will come of a command, inside SetPowerTarget.Success and its form for sites: a
// claim, after clamping to the limits there.
//
//	+0   term                U32
//	+4   command_id          U32
//	+8   planned_w           U32
//	+12  eta_ms              U32  until it is settled
//	+16  expected_hash_rate  F32  hashes a second once settled
//	+20
type PowerAnswer struct {
	Command          PowerCommand
	Planned          Watts
	Eta              Millis
	ExpectedHashRate float32
}

func (r *reader) powerAnswer() (a PowerAnswer) {
	a.Command = r.powerCommand()
	a.Planned = Watts(r.u32("planned_w"))
	a.Eta = Millis(r.u32("eta_ms"))
	a.ExpectedHashRate = r.f32("expected_hash_rate")
	return a
}

func (w *writer) powerAnswer(a *PowerAnswer) {
	w.powerCommand(a.Command)
	w.u32(uint32(a.Planned))
	w.u32(uint32(a.Eta))
	w.f32(a.ExpectedHashRate)
}

// SetPowerTargetSuccess says what the device will do. To an older command than the newest it answers
// with the newest. Device to pool.
//
//	0  channel_id  U32
//	4  PowerAnswer
//	24
type SetPowerTargetSuccess struct {
	ChannelID uint32
	PowerAnswer
}

// DecodeSetPowerTargetSuccess reads a payload; see the package for aliasing and rest.
func DecodeSetPowerTargetSuccess(p []byte) (m SetPowerTargetSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.PowerAnswer = r.powerAnswer()
	rest, err = r.end("SetPowerTarget.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetPowerTargetSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypeSetPowerTargetSuccess)
	w.u32(m.ChannelID)
	w.powerAnswer(&m.PowerAnswer)
	return w.end()
}

// SetPowerTargetError refuses a command, which then changes nothing. Device to pool.
//
//	 0  channel_id  U32
//	 4  term        U32
//	 8  command_id  U32
//	12  error_code  STR0_255
type SetPowerTargetError struct {
	ChannelID uint32
	Command   PowerCommand
	Code      string
}

// DecodeSetPowerTargetError reads a payload; see the package for aliasing and rest.
func DecodeSetPowerTargetError(p []byte) (m SetPowerTargetError, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Command = r.powerCommand()
	m.Code = r.text("error_code")
	rest, err = r.end("SetPowerTarget.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetPowerTargetError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypeSetPowerTargetError)
	w.u32(m.ChannelID)
	w.powerCommand(m.Command)
	w.text(m.Code)
	return w.end()
}
