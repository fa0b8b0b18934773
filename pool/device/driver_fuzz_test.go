package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Kinds of drivers by what a machine may lie to them over: HTTP, or a bare connection.
var (
	byHTTP = []string{"antminer", "axeos", "braiins", "epic", "socket-http", "vnish"}
	byTCP  = []string{"avalon", "cgminer", "luxos", "socket-modbus", "whatsminer-v2", "whatsminer-v3"}
)

// scripted is a connection on which the same bytes come once something was asked, whatever it was.
type scripted struct {
	from  *bytes.Reader
	asked chan struct{} // closed with the first write, or the end
	once  sync.Once
}

func newScripted(b []byte) *scripted {
	return &scripted{from: bytes.NewReader(b), asked: make(chan struct{})}
}

func (s *scripted) Read(b []byte) (int, error) {
	<-s.asked
	return s.from.Read(b)
}

func (s *scripted) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.asked) })
	return len(b), nil
}

func (s *scripted) Close() error                     { s.once.Do(func() { close(s.asked) }); return nil }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// fuzzGate leads to machines that answer everything with the same bytes.
func fuzzGate(tb testing.TB, answer []byte) *Gate {
	tb.Helper()
	g := gateTo(tb, 1, "10.0.0.0/8")
	g.dial = func(context.Context, string, string) (net.Conn, error) { return newScripted(answer), nil }
	return g
}

// lieTo asks everything of a driver whose machine answers with the same bytes: whether it is one, who it is,
// what it does, and to do something else.
func lieTo(t *testing.T, kind string, answer []byte) {
	t.Helper()
	gate := fuzzGate(t, answer)
	cfg := Config{
		Address: "10.0.0.1:1", Gate: gate, Timeout: time.Minute, Sleep: 30,
		Login:  Login{"u", "secret-of-ours"},
		Curve:  fleet.Curve{{Watts: 900, Hashrate: 60e12}, {Watts: 3000, Hashrate: 150e12}},
		Socket: Socket{On: "/on", Off: "/off", State: "/state", Path: "state", Is: "on"}, Now: time.Now,
	}
	defer forgetGateway(gateway{cfg.Address, gate})
	if is := openers[kind].is; is != nil {
		is(t.Context(), cfg)
	}
	d, err := Open(kind, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	check(t, d)
}

// forgetGateway lets go of a gateway's connection, which all tests would share.
func forgetGateway(g gateway) {
	gateways.Lock()
	defer gateways.Unlock()
	delete(gateways.conns, g)
}

// Whatever a machine answers over HTTP, a driver neither panics nor reports what cannot be.
func FuzzDrivers_HTTP(f *testing.F) {
	digest := `Digest realm="antMiner Configuration", nonce="1", qop="auth"`
	for _, s := range []string{
		`{}`, `[]`, `null`, ``, `{"state":"on"}`,
		`{"miner":{"miner_status":{"miner_state":"mining","throttled":100},"hr_realtime":1e300}}`,
		`{"power":-1e9,"hashRate":"x","frequency":525,"expectedHashrate":1}`,
		`{"power":1e300,"overheat_mode":1}`,
		`{"STATS":[{"rate_5s":1e18,"chain":[{"temp_chip":[1e9]}]}],"POOLS":[{"url":"//@:"}]}`,
		`{"SUMMARY":[{"status":[{"type":"fans","status":"e","code":"7","msg":"x"}]}],"pools":[{"url":1}]}`,
		`{"pools":[{"user":"a"}],"miner-mode":"1"}`, `{"HBs":[{"Hashrate":[]}],"StratumConfigs":[{}]}`,
		`{"token":"t","tuner_constraints":{"power_target":{"min":{"watt":1e30}}}}`,
		`{"fw_name":"Vnish","Model":"x","PerpetualTune":[],"major":1,"minor":2,"patch":3}`,
	} {
		f.Add(200, digest, []byte(s))
		f.Add(401, digest, []byte(s))
	}
	f.Add(401, `Digest realm=", nonce=, qop="auth`, []byte("{}"))
	f.Add(307, "Basic", []byte("{}"))
	f.Fuzz(func(t *testing.T, status int, challenge string, body []byte) {
		head := http.Header{"WWW-Authenticate": {challenge}, "Location": {"http://127.0.0.1:1/"}}
		var b bytes.Buffer
		fmt.Fprintf(&b, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n",
			200+(status%400+400)%400, len(body))
		if err := head.Write(&b); err != nil {
			t.Skip(err)
		}
		b.WriteString("\r\n")
		b.Write(body)
		for _, kind := range byHTTP {
			lieTo(t, kind, b.Bytes())
		}
	})
}

// Whatever a machine answers over a bare connection, a driver neither panics nor reports what cannot be.
func FuzzDrivers_TCP(f *testing.F) {
	for _, s := range []string{
		``, `{}`, "\x00", `{"STATUS":[{"STATUS":"S"}]}`,
		`{"STATUS":[{"STATUS":"E","Msg":"Invalid session"}]}`,
		`{"STATUS":[{"STATUS":"S"}],"VERSION":[{"LUXminer":"1","Type":"x"}],"CONFIG":[{"Profile":"a"}],` +
			`"PROFILES":[{"Profile Name":"a","Watts":1e300},{"Profile Name":"b","Watts":900,"Step":"0"}],` +
			`"POOLS":[{"URL":"stratum+tcp://u:p@h:1/","Stratum Active":true}],"POWER":[{"Watts":-1}],` +
			`"SUMMARY":[{"GHS 5s":1e300,"Elapsed":1e30}],"SESSION":[{"SessionID":"s"}]}`,
		`{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"MHS 5s":"12","Elapsed":"x"}],"POOLS":null}`,
		`{"STATUS":[{"STATUS":"S"}],"DEVS":[{"ID":1e300,"Status":"Sick","Temperature":"-1e9"}]}`,
		"\x00\x01\x00\x00\x00\x04\x00\x01\x01\x01", "\x00\x01\x00\x00\x00\x06\x00\x05\x00\x00\xff\x00",
		"\x00\x01\x00\x00\xff\xff\x00\x01", "\x00\x02\x00\x00\x00\x03\x00\x81\x02",
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
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range byTCP {
			lieTo(t, kind, body)
		}
	})
}

