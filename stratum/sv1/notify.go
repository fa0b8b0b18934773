package sv1

import "github.com/btcsuite/btcd/chainhash/v2"

// Notify is mining.notify: a job. Every field but Job is as it stands in the block, hashes in raw byte
// order; how each is written is AppendNotify's matter.
type Notify struct {
	Job      []byte // id, hexadecimal
	PrevHash chainhash.Hash
	Prefix   []byte           // coinbase before the extranonce
	Suffix   []byte           // coinbase after it
	Path     []chainhash.Hash // merkle branch
	Version  uint32
	Bits     uint32
	Time     uint32
}

// AppendNotify appends a job up to its last parameter, which AppendClean adds: what is in front of it is
// the same for everybody who mines the job, and so it is written once.
func AppendNotify(dst []byte, m *Notify) []byte {
	dst = appendNotification(dst, "mining.notify")
	dst = append(append(append(dst, '"'), m.Job...), '"', ',', '"')
	dst = appendSwapped(dst, &m.PrevHash)
	dst = append(dst, '"', ',', '"')
	dst = appendHex(dst, m.Prefix)
	dst = append(dst, '"', ',', '"')
	dst = appendHex(dst, m.Suffix)
	dst = append(dst, '"', ',', '[')
	for i := range m.Path {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = appendHex(dst, m.Path[i][:])
		dst = append(dst, '"')
	}
	dst = append(dst, ']', ',', '"')
	dst = appendWord(dst, m.Version)
	dst = append(dst, '"', ',', '"')
	dst = appendWord(dst, m.Bits)
	dst = append(dst, '"', ',', '"')
	dst = appendWord(dst, m.Time)
	return append(dst, '"', ',')
}

// AppendClean ends a job. If clean is true, the miner drops what it works on.
func AppendClean(dst []byte, clean bool) []byte {
	if clean {
		return append(dst, "true]}\n"...)
	}
	return append(dst, "false]}\n"...)
}

// appendSwapped appends a hash as eight words of four bytes, the bytes of each turned around. It was an
// accident of the first implementation, and stayed.
func appendSwapped(dst []byte, h *chainhash.Hash) []byte {
	for i := range h {
		c := h[i&^3|3-i&3]
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}
