package stratum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// v1Fuzzer is a server in a bubble, a miner that does what fuzz input says, and an honest one beside it.
type v1Fuzzer struct {
	*bench
	t      *testing.T
	honest *v1Client
	peer   *v1Peer
	height int32
	nonce  uint32
	last   string   // parameters of the share sent last
	parted bool     // not every answer to a share can be counted: a connection of the peer has ended
	acks   uint64   // shares that were answered true
	keys   sharings // shares that may count, each once

	mu       sync.Mutex
	gate     chan struct{}            // guarded by mu: closed while commits may end
	fails    bool                     // guarded by mu: commits do
	failed   bool                     // guarded by mu: one has
	credited map[pool.WorkerID]uint64 // guarded by mu
}

// sharings are shares as a judge must tell them apart.
type sharings map[string]struct{}

// v1Peer is one connection of the miner.
type v1Peer struct {
	*v1Client
	session string         // id to resume it by
	due     map[string]int // answers, by the id of their request
	got     map[string]int
	submits map[string]bool // ids of shares
	ids     int             // given out
	style   byte            // how ids are written
	cut     int             // bytes of a write; 0: all
	join    int             // lines more that the next write waits for
	half    string          // of a line that was written without its end
	text    string          // not written yet
	first   []byte          // what was written first, as much as tells the dialects apart
	heard   bool            // the answer to subscribe
	ended   bool
}

func newV1Fuzzer(t *testing.T) *v1Fuzzer {
	t.Helper()
	z := &v1Fuzzer{
		t: t, height: 100, keys: sharings{}, credited: map[pool.WorkerID]uint64{}, gate: make(chan struct{}),
	}
	close(z.gate)
	z.bench = newBench(t, func(c *Config) { c.MaxDifficulty = c.MinDifficulty })
	z.bench.credit = z.commit
	z.start()
	z.publish(template(z.height, 1, false))
	z.honest = z.dialV1()
	z.honest.join("cgminer/4.11.1", "alice.one", "x")
	z.dialAgain()
	return z
}

// commit is the ledger: it takes its time, and fails, as the input says.
func (z *v1Fuzzer) commit(ctx context.Context, credits []pool.Credit) error {
	z.mu.Lock()
	gate := z.gate
	z.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if ctx.Err() != nil || z.fails {
		z.failed = true
		return errors.New("disk is full")
	}
	for _, c := range credits {
		z.credited[c.Worker] += c.Shares
	}
	return nil
}

// release lets commits end, well or not.
func (z *v1Fuzzer) release(fails bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.fails = fails
	select {
	case <-z.gate:
	default:
		close(z.gate)
	}
}

// hold keeps commits waiting.
func (z *v1Fuzzer) hold() {
	z.release(false)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.gate = make(chan struct{})
}

// dialAgain is a new connection of the peer, which knows the session of the one before.
func (z *v1Fuzzer) dialAgain() {
	session := ""
	if z.peer != nil {
		session = z.peer.session
		z.part()
	}
	z.peer = &v1Peer{
		v1Client: z.dialV1(), session: session,
		due: map[string]int{}, got: map[string]int{}, submits: map[string]bool{},
	}
}

// part ends the peer's connection.
func (z *v1Fuzzer) part() {
	z.write()
	_ = z.peer.conn.Close()
	z.listen()
	z.check()
}

// say sends a line, as a whole, in pieces or with others.
func (z *v1Fuzzer) say(line string) {
	p := z.peer
	z.expect(p.half + line)
	p.half = ""
	if p.text += line + "\n"; p.join > 0 {
		p.join--
		return
	}
	z.write()
}

// write sends what has been said.
func (z *v1Fuzzer) write() {
	p := z.peer
	text := []byte(p.text)
	p.text, p.join = "", 0
	p.first = append(p.first, text[:min(len(text), sniffSize-len(p.first))]...)
	for len(text) > 0 {
		n := len(text)
		if p.cut > 0 {
			n = min(n, p.cut)
		}
		if _, err := p.conn.Write(text[:n]); err != nil {
			return // the server has ended it
		}
		text = text[n:]
	}
}

