package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// SetNewPrevHash makes a future job the only valid one, under a new tip (05 §5.3.17).
// Server to client.
//
//	channel_id  U32
//	job_id      U32
//	prev_hash   U256
//	min_ntime   U32
//	nbits       U32
type SetNewPrevHash struct {
	ChannelID uint32
	JobID     uint32
	PrevHash  chainhash.Hash
	MinTime   uint32
	Bits      uint32
}

// DecodeSetNewPrevHash reads a payload; see the package for aliasing and rest.
func DecodeSetNewPrevHash(p []byte) (m SetNewPrevHash, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.JobID = r.u32("job_id")
	m.PrevHash = r.u256("prev_hash")
	m.MinTime = r.u32("min_ntime")
	m.Bits = r.u32("nbits")
	rest, err = r.end("SetNewPrevHash")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetNewPrevHash) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetNewPrevHash)
	w.u32(m.ChannelID)
	w.u32(m.JobID)
	w.u256((*[32]byte)(&m.PrevHash))
	w.u32(m.MinTime)
	w.u32(m.Bits)
	return w.end()
}
