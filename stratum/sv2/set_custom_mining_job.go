package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// SetCustomMiningJob submits a job of the client's own making (05 §5.3.18).
// CoinbaseOutputs begin with their number. Client to server.
//
//	channel_id                   U32
//	request_id                   U32
//	mining_job_token             B0_255
//	version                      U32
//	prev_hash                    U256
//	min_ntime                    U32
//	nbits                        U32
//	coinbase_tx_version          U32
//	coinbase_prefix              B0_255
//	coinbase_tx_input_nSequence  U32
//	coinbase_tx_outputs          B0_64K
//	coinbase_tx_locktime         U32
//	merkle_path                  SEQ0_255[U256]
type SetCustomMiningJob struct {
	ChannelID        uint32
	RequestID        uint32
	Token            []byte
	Version          uint32
	PrevHash         chainhash.Hash
	MinTime          uint32
	Bits             uint32
	CoinbaseVersion  uint32
	CoinbasePrefix   []byte // the scriptSig in front of the extranonce
	InputSequence    uint32
	CoinbaseOutputs  []byte
	CoinbaseLockTime uint32
	MerklePath       []chainhash.Hash
}

// DecodeSetCustomMiningJob reads a payload; see the package for aliasing and rest.
func DecodeSetCustomMiningJob(p []byte) (m SetCustomMiningJob, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.RequestID = r.u32("request_id")
	m.Token = r.bytes8("mining_job_token", 255)
	m.Version = r.u32("version")
	m.PrevHash = r.u256("prev_hash")
	m.MinTime = r.u32("min_ntime")
	m.Bits = r.u32("nbits")
	m.CoinbaseVersion = r.u32("coinbase_tx_version")
	m.CoinbasePrefix = r.bytes8("coinbase_prefix", 255)
	m.InputSequence = r.u32("coinbase_tx_input_nSequence")
	m.CoinbaseOutputs = r.bytes16("coinbase_tx_outputs")
	m.CoinbaseLockTime = r.u32("coinbase_tx_locktime")
	m.MerklePath = r.hashes("merkle_path")
	rest, err = r.end("SetCustomMiningJob")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetCustomMiningJob) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetCustomMiningJob)
	w.u32(m.ChannelID)
	w.u32(m.RequestID)
	w.bytes8("mining_job_token", 255, m.Token)
	w.u32(m.Version)
	w.u256((*[32]byte)(&m.PrevHash))
	w.u32(m.MinTime)
	w.u32(m.Bits)
	w.u32(m.CoinbaseVersion)
	w.bytes8("coinbase_prefix", 255, m.CoinbasePrefix)
	w.u32(m.InputSequence)
	w.bytes16("coinbase_tx_outputs", m.CoinbaseOutputs)
	w.u32(m.CoinbaseLockTime)
	w.hashes("merkle_path", m.MerklePath)
	return w.end()
}

// SetCustomMiningJobSuccess accepts a custom job; shares for its id are valid from here on
// (05 §5.3.19).
//
//	channel_id  U32
//	request_id  U32
//	job_id      U32
type SetCustomMiningJobSuccess struct {
	ChannelID uint32
	RequestID uint32
	JobID     uint32
}

// DecodeSetCustomMiningJobSuccess reads a payload; see the package for aliasing and rest.
func DecodeSetCustomMiningJobSuccess(p []byte) (m SetCustomMiningJobSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.RequestID = r.u32("request_id")
	m.JobID = r.u32("job_id")
	rest, err = r.end("SetCustomMiningJob.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetCustomMiningJobSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetCustomMiningJobSuccess)
	w.u32(m.ChannelID)
	w.u32(m.RequestID)
	w.u32(m.JobID)
	return w.end()
}

// SetCustomMiningJobError refuses a custom job (05 §5.3.20).
//
//	channel_id  U32
//	request_id  U32
//	error_code  STR0_255
type SetCustomMiningJobError struct {
	ChannelID uint32
	RequestID uint32
	Code      string
}

// DecodeSetCustomMiningJobError reads a payload; see the package for aliasing and rest.
func DecodeSetCustomMiningJobError(p []byte) (m SetCustomMiningJobError, rest []byte, err error) {
	r := reader{rest: p}
	m.ChannelID = r.u32("channel_id")
	m.RequestID = r.u32("request_id")
	m.Code = r.text("error_code")
	rest, err = r.end("SetCustomMiningJob.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m SetCustomMiningJobError) AppendFrame(dst []byte) []byte {
	w := begin(dst, ChannelBit, TypeSetCustomMiningJobError)
	w.u32(m.ChannelID)
	w.u32(m.RequestID)
	w.text(m.Code)
	return w.end()
}