// expect notes the answer that a line must get, and the share that it may be.
func (z *v1Fuzzer) expect(line string) {
	p := z.peer
	text := bytes.TrimSpace([]byte(line))
	if len(text) == 0 {
		return
	}
	r, err := sv1.ParseRequest(text)
	if err == nil && r.Answers() {
		return
	}
	id := "null"
	if len(r.ID) > 0 {
		id = string(r.ID)
	}
	p.due[id]++
	if err != nil || string(r.Method) != "mining.submit" {
		return
	}
	if p.submits[id] = id != "null"; !p.submits[id] {
		z.parted = true // which of the answers to null is a share's is not known
	}
	if m, err := sv1.ParseSubmit(r.Params); err == nil {
		z.keys[fmt.Sprintf("%x %s %x %x %x %x", p.extranonce1, m.Job, m.Extranonce2, m.Time, m.Nonce,
			m.Bits&v1Mask)] = struct{}{}
	}
}

// listen takes what has come when all is quiet.
func (z *v1Fuzzer) listen() {
	synctest.Wait()
	for len(z.honest.lines) > 0 {
		z.honest.hear()
	}
	p := z.peer
	for !p.ended {
		select {
		case l, open := <-p.lines:
			if p.ended = !open; open {
				z.take(l)
			}
		default:
			return
		}
	}
	z.parted = true
}

// take notes one line of the server.
func (z *v1Fuzzer) take(l v1Line) {
	p := z.peer
	if p.strange() {
		return
	}
	if strings.HasPrefix(l.Method, "unreadable") {
		z.t.Fatalf("%s: %s", l.Method, l.text)
	}
	if strings.HasPrefix(l.Method, "mining.") && !p.heard {
		z.t.Errorf("before the answer to subscribe came %v", l)
	}
	if l.Method != "" {
		p.note(l)
		return
	}
	id := string(l.ID)
	p.got[id]++
	if p.got[id] > p.due[id] {
		z.t.Errorf("%d requests with the id %s have %d answers, the last is %v", p.due[id], id, p.got[id], l)
	}
	switch {
	case p.submits[id] && l.accepted():
		z.acks++
	case bytes.HasPrefix(l.Result, []byte("[[")):
		p.heard, p.session = true, p.subscribed(l)
	}
}

// check holds that every request of a connection that lives has its answer.
func (z *v1Fuzzer) check() {
	p := z.peer
	if p.ended || p.strange() {
		return
	}
	for id, n := range p.due {
		if p.got[id] != n {
			z.t.Errorf("%d requests with the id %s have %d answers", n, id, p.got[id])
		}
	}
}

// strange reports whether the connection began like one of Stratum V2, and is served as one.
func (p *v1Peer) strange() bool { return len(p.first) > 0 && !looksLikeV1(p.first) }

// id is that of the next request: each has one of its own, or one that all of its method have.
func (p *v1Peer) id(method string) string {
	p.ids++
	switch p.style % 7 {
	case 0:
		return fmt.Sprintf("%d", p.ids)
	case 1:
		return fmt.Sprintf(`"m%d"`, p.ids)
	case 2:
		return fmt.Sprintf("%d", uint64(p.ids)+oddID)
	case 3:
		return fmt.Sprintf("-%d.5e1", p.ids)
	case 4:
		return fmt.Sprintf("%q", method)
	case 5:
		return fmt.Sprintf(`"\u00e4%s%d"`, strings.Repeat("x", sv1.MaxID-20), p.ids)
	}
	return "null"
}

// call sends a request.
func (z *v1Fuzzer) call(method, params string) {
	z.say(fmt.Sprintf(`{"id":%s,"method":%q,"params":%s}`, z.peer.id(method), method, params))
}

// share sends a share of the newest job.
func (z *v1Fuzzer) share(user, job, roll, more string) {
	z.nonce++
	z.last = fmt.Sprintf(`[%q,%q,%q,"%08x","%08x"%s]`, user, job, roll, z.peer.job.time, z.nonce, more)
	z.call("mining.submit", z.last)
}

func pick(from []string, n byte) string { return from[int(n)%len(from)] }

