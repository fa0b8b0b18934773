package sv2

import (
	"math"
	"time"
)

// ExtPower is the power extension: a pool that sets the power of the machines that mine for it
// (docs/power-extension.md). The number is from the experimental range.
const ExtPower = 0x4857

// PowerVersion is the version of the extension that this package speaks.
const PowerVersion = 1

// Types of ExtPower: A0 and up from pool to device, B0 and up from device to pool. No core
// message has these, because some stacks dispatch on the type alone.
const (
	TypePowerHelloAck       = 0xa0
	TypeSetPowerTarget      = 0xa1
	TypeSetSitePowerTarget  = 0xa2
	TypeSitePowerHelloAck   = 0xa3
	TypeSitePowerHelloError = 0xa4

	TypePowerHello            = 0xb0
	TypeSetPowerTargetSuccess = 0xb1
	TypeSetPowerTargetError   = 0xb2
	TypePowerReport           = 0xb3
	TypeSitePowerReport       = 0xb4

	TypeSitePowerHello            = 0xb5
	TypeSetSitePowerTargetSuccess = 0xb6
	TypeSetSitePowerTargetError   = 0xb7
)

// Sizes of payloads and their shared parts.
const (
	lenPowerOffer   = 2*lenU16 + 4*lenU32 + lenU16 + 2*lenU32
	lenPowerTerms   = lenU16 + 2*lenU32
	lenPowerCommand = 2 * lenU32
	lenPowerTarget  = lenPowerCommand + 2*lenU8 + 4*lenU32
	lenPowerAnswer  = lenPowerCommand + 2*lenU32 + lenF32
	lenPowerError   = lenPowerCommand + lenText
	lenPowerReading = lenPowerCommand + 2*lenU32 + 2*lenU8 + lenF32 + lenU8 + lenU64 + lenU32
)

// Codes of SetPowerTargetError and SetSitePowerTargetError.
const (
	CodePowerUnknownMode = "unknown-mode"      // mode or fail_mode has a value that is not known
	CodePowerUnsupported = "unsupported"       // known, and not among the device's capabilities
	CodePowerOverridden  = "local-override"    // somebody at the device has decided otherwise
	CodePowerFault       = "device-fault"      // the device cannot act now
	CodePowerNotReady    = "hello-not-settled" // no Ack was received for this channel or site
)

// Codes of SitePowerHelloError. CodeUnknownUser is another.
const (
	CodePowerVersion = "unsupported-version" // none of the versions offered is spoken here
	CodePowerOffer   = "impossible-offer"    // limits or times that cannot be
	CodePowerSiteRef = "invalid-site-ref"    // empty, too long, or not printable
	CodePowerTooMany = "too-many-sites"      // on this connection
)

// Watts is electric power on the wire.
type Watts uint32

// Millis is a time span in milliseconds on the wire.
type Millis uint32

// Duration is the span as Go has it.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// MillisOf is d rounded up; what is negative is 0, and what is too long is the longest, 49 days.
func MillisOf(d time.Duration) Millis { return Millis(clampedCeil(d, time.Millisecond)) }

// Seconds is a time span in seconds on the wire.
type Seconds uint32

// Duration is the span as Go has it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// SecondsOf is d rounded up; what is negative is 0, and what is too long is the longest, 136 years.
func SecondsOf(d time.Duration) Seconds { return Seconds(clampedCeil(d, time.Second)) }

func clampedCeil(d, unit time.Duration) uint32 {
	n := d / unit
	if d%unit > 0 {
		n++
	}
	return uint32(min(max(n, 0), math.MaxUint32))
}

// PowerCommand orders commands: a newer one replaces an older. Term is the fencing epoch of the
// process that commands, ID grows by one with each command within a term. Neither wraps.
type PowerCommand struct {
	Term uint32
	ID   uint32
}

// After reports whether c is newer than o. The device obeys a command only if it is newer than
// all that it has seen; the zero command is older than every other.
func (c PowerCommand) After(o PowerCommand) bool {
	return c.Term > o.Term || c.Term == o.Term && c.ID > o.ID
}

// PowerMode is what a device is told to do with its power.
type PowerMode uint8

// PowerFree is unbounded, PowerCap is at most the target, PowerPause is asleep.
const (
	PowerFree  PowerMode = 0
	PowerCap   PowerMode = 1
	PowerPause PowerMode = 2
)

// Known reports whether the mode has a meaning. Decoding accepts any, so that a device can
// answer what it does not know instead of dropping the connection.
func (m PowerMode) Known() bool { return m <= PowerPause }

// FailMode is what a device does when it was not refreshed in time.
type FailMode uint8