// Every kind of driver is lied to.
func TestFuzz_KnowsEveryKind(t *testing.T) {
	all := map[string]bool{}
	for _, kind := range append(append([]string(nil), byHTTP...), byTCP...) {
		all[kind] = true
	}
	for _, kind := range Kinds() {
		if !all[kind] {
			t.Errorf("nobody lies to %s", kind)
		}
	}
}

// wm3Frames are good answers with each message.
func wm3Frames(msgs ...string) (b []byte) {
	for _, m := range msgs {
		m = `{"code":0,"msg":` + m + `}`
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(m))), m...)
	}
	return b
}

// check asks everything of a driver.
func check(t *testing.T, d Driver) {
	t.Helper()
	tell := func(err error) {
		if err != nil && strings.Contains(err.Error(), "secret-of-ours") {
			t.Errorf("it tells the password: %v", err)
		}
	}
	_, err := d.Identify(t.Context())
	tell(err)
	s, err := d.Probe(t.Context())
	tell(err)
	switch {
	case err != nil && !s.At.IsZero():
		t.Errorf("%v with a sighting", err)
	case s.Watts < 0 || s.Watts > unit.Megawatt || s.Target < 0 || !(s.Hashrate >= 0 && s.Hashrate < 1e21):
		t.Errorf("sighting %+v", s)
	case len(s.Errors) > fleet.MaxErrors || len(s.Backups) > fleet.MaxPools || strings.Contains(s.Pool, "@"):
		t.Errorf("sighting %+v", s)
	}
	for n, mode := range []fleet.Mode{fleet.Paused, fleet.Capped, fleet.Free} {
		_, err := d.Set(t.Context(), fleet.Setpoint{Term: 1, Command: uint32(n + 1), Mode: mode, Watts: 2000})
		tell(err)
	}
}