// step does what two bytes of the input say.
func (z *v1Fuzzer) step(do, n byte) {
	const roll = "0000000000000000"
	p := z.peer
	user := pick([]string{"mallory.x", "mallory.x", "mallory.y", "bob.z"}, n)
	switch do % 16 {
	case 0:
		z.call("mining.subscribe", pick([]string{
			`["cgminer/4.11.1"]`, `[]`, fmt.Sprintf(`["a",%q]`, p.session), `null`, `["NiceHash/1",null]`,
		}, n))
	case 1:
		z.call("mining.authorize", pick([]string{
			`["mallory.x","x"]`, `["mallory.x","d=1,md=2"]`, `["mallory.y"]`, `["bob.z",7]`, `[]`, `[""]`,
		}, n))
	case 2:
		z.share(user, p.job.id, roll, "")
	case 3:
		z.call("mining.submit", z.last+pick([]string{"", "", "]"}, n))
	case 4:
		z.share(user, pick([]string{p.job.id, "", "zz", "1", "ffffffffffff"}, n/4),
			pick([]string{roll, "", "1", "00000001", roll + roll, "no"}, n/8),
			pick([]string{"", `,"00002000"`, `,"20002000"`, `,"ffffffff"`, `,null`}, n/16))
	case 5:
		z.small(n)
	case 6:
		z.broken(n)
	case 7:
		p.cut = int(n % 40)
	case 8:
		p.join = int(n % 8)
	case 9:
		p.style = n
	case 10:
		p.text += `{"id":77,"meth`
		p.half += `{"id":77,"meth`
		z.write()
	case 11:
		z.chain(n)
	case 12:
		z.ledger(n)
	case 13:
		time.Sleep(time.Duration(n) * time.Duration(n) * time.Millisecond)
	case 14:
		z.operate(n)
	case 15:
		z.dialAgain()
	}
}

// small sends one of the other methods, or the answer to a question.
func (z *v1Fuzzer) small(n byte) {
	all := [][2]string{
		{"mining.configure", `[["version-rolling"],{"version-rolling.mask":"ffffffff"}]`},
		{"mining.configure", `[["minimum-difficulty","subscribe-extranonce"],{}]`},
		{"mining.configure", `7`},
		{"mining.extranonce.subscribe", `[]`},
		{"mining.suggest_difficulty", `[0.001]`},
		{"mining.suggest_difficulty", `["x"]`},
		{"mining.suggest_target", `["` + strings.Repeat("f", 64) + `"]`},
		{"mining.suggest_difficulty(1e-12)", `[]`},
		{"mining.get_transactions", `["1"]`},
		{"mining.ping", `null`},
		{"client.get_version", `[]`},
		{"mining.multi_version", `[4]`},
	}
	if i := int(n) % (len(all) + 1); i < len(all) {
		z.call(all[i][0], all[i][1])
		return
	}
	z.say(pick([]string{
		`{"id":1,"result":"cpuminer/2.5.1","error":null}`, `{"id":null,"result":null,"error":[20,"no",null]}`,
		`{"id":2000000000,"result":"NiceHash/1"}`, `{"id":"x","error":null}`, `{"id":1,"result":{"a":[]}}`,
	}, n/16))
}

// broken sends a line that is no request.
func (z *v1Fuzzer) broken(n byte) {
	z.say(pick([]string{
		"", " \t\r", "{}", "{", "nonsense", `{"id":3}`, `{"id":[3],"method":"mining.ping"}`,
		`{"id":3,"method":"mining.ping"}}`, `{"id":3,"method":7}`, `{"id":3,"id":4,"method":"mining.ping"}`,
		"{\"id\":3,\"method\":\"\x00\"}", `{"id":3,"method":"` + "\xff" + `"}`, `[{"id":3}]`,
		`{"id":"` + strings.Repeat("9", sv1.MaxID) + `","method":"mining.ping"}`,
		strings.Repeat("[", 100), `{"id":3,"method":"mining.submit"}`, `{"method":"mining.ping"}`,
		`{"id":3,"method":"x","params":"` + strings.Repeat("x", lineLimit) + `"}`,
	}, n))
}

// chain is what bitcoin does: a tip known by its header, one with its transactions, or a better job.
func (z *v1Fuzzer) chain(n byte) {
	if n%3 < 2 {
		z.height++
	}
	z.publish(template(z.height, byte(z.height), n%3 == 0))
}

// ledger lets commits wait, end or fail.
func (z *v1Fuzzer) ledger(n byte) {
	switch n % 8 {
	case 0, 1, 2:
		z.hold()
	case 3:
		z.release(true)
	default:
		z.release(false)
	}
}

// operate is what operator and governor do to the peer's channel.
func (z *v1Fuzzer) operate(n byte) {
	for _, c := range z.server.Channels() {
		if c.Worker.Account() == "alice" {
			continue
		}
		switch n % 4 {
		case 0, 1:
			err := z.server.SetPrefix(c.Session, c.Channel)
			if err != nil && !errors.Is(err, ErrStays) && !errors.Is(err, ErrNotOpen) {
				z.t.Error(err)
			}
		case 2:
			if err := z.server.CloseChannel(c.Session, c.Channel, "bye"); err != nil {
				z.t.Error(err)
			}
		case 3:
			for _, link := range z.fleet.Links(c.Worker) {
				link.Expect(fleet.Expectation{Hashrate: unit.Hashrate(n) * 1e9})
			}
		}
	}
}

