package sv2

// SubmitSharesSuccess acknowledges a batch of shares (05 §5.3.13). Server to client.
//
//	channel_id                  U32
//	last_sequence_number        U32
//	new_submits_accepted_count  U32
//	new_shares_sum              U64
type SubmitSharesSuccess struct {
	ChannelID    uint32
	LastSequence uint32 // the latest accepted one
	Accepted     uint32 // in this batch
	SharesSum    uint64 // difficulty of the shares in this batch
}

// DecodeSubmitSharesSuccess reads a payload; see the package for aliasing and rest.
func DecodeSubmitSharesSuccess(p []byte) (m SubmitSharesSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.LastSequence = r.u32("last_sequence_number")
	m.Accepted = r.u32("new_submits_accepted_count")
	m.SharesSum = r.u64("new_shares_sum")
	rest, err = r.end("SubmitShares.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SubmitSharesSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSubmitSharesSuccess)
	w.u32(m.ChannelID)
	w.u32(m.LastSequence)
	w.u32(m.Accepted)
	w.u64(m.SharesSum)
	return w.end()
}

// SubmitSharesError refuses one share (05 §5.3.14). Server to client.
//
//	channel_id       U32
//	sequence_number  U32
//	error_code       STR0_255
type SubmitSharesError struct {
	ChannelID uint32
	Sequence  uint32
	Code      string
}

// DecodeSubmitSharesError reads a payload; see the package for aliasing and rest.
func DecodeSubmitSharesError(p []byte) (m SubmitSharesError, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.Sequence = r.u32("sequence_number")
	m.Code = r.text("error_code")
	rest, err = r.end("SubmitShares.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SubmitSharesError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSubmitSharesError)
	w.u32(m.ChannelID)
	w.u32(m.Sequence)
	w.text(m.Code)
	return w.end()
}
