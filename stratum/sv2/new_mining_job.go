package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// NewMiningJob is a job of a standard channel (05 §5.3.15). Server to client.
//
//	channel_id   U32
//	job_id       U32
//	min_ntime    OPTION[U32]
//	version      U32
//	merkle_root  U256
type NewMiningJob struct {
	ChannelID  uint32
	JobID      uint32
	Future     bool   // min_ntime is absent: the job waits for a SetNewPrevHash
	MinTime    uint32 // the least ntime, unless Future
	Version    uint32
	MerkleRoot chainhash.Hash
}

// DecodeNewMiningJob reads a payload; see the package for aliasing and rest.
func DecodeNewMiningJob(p []byte) (m NewMiningJob, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.JobID = r.u32("job_id")
	minTime, active := r.optionU32("min_ntime")
	m.MinTime, m.Future = minTime, !active
	m.Version = r.u32("version")
	m.MerkleRoot = r.u256("merkle_root")
	rest, err = r.end("NewMiningJob")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m NewMiningJob) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeNewMiningJob)
	w.u32(m.ChannelID)
	w.u32(m.JobID)
	w.optionU32(m.MinTime, !m.Future)
	w.u32(m.Version)
	w.u256((*[32]byte)(&m.MerkleRoot))
	return w.end()
}
