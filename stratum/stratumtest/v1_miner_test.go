package stratumtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// v1Pool is the other side for V1 miners under test. It does what the test tells it to.
type v1Pool struct {
	t  *testing.T
	ln net.Listener
}

func newV1Pool(t *testing.T) *v1Pool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &v1Pool{t: t, ln: ln}
}

func (p *v1Pool) endpoint() Endpoint { return Endpoint{Address: p.ln.Addr().String()} }

// v1Side is the pool's side of one connection.
type v1Side struct {
	*V1Client
	t    *testing.T
	seen []string // methods of the opening
}

func (p *v1Pool) accept() *v1Side {
	p.t.Helper()
	conn, err := p.ln.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return &v1Side{V1Client: NewV1Client(conn), t: p.t}
}

func (s *v1Side) next() V1Message {
	s.t.Helper()
	m, err := s.Next(AwaitFor)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *v1Side) say(lines ...string) {
	s.t.Helper()
	if err := s.Send(lines...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *v1Side) answer(m *V1Message, result string) {
	s.t.Helper()
	s.say(fmt.Sprintf(`{"id":%s,"result":%s,"error":null}`, m.ID, result))
}

// v1Answers are the replies to an opening.
var v1Answers = map[string]string{
	"mining.configure": `{"version-rolling":true,"version-rolling.mask":"00c00000"}`,
	"mining.subscribe": `[[["mining.set_difficulty","5e55"],["mining.notify","5e55"]],` +
		`"0badcafe",8]`,
	"mining.authorize":            "true",
	"mining.suggest_difficulty":   "true",
	"mining.extranonce.subscribe": "true",
}

// open answers an opening.
func (s *v1Side) open(p *V1Profile) {
	s.t.Helper()
	for range p.Opening {
		m := s.next()
		s.seen = append(s.seen, m.Line)
		s.answer(&m, v1Answers[m.Method])
	}
}

// v1Easy is one share in about ten hashes.
const v1Easy = "2.4e-9"

// work sends a difficulty and a job whose coinbase says its id.
func (s *v1Side) work(id string, clean bool) {
	s.t.Helper()
	s.say(`{"id":null,"method":"mining.set_difficulty","params":[`+v1Easy+`]}`, v1JobLine(id, clean))
}

func v1JobLine(id string, clean bool) string {
	return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","01%s","02",["%s"],`+
		`"20000000","1d00ffff","65000000",%t]}`,
		id, strings.Repeat("0011223344556677", 4), id, strings.Repeat("ab", 32), clean)
}

// check hashes a share by the plain definition.
func (s *v1Side) check(m *V1Message) {
	s.t.Helper()
	var p []string
	err := json.Unmarshal(sure(json.Marshal(m.Params)), &p)
	if err != nil || m.Method != "mining.submit" || len(p) < 5 {
		s.t.Fatalf("no share: %s", m.Line)
	}
	unhex := func(t string) []byte { return sure(hex.DecodeString(t)) }
	coinbase := slices.Concat(unhex("01"+p[1]), unhex("0badcafe"), unhex(p[2]), unhex("02"))
	twice := func(b []byte) []byte {
		h := sha256.Sum256(b)
		h = sha256.Sum256(h[:])
		return h[:]
	}
	root := twice(append(twice(coinbase), unhex(strings.Repeat("ab", 32))...))
	version := uint64(0x20000000)
	if len(p) > 5 {
		version |= sure(strconv.ParseUint(p[5], 16, 32))
	}
	header := binary.LittleEndian.AppendUint32(nil, uint32(version))
	header = append(header, unhex(strings.Repeat("3322110077665544", 4))...)
	header = append(header, root...)
	for _, word := range []string{p[3], "1d00ffff", p[4]} {
		n := sure(strconv.ParseUint(word, 16, 32))
		header = binary.LittleEndian.AppendUint32(header, uint32(n))
	}
	hash := [32]byte(twice(header))
	target, err := V1Difficulty(json.RawMessage(v1Easy))
	if err != nil || !target.Meets(&hash) {
		s.t.Fatalf("share does not meet the target: %s", m.Line)
	}
}

func sure[T any](v T, err error) T {
	if err != nil {
		panic(err) // of a test
	}
	return v
}

func startV1(t *testing.T, cfg V1Config) *V1Miner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	cfg.Grinder = NewGrinder(1)
	cfg.MinBackoff, cfg.MaxBackoff = time.Millisecond, 2*time.Millisecond
	m := NewV1Miner(cfg)
	wg.Go(func() { _ = cfg.Grinder.Run(ctx) })
	wg.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}

