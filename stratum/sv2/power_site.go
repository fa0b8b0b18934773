package sv2

// SitePowerHello offers the extension for all that an agent controls at a site, as one unit. It
// belongs to the connection, not to a channel. Agent to pool.
//
//	0      site_ref       STR0_255  the agent's name for it, n bytes
//	1+n    user_identity  STR0_255  the worker that the pool knows it as, m bytes
//	2+n+m  PowerOffer
type SitePowerHello struct {
	Site         string
	UserIdentity string
	PowerOffer
}

// DecodeSitePowerHello reads a payload; see the package for aliasing and rest.
func DecodeSitePowerHello(p []byte) (m SitePowerHello, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.UserIdentity = r.text("user_identity")
	m.PowerOffer = r.powerOffer()
	rest, err = r.end("SitePowerHello")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SitePowerHello) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSitePowerHello)
	w.text(m.Site)
	w.text(m.UserIdentity)
	w.powerOffer(&m.PowerOffer)
	return w.end()
}

// SitePowerHelloAck settles the extension for a site. Pool to agent.
//
//	0    site_ref  STR0_255
//	1+n  PowerTerms
type SitePowerHelloAck struct {
	Site string
	PowerTerms
}

// DecodeSitePowerHelloAck reads a payload; see the package for aliasing and rest.
func DecodeSitePowerHelloAck(p []byte) (m SitePowerHelloAck, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.PowerTerms = r.powerTerms()
	rest, err = r.end("SitePowerHello.Ack")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SitePowerHelloAck) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSitePowerHelloAck)
	w.text(m.Site)
	w.powerTerms(m.PowerTerms)
	return w.end()
}

// SitePowerHelloError refuses a SitePowerHello: an agent has no mining that would show that it is
// heard. Pool to agent.
//
//	0    site_ref    STR0_255
//	1+n  error_code  STR0_255
type SitePowerHelloError struct {
	Site string
	Code string
}

// DecodeSitePowerHelloError reads a payload; see the package for aliasing and rest.
func DecodeSitePowerHelloError(p []byte) (m SitePowerHelloError, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.Code = r.text("error_code")
	rest, err = r.end("SitePowerHello.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SitePowerHelloError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSitePowerHelloError)
	w.text(m.Site)
	w.text(m.Code)
	return w.end()
}

// SetSitePowerTarget orders the power of all that an agent controls at a site. It belongs to the
// connection, not to a channel. Pool to agent.
//
//	0    site_ref  STR0_255
//	1+n  PowerTarget
type SetSitePowerTarget struct {
	Site string
	PowerTarget
}

// DecodeSetSitePowerTarget reads a payload; see the package for aliasing and rest.
func DecodeSetSitePowerTarget(p []byte) (m SetSitePowerTarget, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.PowerTarget = r.powerTarget()
	rest, err = r.end("SetSitePowerTarget")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetSitePowerTarget) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSetSitePowerTarget)
	w.text(m.Site)
	w.powerTarget(&m.PowerTarget)
	return w.end()
}

// SetSitePowerTargetSuccess says what will come of a command, summed over the machines. Agent to pool.
//
//	0    site_ref  STR0_255
//	1+n  PowerAnswer
type SetSitePowerTargetSuccess struct {
	Site string
	PowerAnswer
}

// DecodeSetSitePowerTargetSuccess reads a payload; see the package for aliasing and rest.
func DecodeSetSitePowerTargetSuccess(p []byte) (m SetSitePowerTargetSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.PowerAnswer = r.powerAnswer()
	rest, err = r.end("SetSitePowerTarget.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetSitePowerTargetSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSetSitePowerTargetSuccess)
	w.text(m.Site)
	w.powerAnswer(&m.PowerAnswer)
	return w.end()
}

// SetSitePowerTargetError refuses a command, which then changes nothing. Agent to pool.
//
//	0     site_ref    STR0_255
//	1+n   term        U32
//	5+n   command_id  U32
//	9+n   error_code  STR0_255
type SetSitePowerTargetError struct {
	Site    string
	Command PowerCommand
	Code    string
}

// DecodeSetSitePowerTargetError reads a payload; see the package for aliasing and rest.
func DecodeSetSitePowerTargetError(p []byte) (m SetSitePowerTargetError, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.Command = r.powerCommand()
	m.Code = r.text("error_code")
	rest, err = r.end("SetSitePowerTarget.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetSitePowerTargetError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSetSitePowerTargetError)
	w.text(m.Site)
	w.powerCommand(m.Command)
	w.text(m.Code)
	return w.end()
}

// SitePowerReport is an agent's sum over its machines. Agent to pool.
//
//	0    site_ref  STR0_255
//	1+n  PowerReading
type SitePowerReport struct {
	Site string
	PowerReading
}

// DecodeSitePowerReport reads a payload; see the package for aliasing and rest.
func DecodeSitePowerReport(p []byte) (m SitePowerReport, rest []byte, err error) {
	r := reader{rest: p}
	m.Site = r.text("site_ref")
	m.PowerReading = r.powerReading()
	rest, err = r.end("SitePowerReport")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SitePowerReport) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtPower, TypeSitePowerReport)
	w.text(m.Site)
	w.powerReading(&m.PowerReading)
	return w.end()
}
