package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// byTCP are the kinds of drivers that a machine may lie to over a bare connection.
var byTCP = []string{"avalon", "cgminer", "luxos", "whatsminer-v2", "whatsminer-v3"}

// fixed is a connection on which the same bytes come, whatever is said.
type fixed struct {
	net.Conn
	from *bytes.Reader
}

func (f *fixed) Read(b []byte) (int, error)  { return f.from.Read(b) }
func (f *fixed) Write(b []byte) (int, error) { return len(b), nil }
func (f *fixed) SetDeadline(time.Time) error { return nil }
func (f *fixed) Close() error                { return nil }

// Whatever a machine answers, a driver neither panics nor reports what cannot be.
func FuzzDrivers_TCP(f *testing.F) {
	for _, s := range []string{
		``, `{}`, "\x00", `{"STATUS":[{"STATUS":"S"}]}`,
		`{"STATUS":[{"STATUS":"E","Msg":"Invalid session"}]}`,
		`{"STATUS":[{"STATUS":"S"}],"VERSION":[{"LUXminer":"1","Type":"x"}],"CONFIG":[{"Profile":"a"}],` +
			`"PROFILES":[{"Profile Name":"a","Watts":1e300},{"Profile Name":"b","Watts":900,"Step":"0"}],` +
			`"POOLS":[{"URL":"stratum+tcp://u:p@h:1/","Stratum Active":true}],"POWER":[{"Watts":-1}],` +
			`"SUMMARY":[{"GHS 5s":1e300,"Elapsed":1e30}],"SESSION":[{"SessionID":"s"}]}`,
		`{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"MHS 5s":"12","Elapsed":"x"}],"POOLS":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"STATUS":[{"STATUS":"S","When":1,"Msg":"OK"}],"VERSION":[{"PROD":"Avalon Q"}],"STATS":[{` +
		`"MM ID0":"'STATS':{Ver[Q] SYSTEMSTATU[Work: In Work] PS[0 1 2 3 1e300 5 NaN] GHSspd[1e400] T["}]}`))
	f.Add([]byte(`{"STATUS":"S","Code":"x","Msg":{"time":"1","salt":"$","newsalt":"","mineroff":"true"}}`))
	f.Add([]byte(`{"STATUS":"S","Msg":{"time":"1","salt":"a","newsalt":"b","error_code":["1",{"2":"3"},4]},` +
		`"enc":"AAAA","SUMMARY":[{"Power":1e300,"HS RT":"NaN"}]}`))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\x7f{"))
	f.Add(wm3Frames(`{"miner":{"type":"M60S_VK40","working":"true"},"salt":"x","error-code":[{"1":"2"},{}]}`,
		`{"power":1e300,"fast-boot":"enable"}`, `{"summary":{"power-realtime":"-1","hash-realtime":1e300}}`))
	gate, err := NewGate([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 1)
	if err != nil {
		f.Fatal(err)
	}
	curve := fleet.Curve{{Watts: 900, Hashrate: 60e12}, {Watts: 3000, Hashrate: 150e12}}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range byTCP {
			d, err := Open(kind, Config{
				Address: "10.0.0.1", Gate: gate, Curve: curve, Sleep: 30, Timeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			*dialOf(t, d) = func(context.Context, string, string) (net.Conn, error) {
				return &fixed{from: bytes.NewReader(body)}, nil
			}
			check(t, d)
		}
	})
}

// wm3Frames are good answers with each message.
func wm3Frames(msgs ...string) (b []byte) {
	for _, m := range msgs {
		m = `{"code":0,"msg":` + m + `}`
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(m))), m...)
	}
	return b
}

// dialOf is how a driver makes its connections.
func dialOf(t *testing.T, d Driver) *func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	switch v := d.(*machine).dialect.(type) {
	case *cgminer:
		return &v.api.dial
	case *avalon:
		return &v.api.dial
	case *luxos:
		return &v.api.dial
	case *whatsMinerV2:
		return &v.api.dial
	case *whatsMinerV3:
		return &v.dial
	}
	t.Fatal("a driver without connections")
	return nil
}

// An answer ends with its object, a zero byte or the stream, whatever pieces it comes in, and is bounded.
func TestReadObject_FindsTheEnd(t *testing.T) {
	for from, want := range map[string]string{
		`{"a":"}\"{"}tail`: `{"a":"}\"{"}`, `{"a":[{}]}`: `{"a":[{}]}`,
		"text\x00more": "text", "cut {": "cut {",
	} {
		got, err := readObject(iotest.OneByteReader(strings.NewReader(from)))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", from, got, err, want)
		}
	}
	if _, err := readObject(strings.NewReader("")); !errors.Is(err, errSilent) {
		t.Errorf("nothing: %v, want errSilent", err)
	}
	long := strings.NewReader("{" + strings.Repeat(" ", MaxAnswer+1))
	if _, err := readObject(long); !errors.Is(err, ErrAnswer) || len(err.Error()) > 200 {
		t.Errorf("too long: %v, want ErrAnswer", err)
	}
}
