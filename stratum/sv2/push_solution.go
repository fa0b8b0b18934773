package sv2

import "github.com/btcsuite/btcd/chainhash/v2"

// PushSolution brings a found block of the last declared job (06 §6.4.9). Client to
// server.
//
//	extranonce  B0_32
//	prev_hash   U256
//	nonce       U32
//	ntime       U32
//	nbits       U32
//	version     U32
type PushSolution struct {
	Extranonce []byte // prefix and rolled bytes
	PrevHash   chainhash.Hash
	Nonce      uint32
	Time       uint32
	Bits       uint32
	Version    uint32
}

// DecodePushSolution reads a payload; see the package for aliasing and rest.
func DecodePushSolution(p []byte) (m PushSolution, rest []byte, err error) {
	r := reader{rest: p}
	m.Extranonce = r.bytes8("extranonce", 32)
	m.PrevHash = r.u256("prev_hash")
	m.Nonce = r.u32("nonce")
	m.Time = r.u32("ntime")
	m.Bits = r.u32("nbits")
	m.Version = r.u32("version")
	rest, err = r.end("PushSolution")
	return m, rest, err
}

// AppendFrame appends the message as a frame.
func (m PushSolution) AppendFrame(dst []byte) []byte {
	w := begin(dst, 0, TypePushSolution)
	w.bytes8("extranonce", 32, m.Extranonce)
	w.u256((*[32]byte)(&m.PrevHash))
	w.u32(m.Nonce)
	w.u32(m.Time)
	w.u32(m.Bits)
	w.u32(m.Version)
	return w.end()
}
