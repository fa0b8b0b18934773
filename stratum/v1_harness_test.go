package stratum

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// v1Line is any line of a server.
type v1Line struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	Result json.RawMessage   `json:"result"`
	Error  []any             `json:"error"`
	text   string
}

// v1Client is a scripted Stratum V1 miner: it says what a test tells it to.
type v1Client struct {
	tb    testing.TB
	conn  net.Conn
	lines chan v1Line // closed at the end

	extranonce1 []byte
	job         v1Work // the newest
	difficulty  float64
}

// v1Work is a job as a miner has it.
type v1Work struct {
	id             string
	prev           chainhash.Hash
	prefix, suffix []byte
	path           []chainhash.Hash
	version, bits  uint32
	time           uint32
	clean          bool
}

// dialV1 is a client whose lines are read as they come: a pipe has no buffer.
func (b *bench) dialV1() *v1Client {
	b.tb.Helper()
	near, far := net.Pipe()
	b.ln.conns <- far
	return newV1Client(b.tb, near)
}

func newV1Client(tb testing.TB, conn net.Conn) *v1Client {
	tb.Helper()
	c := &v1Client{tb: tb, conn: conn, lines: make(chan v1Line, 10_000)}
	go func() { // ends with the connection
		defer close(c.lines)
		in := bufio.NewScanner(conn)
		for in.Scan() {
			l := v1Line{text: in.Text()}
			if err := json.Unmarshal(in.Bytes(), &l); err != nil {
				l.Method = "unreadable: " + err.Error()
			}
			c.lines <- l
		}
	}()
	return c
}

// say sends a line.
func (c *v1Client) say(format string, args ...any) {
	c.tb.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\n", args...); err != nil {
		c.tb.Fatalf("saying %q: %v", format, err)
	}
}

// hear is the next line.
func (c *v1Client) hear() v1Line {
	c.tb.Helper()
	select {
	case l, ok := <-c.lines:
		if !ok {
			c.tb.Fatal("the server hung up")
		}
		c.note(l)
		return l
	case <-time.After(time.Minute):
		c.tb.Fatal("the server says nothing")
	}
	return v1Line{}
}

// reply is the next line that answers an id; others are noted.
func (c *v1Client) reply(id string) v1Line {
	c.tb.Helper()
	for {
		if l := c.hear(); string(l.ID) == id && l.Method == "" {
			return l
		}
	}
}

// await is the next line of a method; others are noted.
func (c *v1Client) await(method string) v1Line {
	c.tb.Helper()
	for {
		if l := c.hear(); l.Method == method {
			return l
		}
	}
}

// note keeps what a miner keeps.
func (c *v1Client) note(l v1Line) {
	c.tb.Helper()
	switch l.Method {
	case "mining.set_difficulty":
		c.must(json.Unmarshal(l.Params[0], &c.difficulty))
	case "mining.set_extranonce":
		c.extranonce1 = c.hexOf(l.Params[0])
	case "mining.notify":
		c.job = c.work(l)
	}
}

func (c *v1Client) must(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}

func (c *v1Client) hexOf(raw json.RawMessage) []byte {
	c.tb.Helper()
	var text string
	c.must(json.Unmarshal(raw, &text))
	b, err := hex.DecodeString(text)
	c.must(err)
	return b
}

// work reads a notify as a miner does.
func (c *v1Client) work(l v1Line) v1Work {
	c.tb.Helper()
	if len(l.Params) != 9 {
		c.tb.Fatalf("notify has %d parameters, want 9: %s", len(l.Params), l.text)
	}
	word := func(i int) uint32 {
		b := c.hexOf(l.Params[i])
		if len(b) != 4 {
			c.tb.Fatalf("parameter %d of notify has %d bytes, want 4", i, len(b))
		}
		return binary.BigEndian.Uint32(b)
	}
	w := v1Work{
		prefix: c.hexOf(l.Params[2]), suffix: c.hexOf(l.Params[3]),
		version: word(5), bits: word(6), time: word(7),
	}
	c.must(json.Unmarshal(l.Params[0], &w.id))
	prev := c.hexOf(l.Params[1])
	for i := range w.prev {
		w.prev[i] = prev[i/4*4+3-i%4]
	}
	var path []string
	c.must(json.Unmarshal(l.Params[4], &path))
	for _, p := range path {
		b, err := hex.DecodeString(p)
		c.must(err)
		w.path = append(w.path, chainhash.Hash(b))
	}
	c.must(json.Unmarshal(l.Params[8], &w.clean))
	return w
}

// subscribe, authorize and the first job.
func (c *v1Client) join(agent, user, password string) {
	c.tb.Helper()
	c.say(`{"id":1,"method":"mining.subscribe","params":[%q]}`, agent)
	c.subscribed(c.reply("1"))
	c.say(`{"id":2,"method":"mining.authorize","params":[%q,%q]}`, user, password)
	if l := c.reply("2"); string(l.Result) != "true" {
		c.tb.Fatalf("authorize is answered by %s", l.text)
	}
	c.await("mining.notify")
}

// subscribed takes the extranonce of an answer and is the session id.
func (c *v1Client) subscribed(l v1Line) string {
	c.tb.Helper()
	var parts []json.RawMessage
	c.must(json.Unmarshal(l.Result, &parts))
	var pairs [][2]string
	c.must(json.Unmarshal(parts[0], &pairs))
	c.extranonce1 = c.hexOf(parts[1])
	return pairs[0][1]
}

// submit is a share of the newest job.
func (c *v1Client) submit(id, user string, nonce uint32) {
	c.tb.Helper()
	c.say(`{"id":%s,"method":"mining.submit","params":[%q,%q,"0000000000000000","%08x","%08x"]}`,
		id, user, c.job.id, c.job.time, nonce)
}

// hash is what a share of the newest job hashes to, without version bits.
func (c *v1Client) hash(roll []byte, nonce uint32) [32]byte {
	w := &c.job
	var all [sv1.Extranonce2Size]byte
	copy(all[:], roll)
	coinbase := append(append(append(bytes.Clone(w.prefix), c.extranonce1...), all[:]...), w.suffix...)
	root := chainhash.DoubleHashH(coinbase)
	for _, p := range w.path {
		root = chainhash.DoubleHashH(append(root[:], p[:]...))
	}
	h := binary.LittleEndian.AppendUint32(nil, w.version)
	h = append(append(h, w.prev[:]...), root[:]...)
	for _, n := range []uint32{w.time, w.bits, nonce} {
		h = binary.LittleEndian.AppendUint32(h, n)
	}
	return chainhash.DoubleHashH(h)
}

// grind is a nonce whose hash meets one difficulty and not a harder one.
func (c *v1Client) grind(meets, not float64) uint32 {
	easy, hard := pool.TargetForDifficulty(meets), pool.TargetForDifficulty(not)
	for nonce := uint32(0); ; nonce++ {
		if h := c.hash(nil, nonce); easy.Meets(&h) && !hard.Meets(&h) {
			return nonce
		}
	}
}

func (l v1Line) String() string { return strings.TrimSpace(l.text) }
