package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// DeclareMiningJob declares a whole template (06 §6.4.4). Client to server.
//
//	request_id          U32
//	mining_job_token    B0_255
//	version             U32
//	coinbase_tx_prefix  B0_64K
//	coinbase_tx_suffix  B0_64K
//	wtxid_list          SEQ0_64K[U256]
//	excess_data         B0_64K
type DeclareMiningJob struct {
	RequestID      uint32
	Token          []byte
	Version        uint32
	CoinbasePrefix []byte
	CoinbaseSuffix []byte
	WTxIDs         []chainhash.Hash // without the coinbase
	ExcessData     []byte
}

// DecodeDeclareMiningJob reads a payload; see the package for aliasing and rest.
func DecodeDeclareMiningJob(p []byte) (m DeclareMiningJob, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Token = r.bytes8("mining_job_token", 255)
	m.Version = r.u32("version")
	m.CoinbasePrefix = r.bytes16("coinbase_tx_prefix")
	m.CoinbaseSuffix = r.bytes16("coinbase_tx_suffix")
	m.WTxIDs = r.hashes16("wtxid_list")
	m.ExcessData = r.bytes16("excess_data")
	rest, err = r.end("DeclareMiningJob")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m DeclareMiningJob) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeDeclareMiningJob)
	w.u32(m.RequestID)
	w.bytes8("mining_job_token", 255, m.Token)
	w.u32(m.Version)
	w.bytes16("coinbase_tx_prefix", m.CoinbasePrefix)
	w.bytes16("coinbase_tx_suffix", m.CoinbaseSuffix)
	w.hashes16("wtxid_list", m.WTxIDs)
	w.bytes16("excess_data", m.ExcessData)
	return w.end()
}

// DeclareMiningJobSuccess accepts a declared job; the new token goes into
// SetCustomMiningJob (06 §6.4.5).
//
//	request_id            U32
//	new_mining_job_token  B0_255
type DeclareMiningJobSuccess struct {
	RequestID uint32
	Token     []byte
}

// DecodeDeclareMiningJobSuccess reads a payload; see the package for aliasing and rest.
func DecodeDeclareMiningJobSuccess(p []byte) (m DeclareMiningJobSuccess, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Token = r.bytes8("new_mining_job_token", 255)
	rest, err = r.end("DeclareMiningJob.Success")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m DeclareMiningJobSuccess) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeDeclareMiningJobSuccess)
	w.u32(m.RequestID)
	w.bytes8("new_mining_job_token", 255, m.Token)
	return w.end()
}

// DeclareMiningJobError refuses a declared job (06 §6.4.6).
//
//	request_id     U32
//	error_code     STR0_255
//	error_details  B0_64K
type DeclareMiningJobError struct {
	RequestID uint32
	Code      string
	Details   []byte
}

// DecodeDeclareMiningJobError reads a payload; see the package for aliasing and rest.
func DecodeDeclareMiningJobError(p []byte) (m DeclareMiningJobError, rest []byte, err error) {
	r := reader{rest: p}
	m.RequestID = r.u32("request_id")
	m.Code = r.text("error_code")
	m.Details = r.bytes16("error_details")
	rest, err = r.end("DeclareMiningJob.Error")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m DeclareMiningJobError) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypeDeclareMiningJobError)
	w.u32(m.RequestID)
	w.text(m.Code)
	w.bytes16("error_details", m.Details)
	return w.end()
}
