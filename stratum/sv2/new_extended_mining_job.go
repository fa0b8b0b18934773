package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// NewExtendedMiningJob is a job of an extended channel or a group (05 §5.3.16). The
// coinbase is prefix, extranonce prefix, extranonce, suffix, without the bytes of BIP141.
// Server to client.
//
//	channel_id               U32
//	job_id                   U32
//	min_ntime                OPTION[U32]
//	version                  U32
//	version_rolling_allowed  BOOL
//	merkle_path              SEQ0_255[U256]
//	coinbase_tx_prefix       B0_64K
//	coinbase_tx_suffix       B0_64K
type NewExtendedMiningJob struct {
	ChannelID      uint32
	JobID          uint32
	Future         bool   // min_ntime is absent: the job waits for a SetNewPrevHash
	MinTime        uint32 // the least ntime, unless Future
	Version        uint32
	VersionRolling bool
	MerklePath     []chainhash.Hash // folded from the coinbase up, running hash on the left
	CoinbasePrefix []byte
	CoinbaseSuffix []byte
}

// DecodeNewExtendedMiningJob reads a payload; see the package for aliasing and rest.
func DecodeNewExtendedMiningJob(p []byte) (m NewExtendedMiningJob, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.JobID = r.u32("job_id")
	minTime, active := r.optionU32("min_ntime")
	m.MinTime, m.Future = minTime, !active
	m.Version = r.u32("version")
	m.VersionRolling = r.boolean("version_rolling_allowed")
	m.MerklePath = r.hashes("merkle_path")
	m.CoinbasePrefix = r.bytes16("coinbase_tx_prefix")
	m.CoinbaseSuffix = r.bytes16("coinbase_tx_suffix")
	rest, err = r.end("NewExtendedMiningJob")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m NewExtendedMiningJob) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeNewExtendedMiningJob)
	w.u32(m.ChannelID)
	w.u32(m.JobID)
	w.optionU32(m.MinTime, !m.Future)
	w.u32(m.Version)
	w.boolean(m.VersionRolling)
	w.hashes("merkle_path", m.MerklePath)
	w.bytes16("coinbase_tx_prefix", m.CoinbasePrefix)
	w.bytes16("coinbase_tx_suffix", m.CoinbaseSuffix)
	return w.end()
}
