package stratum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// proxyV2 is a header of version 2.
func proxyV2(command, family byte, body []byte) []byte {
	b := append([]byte(nil), proxySignature...)
	b = append(b, 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// proxyAddresses is the body of a header of version 2, with extra fields behind it.
func proxyAddresses(from, to netip.AddrPort, extra int) []byte {
	b := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	return append(b, make([]byte, extra)...)
}

var (
	from4 = netip.MustParseAddrPort("203.0.113.7:4711")
	to4   = netip.MustParseAddrPort("192.0.2.1:3333")
	from6 = netip.MustParseAddrPort("[2001:db8::7]:4711")
	to6   = netip.MustParseAddrPort("[2001:db8::1]:3333")
)

// Ensure that headers of both versions say who is behind a proxy, and take not a byte of what follows.
func TestProxyHeader_SaysWhoIsBehind(t *testing.T) {
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n":         "203.0.113.7:4711",
		"PROXY TCP6 2001:db8::7 2001:db8::1 4711 3333\r\n":       "[2001:db8::7]:4711",
		"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 1 2\r\n": "203.0.113.7:1",
		"PROXY UNKNOWN\r\n": "invalid AddrPort",
		"PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n":        "invalid AddrPort",
		string(proxyV2(1, 0x11, proxyAddresses(from4, to4, 0))):    "203.0.113.7:4711",
		string(proxyV2(1, 0x11, proxyAddresses(from4, to4, 500))):  "203.0.113.7:4711",
		string(proxyV2(1, 0x21, proxyAddresses(from6, to6, 2012))): "[2001:db8::7]:4711",
		string(proxyV2(0, 0x00, nil)):                              "invalid AddrPort", // a health check
		string(proxyV2(0, 0x11, proxyAddresses(from4, to4, 0))):    "invalid AddrPort",
		string(proxyV2(1, 0x31, make([]byte, 216))):                "invalid AddrPort", // a unix socket
		string(proxyV2(1, 0x00, nil)):                              "invalid AddrPort",
	} {
		for _, r := range []io.Reader{
			strings.NewReader(header + `{"id":1`),
			iotest.OneByteReader(strings.NewReader(header + `{"id":1`)),
		} {
			got, err := readProxyHeader(r)
			if err != nil || got.String() != want {
				t.Errorf("%q: %v, %v; want %s", header, got, err, want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != `{"id":1` {
				t.Errorf("%q: %q is left", header, rest)
			}
		}
	}
}

// Ensure that what is no header, or lies about its length, is refused after a bounded number of bytes.
func TestProxyHeader_RefusesTheRest(t *testing.T) {
	for _, text := range []string{
		`{"id":1,"method":"mining.subscribe"}` + "\n",
		"PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
		"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
		"PROXY TCP6 203.0.113.7 192.0.2.1 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
		"PROXY TCP4 203.0.113.7 192.0.2.1 65536 3333\r\n",
		"PROXY TCP4 203.0.113.7 192.0.2.1 -1 3333\r\n",
		"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n",
		"PROXY " + strings.Repeat("x", 5000) + "\r\n",
		"PROXY\r\n" + strings.Repeat("x", 5000),
		string(proxyV2(2, 0x11, proxyAddresses(from4, to4, 0))),
		string(proxyV2(1, 0x11, make([]byte, 11))),
		string(proxyV2(1, 0x21, make([]byte, 35))),
		string(proxyV2(1, 0x12, proxyAddresses(from4, to4, 0))), // datagrams
		string(proxyV2(1, 0x11, make([]byte, 65535))),
		strings.Replace(string(proxyV2(1, 0x11, proxyAddresses(from4, to4, 0))), "\x21\x11", "\x11\x11", 1),
	} {
		r := strings.NewReader(text)
		if got, err := readProxyHeader(r); !errors.Is(err, errProxyHeader) {
			t.Errorf("%.60q is %v, %v", text, got, err)
		}
		if read := len(text) - r.Len(); read > proxyLineLimit {
			t.Errorf("%.60q: %d bytes were read", text, read)
		}
	}
	for n := range 28 { // cut anywhere, it is an error and no address
		whole := proxyV2(1, 0x11, proxyAddresses(from4, to4, 0))
		if got, err := readProxyHeader(bytes.NewReader(whole[:n])); err == nil || got.IsValid() {
			t.Errorf("%d bytes: %v, %v", n, got, err)
		}
	}
}

// FuzzProxyHeader: whatever a proxy sends, nothing past the bound is read, and an address reads back from
// the header that says it.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(proxyV2(1, 0x11, proxyAddresses(from4, to4, 9)))
	f.Add(proxyV2(1, 0x21, proxyAddresses(from6, to6, 0)))
	f.Add(proxyV2(0, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		from, err := readProxyHeader(r)
		if read := len(b) - r.Len(); read > proxyFirst+proxyBodyLimit {
			t.Errorf("%d bytes were read", read)
		}
		if err != nil || !from.IsValid() {
			return
		}
		kind := "TCP6"
		if from.Addr().Is4() {
			kind = "TCP4"
		}
		line := fmt.Sprintf("PROXY %s %s %[2]s %d 1\r\n", kind, from.Addr(), from.Port())
		if again, err := readProxyHeader(strings.NewReader(line)); err != nil || again != from {
			t.Errorf("%q is %v, %v; want %v", line, again, err, from)
		}
	})
}
