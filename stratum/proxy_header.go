package stratum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of a PROXY protocol header (HAProxy, doc/proxy-protocol.txt).
const (
	proxyLineLimit = 107  // version 1: the longest line, its end included
	proxyBodyLimit = 2048 // version 2: addresses, and more extra fields than anybody sends
	proxyFirst     = 16   // version 2: signature, command, family, length
)

// proxySignature begins version 2, proxyWord version 1.
var (
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")
	proxyWord      = []byte("PROXY ")
)

var errProxyHeader = errors.New("a PROXY protocol header, version 1 or 2, is accepted here")

// readProxyHeader reads what a proxy says of the connection behind it, and not a byte more: the stream goes
// on with what the miner sends. The address is zero if the proxy speaks for itself (a health check).
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	var head [proxyLineLimit]byte
	// The shortest line of version 1, "PROXY UNKNOWN\r\n", is one byte shorter than version 2 ever is.
	if _, err := io.ReadFull(r, head[:proxyFirst-1]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading a PROXY header: %w", err)
	}
	switch {
	case bytes.HasPrefix(head[:], proxySignature):
		if _, err := io.ReadFull(r, head[proxyFirst-1:proxyFirst]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("reading a PROXY header: %w", err)
		}
		return readProxyBody(r, head[:proxyFirst])
	case bytes.HasPrefix(head[:], proxyWord):
		return readProxyLine(r, &head, proxyFirst-1)
	}
	return netip.AddrPort{}, errProxyHeader
}

// readProxyLine reads the rest of a header of version 1, byte by byte because its length is not known:
//
//	PROXY TCP4|TCP6 source destination source-port destination-port\r\n
//	PROXY UNKNOWN ...\r\n
func readProxyLine(r io.Reader, head *[proxyLineLimit]byte, n int) (netip.AddrPort, error) {
	for !bytes.HasSuffix(head[:n], []byte("\r\n")) {
		if n == len(head) {
			err := fmt.Errorf("line of more than %d bytes: %w", proxyLineLimit, errProxyHeader)
			return netip.AddrPort{}, err
		}
		if _, err := io.ReadFull(r, head[n:n+1]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("reading a PROXY header: %w", err)
		}
		n++
	}
	line := string(head[:n-2])
	f := strings.Split(line, " ")
	if f[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", line, errProxyHeader)
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil || addr.Is4() != (f[1] == "TCP4") || addr.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", line, errProxyHeader)
	}
	port, err := strconv.ParseUint(f[4], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", line, errProxyHeader)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// readProxyBody reads the rest of a header of version 2:
//
//	signature 12 | version 2 and command 1 | family and protocol 1 | length 2 | addresses | extra fields
func readProxyBody(r io.Reader, head []byte) (netip.AddrPort, error) {
	length := int(binary.BigEndian.Uint16(head[14:]))
	version, command, family := head[12]>>4, head[12]&15, head[13]
	if version != 2 || command > 1 || length > proxyBodyLimit {
		return netip.AddrPort{}, fmt.Errorf("command %#02x, %d bytes: %w", head[12], length, errProxyHeader)
	}
	var ip []byte
	var body [36]byte
	n := min(length, len(body))
	if _, err := io.ReadFull(r, body[:n]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading a PROXY header: %w", err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(length-n)); err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading a PROXY header: %w", err)
	}
	switch {
	case command == 0, family>>4 != 1 && family>>4 != 2: // its own, or not of the internet
		return netip.AddrPort{}, nil
	case family == 0x11 && n >= 12:
		ip = body[:4]
	case family == 0x21 && n >= 36:
		ip = body[:16]
	default:
		return netip.AddrPort{}, fmt.Errorf("family %#02x in %d bytes: %w", family, length, errProxyHeader)
	}
	addr, _ := netip.AddrFromSlice(ip) // of 4 or 16 bytes
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*len(ip):])), nil
}

// forwarded is a connection that a proxy has passed on: it is as the proxy's, but for whom it comes from.
type forwarded struct {
	*net.TCPConn
	remote *net.TCPAddr
}

// RemoteAddr implements net.Conn: the miner's address, as the proxy says.
func (f *forwarded) RemoteAddr() net.Addr { return f.remote }
