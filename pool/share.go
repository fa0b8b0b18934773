package pool

import "github.com/btcsuite/btcd/chainhash/v2"

// Share is one submission of a miner, in either dialect (sv2-spec 05 §5.3.11-12).
type Share struct {
	JobID      uint32
	Sequence   uint32 // the miner's own number, echoed in the answer
	Nonce      uint32
	Time       uint32 // header time, Unix seconds
	Version    uint32 // header version, rolled bits included; or as Rolling says
	Rolling    Rolling
	Extranonce []byte // extended channels only: the roll part
}

// Rolling says what of the header version a share carries.
type Rolling uint8

// The forms of a share's version.
const (
	RolledWhole Rolling = iota // all of it
	RolledBits                 // the bits that were rolled (BIP310)
	RolledNone                 // nothing: the job's version was not changed
)

// Verdict is the result of a share's check.
type Verdict struct {
	Reject     Reject
	Work       uint64         // credited hashes: the job target's Work; 0 if refused
	Difficulty float64        // of the job's target; 0 if refused
	Hash       chainhash.Hash // of the header; zero if refused before hashing
	Block      *Block         // a block was found; it may be set although there is no credit
	JobFull    bool           // the channel's newest job nears its bound: send a fresh one
}
