package sv2

// AllocateMiningJobToken asks for a token to declare a job with (06 §6.4.2). Client to
// server.
//
//	user_identifier  STR0_255
//	request_id       U32
type AllocateMiningJobToken struct {
	UserIdentifier string
	RequestID      uint32
}

// DecodeAllocateMiningJobToken reads a payload; see the package for aliasing and rest.
func DecodeAllocateMiningJobToken(p []byte) (m AllocateMiningJobToken, rest []byte, err error) {
	r := reader{rest: p}
	m.UserIdentifier = r.text("user_identifier")
	m.RequestID = r.u32("request_id")
	rest, err = r.end("AllocateMiningJobToken")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m AllocateMiningJobToken) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeAllocateMiningJobToken)
	w.text(m.UserIdentifier)
	w.u32(m.RequestID)
	return w.end()
}

// AllocateMiningJobTokenSuccess gives a token and the outputs that the pool wants, a list
// that begins with its number (06 §6.4.3).
//
//	request_id           U32
//	mining_job_token     B0_255
//	coinbase_tx_outputs  B0_64K
type AllocateMiningJobTokenSuccess struct {
	RequestID       uint32
	Token           []byte
	CoinbaseOutputs []byte
}

// DecodeAllocateMiningJobTokenSuccess reads a payload; see the package for aliasing and rest.
func DecodeAllocateMiningJobTokenSuccess(p []byte) (m AllocateMiningJobTokenSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Token = r.bytes8("mining_job_token", 255)
	m.CoinbaseOutputs = r.bytes16("coinbase_tx_outputs")
	rest, err = r.end("AllocateMiningJobToken.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m AllocateMiningJobTokenSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeAllocateMiningJobTokenSuccess)
	w.u32(m.RequestID)
	w.bytes8("mining_job_token", 255, m.Token)
	w.bytes16("coinbase_tx_outputs", m.CoinbaseOutputs)
	return w.end()
}