// finish lets everything come to its end, or drains in the midst of it.
func (z *v1Fuzzer) finish(drain bool) {
	z.release(false)
	if !drain {
		z.write()
		time.Sleep(15 * time.Second) // what was spent is paid, and what is too short to tell is closed
		synctest.Wait()
		z.listen()
		z.check()
		consistent(z.t, z.server.Stats())
	}
	z.listen()
	z.honest.submit("9", "alice.one", z.honest.grind(z.honest.difficulty, 1e9))
	if l := z.honest.reply("9"); !l.accepted() {
		z.t.Errorf("an honest miner's share is answered by %v", l)
	}
	z.stop()
	_ = z.peer.conn.Close()
	synctest.Wait()
	before := z.parted
	z.listen()
	z.total(before)
}

// total holds the sums of all that was sent.
func (z *v1Fuzzer) total(parted bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	st := z.server.Stats()
	var sum uint64
	for worker, n := range z.credited {
		if worker.Account() != "alice" {
			sum += n
		}
	}
	if sum > uint64(len(z.keys)) || z.acks > sum {
		z.t.Errorf("%d shares were credited and %d acknowledged, %d differ", sum, z.acks, len(z.keys))
	}
	if sum+z.credited["alice.one"] != st.Durable || z.credited["alice.one"] != 1 {
		z.t.Errorf("%d and %v credited, %d durable", sum, z.credited, st.Durable)
	}
	if !z.failed && st.Durable != st.Accepted {
		z.t.Errorf("%d shares were accepted, %d are durable", st.Accepted, st.Durable)
	}
	if !z.failed && !parted && z.acks != sum {
		z.t.Errorf("%d shares were credited, %d acknowledged", sum, z.acks)
	}
	if n, all := z.server.prefixes.Live(), z.server.quotas.all; n+all+st.Sessions+st.Channels != 0 {
		z.t.Errorf("left are %d prefixes, %d quotas, %d sessions and %d channels",
			n, all, st.Sessions, st.Channels)
	}
}

// FuzzV1_Sequence sends lines of Stratum V1 in any order, whole, cut and joined, valid, odd and broken, while
// tips come, commits wait or fail, and the operator changes the channel. Whatever they are, each request
// has one answer, nothing is said before the one to subscribe, a share is credited once at most, and
// acknowledged if it was credited; nobody else is concerned, and nothing is left.
func FuzzV1_Sequence(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{0, 0, 1, 0, 2, 0, 3, 0, 11, 0, 2, 0, 11, 2, 2, 0, 3, 0}, false)
	f.Add([]byte{9, 2, 1, 0, 0, 0, 12, 0, 2, 0, 2, 0, 9, 4, 2, 0, 2, 0, 14, 2, 12, 4, 2, 0}, false)
	f.Add([]byte{0, 0, 1, 0, 12, 0, 2, 0, 2, 0, 2, 0}, true)
	f.Add([]byte{0, 0, 1, 0, 2, 0, 15, 0, 0, 2, 1, 0, 3, 0, 2, 0, 3, 0}, false)
	f.Add([]byte{7, 3, 0, 0, 8, 5, 1, 0, 5, 3, 14, 0, 2, 0, 14, 0, 2, 0, 3, 0}, false)
	f.Add([]byte{0, 0, 10, 0, 1, 0, 6, 2, 6, 5, 6, 6, 6, 9, 6, 15, 6, 16, 5, 12, 2, 0}, true)
	f.Add([]byte{0, 0, 1, 0, 2, 0, 12, 3, 2, 0, 13, 99, 2, 0}, false)
	f.Add([]byte{0, 0, 1, 0, 1, 2, 2, 2, 2, 0, 4, 16, 4, 32, 4, 64, 14, 3, 13, 255, 13, 255, 2, 0}, true)
	f.Fuzz(func(t *testing.T, input []byte, drain bool) {
		synctest.Test(t, func(t *testing.T) {
			z := newV1Fuzzer(t)
			for i := 0; i+1 < min(len(input), 512); i += 2 {
				z.step(input[i], input[i+1])
				z.listen()
			}
			z.finish(drain)
			_ = z.honest.conn.Close()
		})
	})
}
