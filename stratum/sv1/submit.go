package sv1

import "fmt"

// Extranonce2Size is what a miner may roll of the extranonce, in bytes: 8 is the most that all firmware
// takes, and what marketplaces ask for.
const Extranonce2Size = 8

// Submit is mining.submit:
//
//	worker, job id, extranonce2, ntime, nonce, and the version bits if the miner rolls them
//
// An extranonce2 of another length is filled with zeros or cut, and so is a nonce, as ckpool does.
type Submit struct {
	Worker      []byte // a part of the line
	Job         []byte // as the miner sends it; a part of the line
	Extranonce2 [Extranonce2Size]byte
	Time        uint32
	Nonce       uint32
	Bits        uint32 // of the version; see Rolled
	Rolled      bool   // there are version bits
}

// ParseSubmit reads the parameters of mining.submit.
func ParseSubmit(params Value) (m Submit, err error) {
	var p [6]Value
	if n := params.Items(p[:]); n < 5 {
		return m, fmt.Errorf("%w: submit has %d, 5 or 6 are accepted", ErrParams, n)
	}
	m.Worker, m.Job = p[0].Text(), p[1].Text()
	if !p[2].IsString() || !hexInto(m.Extranonce2[:], p[2].Text()) {
		return m, fmt.Errorf("%w: extranonce2 is not hexadecimal", ErrParams)
	}
	var ok bool
	if m.Time, ok = hexNumber(p[3].Text()); !ok {
		return m, fmt.Errorf("%w: ntime is not hexadecimal", ErrParams)
	}
	if m.Nonce, ok = hexNumber(p[4].Text()); !ok {
		return m, fmt.Errorf("%w: nonce is not hexadecimal", ErrParams)
	}
	bits := p[5].Text()
	if len(bits) == 0 {
		return m, nil
	}
	if m.Bits, ok = hexNumber(bits); !ok {
		return m, fmt.Errorf("%w: version bits are not hexadecimal", ErrParams)
	}
	m.Rolled = true
	return m, nil
}

// AppendSubmit appends a mining.submit as miners send it.
func AppendSubmit(dst []byte, id uint32, m Submit) []byte {
	dst = appendRequest(dst, id, "mining.submit")
	dst = AppendString(dst, string(m.Worker))
	dst = append(dst, ',')
	dst = AppendString(dst, string(m.Job))
	dst = append(dst, ',', '"')
	dst = appendHex(dst, m.Extranonce2[:])
	dst = append(dst, '"', ',', '"')
	dst = appendWord(dst, m.Time)
	dst = append(dst, '"', ',', '"')
	dst = appendWord(dst, m.Nonce)
	if m.Rolled {
		dst = append(dst, '"', ',', '"')
		dst = appendWord(dst, m.Bits)
	}
	return append(dst, '"', ']', '}', '\n')
}