// FailRelease returns to the local default, FailHold stays until a newer command.
const (
	FailRelease FailMode = 0
	FailHold    FailMode = 1
)

// Known reports whether the mode has a meaning.
func (m FailMode) Known() bool { return m <= FailHold }

// PowerTarget is the order inside SetPowerTarget and SetSitePowerTarget:
//
//	+0   term         U32
//	+4   command_id   U32
//	+8   mode         U8   PowerMode
//	+9   fail_mode    U8   FailMode
//	+10  target_w     U32  bound for PowerCap
//	+14  start_in_ms  U32  from when it is received
//	+18  ramp_ms      U32  spread the change over this span; 0 is as fast as the device can
//	+22  valid_for_s  U32  dead man; 0 takes dead_man_s, which may be 0 too: no refresh needed
//	+26
type PowerTarget struct {
	Command  PowerCommand
	Mode     PowerMode
	FailMode FailMode
	Target   Watts
	StartIn  Millis
	Ramp     Millis
	ValidFor Seconds
}

func (r *reader) powerCommand() PowerCommand {
	return PowerCommand{Term: r.u32("term"), ID: r.u32("command_id")}
}

func (w *writer) powerCommand(c PowerCommand) {
	w.u32(c.Term)
	w.u32(c.ID)
}

func (r *reader) powerTarget() (t PowerTarget) {
	t.Command = r.powerCommand()
	t.Mode = PowerMode(r.u8("mode"))
	t.FailMode = FailMode(r.u8("fail_mode"))
	t.Target = Watts(r.u32("target_w"))
	t.StartIn = Millis(r.u32("start_in_ms"))
	t.Ramp = Millis(r.u32("ramp_ms"))
	t.ValidFor = Seconds(r.u32("valid_for_s"))
	return t
}

func (w *writer) powerTarget(t *PowerTarget) {
	w.powerCommand(t.Command)
	w.u8(uint8(t.Mode))
	w.u8(uint8(t.FailMode))
	w.u32(uint32(t.Target))
	w.u32(uint32(t.StartIn))
	w.u32(uint32(t.Ramp))
	w.u32(uint32(t.ValidFor))
}

// PowerSource says where a reading comes from.
type PowerSource uint8

// Sources from the weakest to the best.
const (
	SourceEstimate PowerSource = 0 // from frequency and voltage
	SourcePSU      PowerSource = 1 // the power supply's own measurement
	SourceMeter    PowerSource = 2 // a meter at the device
)

// PowerState is what a device does now. A value that is not known reads as "something else".
type PowerState uint8

// States of a device.
const (
	StateFree       PowerState = 0 // runs at its local default
	StateCapped     PowerState = 1 // settled at or below the target
	StatePaused     PowerState = 2 // asleep
	StateMoving     PowerState = 3 // on the way to what was ordered
	StateOverridden PowerState = 4 // does not follow orders, by local decision
	StateFault      PowerState = 5 // cannot follow orders
)

// HottestUnknown is the value of PowerReading.Hottest of a device without a sensor.
const HottestUnknown = 255

// PowerReading is the claim inside PowerReport and SitePowerReport:
//
//	+0   term        U32  with command_id: the newest command that was seen, 0 0 before the first
//	+4   command_id  U32
//	+8   seq         U32  grows with each report
//	+12  power_w     U32
//	+16  source      U8   PowerSource
//	+17  state       U8   PowerState
//	+18  hash_rate   F32  hashes a second
//	+22  hottest_c   U8   degrees Celsius; 255 is unknown
//	+23  energy_j    U64  counter; 0 if there is none
//	+31  age_ms      U32  since it was measured
//	+35
type PowerReading struct {
	Command  PowerCommand
	Seq      uint32
	Power    Watts
	Source   PowerSource
	State    PowerState
	HashRate float32
	Hottest  uint8
	Energy   uint64 // joules
	Age      Millis
}

func (r *reader) powerReading() (p PowerReading) {
	p.Command = r.powerCommand()
	p.Seq = r.u32("seq")
	p.Power = Watts(r.u32("power_w"))
	p.Source = PowerSource(r.u8("source"))
	p.State = PowerState(r.u8("state"))
	p.HashRate = r.f32("hash_rate")
	p.Hottest = r.u8("hottest_c")
	p.Energy = r.u64("energy_j")
	p.Age = Millis(r.u32("age_ms"))
	return p
}

func (w *writer) powerReading(p *PowerReading) {
	w.powerCommand(p.Command)
	w.u32(p.Seq)
	w.u32(uint32(p.Power))
	w.u8(uint8(p.Source))
	w.u8(uint8(p.State))
	w.f32(p.HashRate)
	w.u8(p.Hottest)
	w.u64(p.Energy)
	w.u32(uint32(p.Age))
}
