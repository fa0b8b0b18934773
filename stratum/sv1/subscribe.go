package sv1

import "strconv"

// Subscribe is mining.subscribe: user agent and session id, both of which may be missing.
type Subscribe struct {
	Agent   []byte // a part of the line
	Session []byte // that the miner wants to go on with; a part of the line
}

// ParseSubscribe reads the parameters of mining.subscribe. Nothing in them is an error.
func ParseSubscribe(params Value) (m Subscribe) {
	var p [2]Value
	params.Items(p[:])
	m.Agent = p[0].Text()
	m.Session = p[1].Text()
	return m
}

// Subscribed is the result of mining.subscribe.
type Subscribed struct {
	Session     string // id
	Extranonce1 []byte
	Size        int // of extranonce2, in bytes
}

// AppendSubscribed answers mining.subscribe. The subscription to notify comes first, because some
// firmware takes the first for it.
func AppendSubscribed(dst []byte, id Value, m Subscribed) []byte {
	dst = append(appendID(dst, id), `[[["mining.notify",`...)
	dst = AppendString(dst, m.Session)
	dst = append(dst, `],["mining.set_difficulty",`...)
	dst = AppendString(dst, m.Session)
	dst = append(dst, `]],"`...)
	dst = append(appendHex(dst, m.Extranonce1), '"', ',')
	dst = strconv.AppendInt(dst, int64(m.Size), 10)
	return append(append(dst, ']'), endResult...)
}
