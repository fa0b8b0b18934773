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

// PowerOffer is what can be done with the power of a machine, or of a site, inside PowerHello and
// SitePowerHello:
//
//	+0   min_version   U16
//	+2   max_version   U16
//	+4   capabilities  U32  CanCap and the like; unknown bits are ignored
//	+8   min_w         U32  least power while it hashes
//	+12  max_w         U32  full power
//	+16  idle_w        U32  power while paused
//	+20  step_w        U16  0 is continuous
//	+22  pause_ms      U32  declared time to 95 % of a reduction
//	+26  resume_ms     U32  declared time to 95 % of a return
//	+30
type PowerOffer struct {
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

func (r *reader) powerOffer() (o PowerOffer) {
	o.MinVersion = r.u16("min_version")
	o.MaxVersion = r.u16("max_version")
	o.Capabilities = r.u32("capabilities")
	o.Min = Watts(r.u32("min_w"))
	o.Max = Watts(r.u32("max_w"))
	o.Idle = Watts(r.u32("idle_w"))
	o.Step = r.u16("step_w")
	o.PauseIn = Millis(r.u32("pause_ms"))
	o.ResumeIn = Millis(r.u32("resume_ms"))
	return o
}

func (w *writer) powerOffer(o *PowerOffer) {
	w.u16(o.MinVersion)
	w.u16(o.MaxVersion)
	w.u32(o.Capabilities)
	w.u32(uint32(o.Min))
	w.u32(uint32(o.Max))
	w.u32(uint32(o.Idle))
	w.u16(o.Step)
	w.u32(uint32(o.PauseIn))
	w.u32(uint32(o.ResumeIn))
}

// PowerTerms is what the pool settles on, inside PowerHello.Ack and SitePowerHello.Ack:
//
//	+0  version           U16  within the offered range
//	+2  report_period_ms  U32  report at least this often; 0 is never
//	+6  dead_man_s        U32  valid_for_s of commands that have 0
//	+10
type PowerTerms struct {
	Version      uint16
	ReportPeriod Millis
	DeadMan      Seconds
}

func (r *reader) powerTerms() PowerTerms {
	return PowerTerms{
		Version:      r.u16("version"),
		ReportPeriod: Millis(r.u32("report_period_ms")),
		DeadMan:      Seconds(r.u32("dead_man_s")),
	}
}

func (w *writer) powerTerms(t PowerTerms) {
	w.u16(t.Version)
	w.u32(uint32(t.ReportPeriod))
	w.u32(uint32(t.DeadMan))
}

// PowerHello offers the extension for one channel and says what the device can do. Device to pool.
//
//	0  channel_id  U32
//	4  PowerOffer
//	34
type PowerHello struct {
	ChannelID uint32
	PowerOffer
}

// DecodePowerHello reads a payload; see the package for aliasing and rest.
func DecodePowerHello(p []byte) (m PowerHello, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.PowerOffer = r.powerOffer()
	rest, err = r.end("PowerHello")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PowerHello) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypePowerHello)
	w.u32(m.ChannelID)
	w.powerOffer(&m.PowerOffer)
	return w.end()
}

// PowerHelloAck settles the extension for one channel. Pool to device.
//
//	0  channel_id  U32
//	4  PowerTerms
//	14
type PowerHelloAck struct {
	ChannelID uint32
	PowerTerms
}

// DecodePowerHelloAck reads a payload; see the package for aliasing and rest.
func DecodePowerHelloAck(p []byte) (m PowerHelloAck, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.PowerTerms = r.powerTerms()
	rest, err = r.end("PowerHello.Ack")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PowerHelloAck) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower|ChannelBit, TypePowerHelloAck)
	w.u32(m.ChannelID)
	w.powerTerms(m.PowerTerms)
	return w.end()
}
