package sv2

// Bits of PowerHello.Capabilities.
const (
	CanCap      = 1 << 0 // runs anywhere between Min and Max
	CanPause    = 1 << 1 // sleeps
	CanRamp     = 1 << 2 // obeys ramp_ms
	CanMeter    = 1 << 3 // measures its power (source is not SourceEstimate)
	CanSchedule = 1 << 4 // obeys start_in_ms
	CanWake     = 1 << 5 // returns from sleep by command, without hands
	CanHold     = 1 << 6 // obeys FailHold: keeps a reduction without a connection, and after its own restart
)

// PowerHello offers the extension for one channel and says what the device can do. Device to pool.
//
//	 0  channel_id    U32
//	 4  min_version   U16
//	 6  max_version   U16
//	 8  capabilities  U32  CanCap and the like; unknown bits are ignored
//	12  min_w         U32  least power while it hashes
//	16  max_w         U32  full power
//	20  idle_w        U32  power while paused
//	24  step_w        U16  0 is continuous
//	26  pause_ms      U32  declared time to 95 % of a reduction
//	30  resume_ms     U32  declared time to 95 % of a return
//	34
type PowerHello struct {
	ChannelID    uint32
	MinVersion   uint16
	MaxVersion   uint16
	Capabilities uint32
	Min          Watts
	Max          Watts
	Idle         Watts
	Step         uint16 // watts
	PauseIn      Millis
	ResumeIn     Millis
}

// DecodePowerHello reads a payload; see the package for aliasing and rest.
func DecodePowerHello(p []byte) (m PowerHello, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.MinVersion = r.u16("min_version")
	m.MaxVersion = r.u16("max_version")
	m.Capabilities = r.u32("capabilities")
	m.Min = Watts(r.u32("min_w"))
	m.Max = Watts(r.u32("max_w"))
	m.Idle = Watts(r.u32("idle_w"))
	m.Step = r.u16("step_w")
	m.PauseIn = Millis(r.u32("pause_ms"))
	m.ResumeIn = Millis(r.u32("resume_ms"))
	rest, err = r.end("PowerHello")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PowerHello) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypePowerHello)
	w.u32(m.ChannelID)
	w.u16(m.MinVersion)
	w.u16(m.MaxVersion)
	w.u32(m.Capabilities)
	w.u32(uint32(m.Min))
	w.u32(uint32(m.Max))
	w.u32(uint32(m.Idle))
	w.u16(m.Step)
	w.u32(uint32(m.PauseIn))
	w.u32(uint32(m.ResumeIn))
	return w.end()
}

// PowerHelloAck settles the extension for one channel. Pool to device.
//
//	 0  channel_id        U32
//	 4  version           U16  within the offered range
//	 6  report_period_ms  U32  send a PowerReport at least this often; 0 is never
//	10  dead_man_s        U32  valid_for_s of commands that have 0
//	14
type PowerHelloAck struct {
	ChannelID    uint32
	Version      uint16
	ReportPeriod Millis
	DeadMan      Seconds
}

// DecodePowerHelloAck reads a payload; see the package for aliasing and rest.
func DecodePowerHelloAck(p []byte) (m PowerHelloAck, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Version = r.u16("version")
	m.ReportPeriod = Millis(r.u32("report_period_ms"))
	m.DeadMan = Seconds(r.u32("dead_man_s"))
	rest, err = r.end("PowerHello.Ack")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PowerHelloAck) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypePowerHelloAck)
	w.u32(m.ChannelID)
	w.u16(m.Version)
	w.u32(uint32(m.ReportPeriod))
	w.u32(uint32(m.DeadMan))
	return w.end()
}
