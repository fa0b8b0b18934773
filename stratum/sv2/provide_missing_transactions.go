package sv2

// ProvideMissingTransactions asks for transactions of a declared job by position, without
// the coinbase (06 §6.4.7). Server to client.
//
//	request_id                U32
//	unknown_tx_position_list  SEQ0_64K[U16]
type ProvideMissingTransactions struct {
	RequestID uint32
	Positions []uint16
}

// DecodeProvideMissingTransactions reads a payload; see the package for aliasing and rest.
func DecodeProvideMissingTransactions(p []byte) (m ProvideMissingTransactions, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Positions = r.u16s("unknown_tx_position_list")
	rest, err = r.end("ProvideMissingTransactions")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m ProvideMissingTransactions) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeProvideMissingTransactions)
	w.u32(m.RequestID)
	w.u16s("unknown_tx_position_list", m.Positions)
	return w.end()
}

// ProvideMissingTransactionsSuccess brings the transactions in the order of the question
// (06 §6.4.8).
//
//	request_id        U32
//	transaction_list  SEQ0_64K[B0_16M]
type ProvideMissingTransactionsSuccess struct {
	RequestID    uint32
	Transactions [][]byte
}

// DecodeProvideMissingTransactionsSuccess reads a payload; see the package for aliasing and rest.
func DecodeProvideMissingTransactionsSuccess(p []byte) (
	m ProvideMissingTransactionsSuccess, rest []byte, err error,
) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Transactions = r.blobs("transaction_list")
	rest, err = r.end("ProvideMissingTransactions.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m ProvideMissingTransactionsSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeProvideMissingTransactionsSuccess)
	w.u32(m.RequestID)
	w.blobs("transaction_list", m.Transactions)
	return w.end()
}
