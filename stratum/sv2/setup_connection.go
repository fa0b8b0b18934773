package sv2

// Version is the protocol version that this package speaks.
const Version = 2

// Values of SetupConnection.Protocol.
const (
	ProtocolMining               = 0
	ProtocolJobDeclaration       = 1
	ProtocolTemplateDistribution = 2
)

// Bits of SetupConnection.Flags for ProtocolMining, and DeclareTxData for ProtocolJobDeclaration.
const (
	RequiresStandardJobs   = 1 << 0
	RequiresWorkSelection  = 1 << 1
	RequiresVersionRolling = 1 << 2

	DeclareTxData = 1 << 0
)

// Bits of SetupConnectionSuccess.Flags for ProtocolMining.
const (
	RequiresFixedVersion     = 1 << 0
	RequiresExtendedChannels = 1 << 1
)

// SetupConnection is the first message of a connection, client to server (03 §3.6.1).
// Flags are requirements of the client.
//
//	protocol          U8
//	min_version       U16
//	max_version       U16
//	flags             U32
//	endpoint_host     STR0_255
//	endpoint_port     U16
//	vendor            STR0_255
//	hardware_version  STR0_255
//	firmware          STR0_255
//	device_id         STR0_255
type SetupConnection struct {
	Protocol        uint8 // Mining, JobDeclaration or TemplateDistribution
	MinVersion      uint16
	MaxVersion      uint16
	Flags           uint32 // Requires..., by protocol
	Host            string
	Port            uint16
	Vendor          string
	HardwareVersion string
	Firmware        string
	DeviceID        string
}

// DecodeSetupConnection reads a payload; see the package for aliasing and rest.
func DecodeSetupConnection(p []byte) (m SetupConnection, rest []byte, err error) {
	r := reader{rest: p}
	m.Protocol = r.u8("protocol")
	m.MinVersion = r.u16("min_version")
	m.MaxVersion = r.u16("max_version")
	m.Flags = r.u32("flags")
	m.Host = r.text("endpoint_host")
	m.Port = r.u16("endpoint_port")
	m.Vendor = r.text("vendor")
	m.HardwareVersion = r.text("hardware_version")
	m.Firmware = r.text("firmware")
	m.DeviceID = r.text("device_id")
	rest, err = r.end("SetupConnection")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetupConnection) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeSetupConnection)
	w.u8(m.Protocol)
	w.u16(m.MinVersion)
	w.u16(m.MaxVersion)
	w.u32(m.Flags)
	w.text(m.Host)
	w.u16(m.Port)
	w.text(m.Vendor)
	w.text(m.HardwareVersion)
	w.text(m.Firmware)
	w.text(m.DeviceID)
	return w.end()
}

// SetupConnectionSuccess accepts a connection. Its flags are the server's own and mean
// other things than the request's: they are never an echo.
//
//	used_version  U16
//	flags         U32
type SetupConnectionSuccess struct {
	UsedVersion uint16
	Flags       uint32 // RequiresFixedVersion, RequiresExtendedChannels
}

// DecodeSetupConnectionSuccess reads a payload; see the package for aliasing and rest.
func DecodeSetupConnectionSuccess(p []byte) (m SetupConnectionSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.UsedVersion = r.u16("used_version")
	m.Flags = r.u32("flags")
	rest, err = r.end("SetupConnection.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetupConnectionSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeSetupConnectionSuccess)
	w.u16(m.UsedVersion)
	w.u32(m.Flags)
	return w.end()
}

// SetupConnectionError refuses a connection. Flags are all the requested bits that the
// server does not support, and 0 if the cause is another.
//
//	flags       U32
//	error_code  STR0_255
type SetupConnectionError struct {
	Flags uint32
	Code  string
}

// DecodeSetupConnectionError reads a payload; see the package for aliasing and rest.
func DecodeSetupConnectionError(p []byte) (m SetupConnectionError, rest []byte, err error) {
	r := reader{rest: p}
	m.Flags = r.u32("flags")
	m.Code = r.text("error_code")
	rest, err = r.end("SetupConnection.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetupConnectionError) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeSetupConnectionError)
	w.u32(m.Flags)
	w.text(m.Code)
	return w.end()
}
