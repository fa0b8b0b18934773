package sv2

// ExtNegotiation is the extension by which all others are negotiated.
const ExtNegotiation = 0x0001

// Types of ExtNegotiation.
const (
	TypeRequestExtensions        = 0x00
	TypeRequestExtensionsSuccess = 0x01
	TypeRequestExtensionsError   = 0x02
)

// RequestExtensions asks which extensions the server speaks (extension 0x0001). Client to
// server, after SetupConnection.Success.
//
//	request_id            U16
//	requested_extensions  SEQ0_64K[U16]
type RequestExtensions struct {
	RequestID uint16
	Requested []uint16
}

// DecodeRequestExtensions reads a payload; see the package for aliasing and rest.
func DecodeRequestExtensions(p []byte) (m RequestExtensions, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u16("request_id")
	m.Requested = r.u16s("requested_extensions")
	rest, err = r.end("RequestExtensions")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestExtensions) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtNegotiation, TypeRequestExtensions)
	w.u16(m.RequestID)
	w.u16s("requested_extensions", m.Requested)
	return w.end()
}

// RequestExtensionsSuccess lists those of the requested ones that both may use from here
// on.
//
//	request_id            U16
//	supported_extensions  SEQ0_64K[U16]
type RequestExtensionsSuccess struct {
	RequestID uint16
	Supported []uint16
}

// DecodeRequestExtensionsSuccess reads a payload; see the package for aliasing and rest.
func DecodeRequestExtensionsSuccess(p []byte) (m RequestExtensionsSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u16("request_id")
	m.Supported = r.u16s("supported_extensions")
	rest, err = r.end("RequestExtensions.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestExtensionsSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtNegotiation, TypeRequestExtensionsSuccess)
	w.u16(m.RequestID)
	w.u16s("supported_extensions", m.Supported)
	return w.end()
}

// RequestExtensionsError refuses when none is supported or one that the server requires
// was not requested.
//
//	request_id              U16
//	unsupported_extensions  SEQ0_64K[U16]
//	required_extensions     SEQ0_64K[U16]
type RequestExtensionsError struct {
	RequestID   uint16
	Unsupported []uint16
	Required    []uint16
}

// DecodeRequestExtensionsError reads a payload; see the package for aliasing and rest.
func DecodeRequestExtensionsError(p []byte) (m RequestExtensionsError, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u16("request_id")
	m.Unsupported = r.u16s("unsupported_extensions")
	m.Required = r.u16s("required_extensions")
	rest, err = r.end("RequestExtensions.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestExtensionsError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ExtNegotiation, TypeRequestExtensionsError)
	w.u16(m.RequestID)
	w.u16s("unsupported_extensions", m.Unsupported)
	w.u16s("required_extensions", m.Required)
	return w.end()
}
