package noise

import (
	"net"
	"unsafe"
)

// Twin is a fresh pair of connections over conn's ends, with fixed keys: tests that break
// a thousand sessions cannot wait for a thousand handshakes.
func Twin(near, far net.Conn) (pool, miner *Conn) {
	k1, k2 := [32]byte{1}, [32]byte{2}
	return newConn(near, &k1, &k2), newConn(far, &k2, &k1)
}

const sizeofConn = unsafe.Sizeof(Conn{})