// Ensure that every profile opens as it says, submits what meets its target, and has no fault to find with a
// pool that keeps to the rules.
func TestV1Miner_MinesAsEachFirmware(t *testing.T) {
	t.Parallel()
	for _, profile := range V1Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			p := newV1Pool(t)
			m := startV1(t, V1Config{
				Pool: p.endpoint, Profile: profile, Identity: "alice.one", Nominal: 2000, Scale: 1e10,
			})
			s := p.accept()
			s.open(&profile)
			for i, step := range profile.Opening {
				if !strings.Contains(s.seen[i], `"`+step.String()+`"`) {
					t.Errorf("message %d is %s", i, s.seen[i])
				}
			}
			s.work("1f", true)
			for range 5 {
				share := s.next()
				s.check(&share)
				rolls := profile.Mask != 0 || profile.Unasked != 0
				if want := 5 + map[bool]int{true: 1}[rolls]; len(share.Params) != want {
					t.Errorf("share has %d parameters, want %d: %s", len(share.Params), want, share.Line)
				}
				s.answer(&share, "true")
			}
			s.say(`{"id":9,"method":"client.get_version","params":[]}`)
			for reply := s.next(); ; reply = s.next() {
				if reply.Method != "" {
					continue
				}
				if string(reply.Result) != quoted(profile.Agent) {
					t.Errorf("version is %s", reply.Result)
				}
				break
			}
			if st := m.Stats(); len(st.Faults) > 0 || st.Acked != 5 || st.Sessions != 1 {
				t.Errorf("stats are %+v", st)
			}
		})
	}
}

// Ensure that requests look as the firmware writes them.
func TestV1Miner_WritesAsTheFirmware(t *testing.T) {
	for name, want := range map[string][]string{
		"cpuminer": {
			`{"id":1,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}`,
			`{"id":2,"method":"mining.authorize","params":["alice.one","x"]}`,
		},
		"bitaxe": {
			`{"id":1,"method":"mining.configure","params":[["version-rolling"],` +
				`{"version-rolling.mask":"ffffffff"}]}`,
			`{"id":2,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.12.0"]}`,
			`{"id":3,"method":"mining.authorize","params":["alice.one","x"]}`,
			`{"id":4,"method":"mining.suggest_difficulty","params":[1000]}`,
			`{"id":5,"method":"mining.extranonce.subscribe","params":[]}`,
		},
		"miningrigrentals": {
			`{"id":"1","method":"mining.subscribe","params":["cgminer/4.10.0"]}`,
			`{"id":"2","method":"mining.extranonce.subscribe","params":[]}`,
			`{"id":"3","method":"mining.authorize","params":["alice.one","x"]}`,
		},
	} {
		profile, err := V1ProfileNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		p := newV1Pool(t)
		startV1(t, V1Config{Pool: p.endpoint, Profile: profile, Identity: "alice.one", Nominal: 2000})
		s := p.accept()
		s.open(&profile)
		if d := cmp.Diff(want, s.seen); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		s.work("1f", true)
		share := s.next()
		s.check(&share)
		ids := map[string]string{"cpuminer": "4", "bitaxe": "6", "miningrigrentals": `"4"`}
		if id := string(share.ID); id != ids[name] {
			t.Errorf("%s gives a share the id %s", name, id)
		}
	}
	if _, err := V1ProfileNamed("abacus"); err == nil || !strings.Contains(err.Error(), "nerdminer") {
		t.Errorf("unknown profile: %v", err)
	}
}

