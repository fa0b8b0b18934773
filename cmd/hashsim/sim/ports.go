package sim

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports of servers that are started and killed again are their own while nobody listens on them, too. So they
// lie below those that Linux gives to whoever asks for any (ip_local_port_range, from 32768), of which a
// fleet takes thousands, and below those of the node's children.
const firstPort, lastPort = 10_000, 20_000

var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(lastPort - firstPort)) } // other processes begin elsewhere

// FreeAddresses are n ports of loopback that nothing listens on now, each given once by this process.
func FreeAddresses(n int) (at []string, err error) {
	for range lastPort - firstPort {
		if len(at) == n {
			return at, nil
		}
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%(lastPort-firstPort))
		ln, listenErr := net.Listen("tcp", addr)
		if listenErr != nil {
			err = listenErr
			continue
		}
		if err := ln.Close(); err != nil {
			return nil, err
		}
		at = append(at, addr)
	}
	return nil, fmt.Errorf("finding %d free ports from %d to %d, of which the last said: %w",
		n, firstPort, lastPort, err)
}
