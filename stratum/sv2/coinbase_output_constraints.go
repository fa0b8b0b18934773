package sv2

// CoinbaseOutputConstraints says how much the client will add to the coinbase (07 §7.1).
// Client to server.
//
//	coinbase_output_max_additional_size    U32
//	coinbase_output_max_additional_sigops  U16
type CoinbaseOutputConstraints struct {
	MaxAdditionalSize   uint32 // bytes
	MaxAdditionalSigops uint16
}

// DecodeCoinbaseOutputConstraints reads a payload; see the package for aliasing and rest.
func DecodeCoinbaseOutputConstraints(p []byte) (m CoinbaseOutputConstraints, rest []byte, err error) {
	r := reader{rest: p}
	m.MaxAdditionalSize = r.u32("coinbase_output_max_additional_size")
	m.MaxAdditionalSigops = r.u16("coinbase_output_max_additional_sigops")
	rest, err = r.end("CoinbaseOutputConstraints")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m CoinbaseOutputConstraints) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeCoinbaseOutputConstraints)
	w.u32(m.MaxAdditionalSize)
	w.u16(m.MaxAdditionalSigops)
	return w.end()
}
