package sv2

// Reconnect asks the client to connect again (03 §3.6.5). An empty host and port 0 mean
// where it came from. The authority key stays the same.
//
//	new_host  STR0_255
//	new_port  U16
type Reconnect struct {
	Host string
	Port uint16
}

// DecodeReconnect reads a payload; see the package for aliasing and rest.
func DecodeReconnect(p []byte) (m Reconnect, rest []byte, err error) {
	r := reader{rest: p}
	m.Host = r.text("new_host")
	m.Port = r.u16("new_port")
	rest, err = r.end("Reconnect")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m Reconnect) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeReconnect)
	w.text(m.Host)
	w.u16(m.Port)
	return w.end()
}