// Ensure that a pool which goes beyond what a firmware takes is told on.
func TestV1Miner_ReportsFaults(t *testing.T) {
	long := v1JobLine("2f", true)
	for _, c := range []struct {
		name, profile, want string
		say                 []string
		early               bool // before the opening is answered
	}{
		{"line", "nerdminer", "4096 are read", []string{
			strings.Replace(long, `["ab`, `["`+strings.Repeat(strings.Repeat("ab", 32)+`","`, 62)+`ab`, 1),
		}, false},
		{"coinbase", "nicehash", "coinbase has 514 bytes", []string{
			strings.Replace(long, `"02"`, `"`+strings.Repeat("02", 500)+`"`, 1),
		}, false},
		{"same id", "bitaxe", "came again", []string{long, long}, false},
		{"same work", "avalon", "repeats the work", []string{
			long, strings.Replace(long, `["2f"`, `["30"`, 1),
		}, false},
		{"job id", "avalon", "is no hexadecimal number", []string{
			strings.Replace(long, `["2f"`, `["xyz"`, 1),
		}, false},
		{"fraction", "antminer-s19", "16384.0 is not", []string{
			`{"id":null,"method":"mining.set_difficulty","params":[16384.0]}`,
		}, false},
		{"id", "avalon", "has the id 1, not null", []string{
			`{"id":1,"method":"mining.set_difficulty","params":[1]}`,
		}, false},
		{"no error", "nicehash", "which no request had", []string{`{"id":77,"result":true}`}, false},
		{"unasked", "avalon", "not subscribed to", []string{
			`{"id":null,"method":"mining.set_extranonce","params":["00",8]}`,
		}, false},
		{"early job", "bitaxe", "before the answer to mining.subscribe", []string{long}, true},
		{"early mask", "antminer-s21", "before the answer to mining.authorize", []string{
			`{"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}`,
		}, true},
		{"busy", "avalon", "while the answer to mining.configure was awaited", []string{
			`{"id":null,"method":"client.show_message","params":["hello"]}`,
		}, true},
		{"elsewhere", "avalon", "not followed", []string{
			`{"id":null,"method":"client.reconnect","params":["192.0.2.1",3333,0]}`,
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			profile, err := V1ProfileNamed(c.profile)
			if err != nil {
				t.Fatal(err)
			}
			p := newV1Pool(t)
			m := startV1(t, V1Config{Pool: p.endpoint, Profile: profile, Identity: "a.b", Nominal: 1})
			s := p.accept()
			if !c.early {
				s.open(&profile)
				s.work("1f", true)
			}
			s.say(c.say...)
			for deadline := time.Now().Add(AwaitFor); ; {
				faults := strings.Join(m.Stats().Faults, "\n")
				if strings.Contains(faults, c.want) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("faults are %q", faults)
				}
				s.say(`{"id":"` + c.name + `","method":"mining.ping","params":[]}`)
				if _, err := s.AwaitReply(`"`+c.name+`"`, AwaitFor); err != nil && !strings.Contains(
					strings.Join(m.Stats().Faults, "\n"), c.want) {
					t.Fatal(err)
				}
			}
		})
	}
}

// Ensure that a miner which comes back gives its session, and says when its extranonce1 is the old one; that
// a reconnect is followed to the same host; and that an extranonce and a mask hold from the next job on.
func TestV1Miner_ComesBack(t *testing.T) {
	profile, err := V1ProfileNamed("antminer-s19")
	if err != nil {
		t.Fatal(err)
	}
	p, other := newV1Pool(t), newV1Pool(t)
	m := startV1(t, V1Config{Pool: p.endpoint, Profile: profile, Identity: "a.b", Nominal: 2000})
	s := p.accept()
	s.open(&profile)
	s.work("1f", true)
	share := s.next()
	s.check(&share)
	_, port, _ := net.SplitHostPort(other.ln.Addr().String())
	s.say(`{"id":null,"method":"client.reconnect","params":["","` + port + `",0]}`)
	s = other.accept()
	s.open(&profile)
	if !strings.Contains(s.seen[1], `"5e55"]`) {
		t.Errorf("no session in %s", s.seen[1])
	}
	s.say(`{"id":null,"method":"mining.set_version_mask","params":["00002000"]}`)
	s.work("2f", true)
	share = s.next()
	s.check(&share)
	if bits := string(share.Params[5]); bits != `"00002000"` && bits != `"00000000"` {
		t.Errorf("bits are %s outside the mask", bits)
	}
	if m.Resumed() != 1 {
		t.Errorf("%d sessions were resumed", m.Resumed())
	}
	_ = s.Close()
	p.accept()
}

// Ensure that refused shares are counted by the pool's words.
func TestV1Miner_CountsAnswers(t *testing.T) {
	profile, err := V1ProfileNamed("cpuminer")
	if err != nil {
		t.Fatal(err)
	}
	p := newV1Pool(t)
	m := startV1(t, V1Config{Pool: p.endpoint, Profile: profile, Identity: "a.b", Nominal: 2000})
	s := p.accept()
	s.open(&profile)
	s.work("1f", true)
	for i := range 3 { // all with the id 4
		share := s.next()
		s.check(&share)
		if i == 2 {
			s.answer(&share, "true")
			s.say(`{"id":4,"result":null,"error":[21,"Job not found",null]}`)
		}
	}
	for m.Stats().Acked+m.Stats().Rejected["Job not found"] < 2 {
		share := s.next() // the miner goes on: time passes
		s.check(&share)
	}
}
