package sv2

// SetSitePowerTarget orders the power of all that an agent controls at a site. It belongs to the
// connection, not to a channel. The agent answers with a SitePowerReport. Pool to agent.
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
