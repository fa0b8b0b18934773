package sv2

// RequestTransactionData asks for a template's transactions (07 §7.4). Client to server.
//
//	template_id  U64
type RequestTransactionData struct {
	TemplateID uint64
}

// DecodeRequestTransactionData reads a payload; see the package for aliasing and rest.
func DecodeRequestTransactionData(p []byte) (m RequestTransactionData, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	rest, err = r.end("RequestTransactionData")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestTransactionData) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeRequestTransactionData)
	w.u64(m.TemplateID)
	return w.end()
}

// RequestTransactionDataSuccess brings them, without the coinbase (07 §7.5).
//
//	template_id       U64
//	excess_data       B0_64K
//	transaction_list  SEQ0_64K[B0_16M]
type RequestTransactionDataSuccess struct {
	TemplateID   uint64
	ExcessData   []byte
	Transactions [][]byte
}

// DecodeRequestTransactionDataSuccess reads a payload; see the package for aliasing and rest.
func DecodeRequestTransactionDataSuccess(p []byte) (m RequestTransactionDataSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	m.ExcessData = r.bytes16("excess_data")
	m.Transactions = r.blobs("transaction_list")
	rest, err = r.end("RequestTransactionData.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestTransactionDataSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeRequestTransactionDataSuccess)
	w.u64(m.TemplateID)
	w.bytes16("excess_data", m.ExcessData)
	w.blobs("transaction_list", m.Transactions)
	return w.end()
}

// RequestTransactionDataError refuses, usually because the template is gone (07 §7.6).
//
//	template_id  U64
//	error_code   STR0_255
type RequestTransactionDataError struct {
	TemplateID uint64
	Code       string
}

// DecodeRequestTransactionDataError reads a payload; see the package for aliasing and rest.
func DecodeRequestTransactionDataError(p []byte) (m RequestTransactionDataError, rest []byte, err error) {
	r := reader{rest: p}
	m.TemplateID = r.u64("template_id")
	m.Code = r.text("error_code")
	rest, err = r.end("RequestTransactionData.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m RequestTransactionDataError) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeRequestTransactionDataError)
	w.u64(m.TemplateID)
	w.text(m.Code)
	return w.end()
}
