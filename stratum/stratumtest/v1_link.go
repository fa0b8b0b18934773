package stratumtest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// maxWaiting bounds the requests of one connection that wait for their answer.
const maxWaiting = 4096

// v1Link is one connection of a V1Miner. Its reader goroutine is the one that runs V1Miner.Run.
type v1Link struct {
	miner   *V1Miner
	profile *V1Profile
	c       *V1Client

	mu      sync.Mutex
	last    uint64             // guarded by mu: id
	waiting map[string]waiting // guarded by mu: by id, as JSON
	number  int                // guarded by mu: of requests that wait
	repeat  *time.Timer        // guarded by mu: of the suggestion; nil: none
	over    bool               // guarded by mu

	// owned by the reader
	jobs       v1Jobs
	session    string
	next       int // step of the opening
	subscribed bool
	authorized bool
	mining     bool
	ids        []string   // of jobs that the firmware remembers
	spaces     [][32]byte // of the newest jobs
}

// waiting is what was asked with one id, and how often.
type waiting struct {
	method string
	number int
}

func newV1Link(m *V1Miner, conn net.Conn) *v1Link {
	l := &v1Link{
		miner: m, profile: &m.cfg.Profile, c: NewV1Client(conn), session: m.session,
		waiting: map[string]waiting{},
	}
	l.jobs.target, _ = V1Difficulty(json.RawMessage("1")) // what firmware takes for granted
	l.jobs.mask = l.profile.Unasked
	return l
}

// run opens the connection and follows it to its end.
func (l *v1Link) run() error {
	l.advance()
	for {
		patience := setupTimeout
		if l.mining {
			if patience = l.profile.Silence; patience == 0 {
				patience = 24 * time.Hour
			}
		}
		line, err := l.c.line(time.Now().Add(patience))
		if err != nil {
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() && l.mining {
				l.miner.fault("nothing came for %v", patience)
			}
			return err
		}
		if l.profile.Line > 0 && len(line)+1 > l.profile.Line {
			l.miner.fault("a line of %d bytes came, %d are read", len(line)+1, l.profile.Line)
		}
		m, err := ParseV1(line)
		if err != nil {
			l.miner.fault("%v", err)
			return err
		}
		if err := l.handle(&m); err != nil {
			return err
		}
	}
}

// stop ends what the connection began.
func (l *v1Link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.repeat != nil {
		l.repeat.Stop()
	}
}

// advance sends what is next in the opening: one step, or all that is left.
func (l *v1Link) advance() {
	for l.next < len(l.profile.Opening) {
		l.open(l.profile.Opening[l.next])
		l.next++
		if l.profile.Waits {
			return
		}
	}
}

func (l *v1Link) open(s V1Step) {
	if s == V1Suggest {
		l.suggest()
		return
	}
	l.request(s.String(), l.profile.params(s, l.account()))
}

// account is what the miner says of itself.
func (l *v1Link) account() V1Account {
	cfg := &l.miner.cfg
	return V1Account{Name: cfg.Identity, Password: cfg.Password, Session: l.session, Scale: cfg.Scale}
}

// suggest sends the difficulty that the firmware wants, and again after its time. It runs on its own
// timer too.
func (l *v1Link) suggest() {
	l.request(V1Suggest.String(), l.profile.params(V1Suggest, l.account()))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.profile.Repeat > 0 && !l.over {
		l.repeat = time.AfterFunc(l.profile.Repeat, l.suggest)
	}
}

// request sends a method with parameters that are JSON, and remembers that an answer is due.
func (l *v1Link) request(method, params string) {
	l.mu.Lock()
	l.last++
	id := l.profile.id(method, l.last)
	l.waiting[id] = waiting{method, l.waiting[id].number + 1}
	l.number++
	flooded := l.number > maxWaiting
	l.mu.Unlock()
	line := v1Request(id, method, params)
	_ = l.c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if l.c.Send(line) != nil || flooded {
		_ = l.c.conn.Close() // the reader notices
	}
}

// submit sends one share.
func (l *v1Link) submit(w *work, s solution) {
	l.request("mining.submit", l.profile.share(l.miner.cfg.Identity, w, s))
}

// handle follows one message.
func (l *v1Link) handle(m *V1Message) error {
	if m.Method == "" {
		return l.answer(m)
	}
	if l.profile.Waits && l.next > 0 && !l.mining && l.awaits(V1Configure) {
		l.miner.fault("%s came while the answer to mining.configure was awaited", m.Method)
	}
	switch m.Method {
	case "mining.notify", "mining.set_difficulty", "mining.set_extranonce", "mining.set_version_mask":
		if !same(m.ID, json.RawMessage("null")) {
			l.miner.fault("%s has the id %s, not null", m.Method, m.ID)
		}
		if !l.subscribed && m.Method != "mining.set_version_mask" {
			l.miner.fault("%s came before the answer to mining.subscribe: it is not heard", m.Method)
			return nil
		}
		return l.follow(m)
	case "client.reconnect":
		return l.reconnect(m)
	case "client.get_version":
		l.reply(m.ID, quoted(l.profile.Agent))
	case "mining.ping", "client.ping":
		l.reply(m.ID, `"pong"`)
	}
	return nil // client.show_message, and whatever is newer than the firmware
}

func (l *v1Link) reply(id json.RawMessage, result string) {
	_ = l.c.Send(`{"id":` + string(id) + `,"result":` + result + `,"error":null}`) // the reader notices
}

// awaits reports whether the answer to a step is due.
func (l *v1Link) awaits(s V1Step) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		if w.method == s.String() {
			return true
		}
	}
	return false
}

// settle is the method that a reply answers.
func (l *v1Link) settle(id json.RawMessage) (method string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.waiting[string(id)]
	if !ok {
		return "", false
	}
	l.number--
	if w.number--; w.number == 0 {
		delete(l.waiting, string(id))
		return w.method, true
	}
	l.waiting[string(id)] = w
	return w.method, true
}

// answer follows a reply.
func (l *v1Link) answer(m *V1Message) error {
	method, ok := l.settle(m.ID)
	if !ok {
		l.miner.fault("an answer has the id %s, which no request had", m.ID)
		return nil
	}
	if m.Error == nil {
		l.miner.fault("the answer to %s has no error", method)
	}
	_, words := m.Refusal()
	switch method {
	case "mining.submit":
		if string(m.Result) == "true" {
			l.miner.acked.Add(1)
		} else {
			l.miner.countReject(words)
		}
		return nil
	case V1Subscribe.String():
		if err := l.subscribe(m); err != nil {
			return err
		}
	case V1Authorize.String():
		if string(m.Result) != "true" {
			return fmt.Errorf("pool refuses %q: %s", l.miner.cfg.Identity, words)
		}
		l.authorized = true
		l.mine()
	case V1Configure.String():
		l.configure(m)
	}
	if l.profile.Waits {
		l.advance()
	}
	return nil
}

// configure takes the mask that was granted. Without one, versions are not rolled.
func (l *v1Link) configure(m *V1Message) {
	var granted struct {
		Rolling bool   `json:"version-rolling"`
		Mask    string `json:"version-rolling.mask"`
	}
	if json.Unmarshal(m.Result, &granted) != nil || !granted.Rolling {
		return
	}
	mask, err := exactWord("version-rolling.mask", granted.Mask)
	if err != nil {
		l.miner.fault("%v", err)
		return
	}
	if mask&^l.profile.Mask != 0 {
		l.miner.fault("mask %08x is granted, %08x was asked for", mask, l.profile.Mask)
	}
	l.jobs.mask = mask & l.profile.Mask
}

// subscribe takes extranonce1 and the session's id.
func (l *v1Link) subscribe(m *V1Message) error {
	var parts []json.RawMessage
	var topics [][]string
	var prefix string
	if json.Unmarshal(m.Result, &parts) != nil || len(parts) < 3 ||
		json.Unmarshal(parts[0], &topics) != nil ||
		json.Unmarshal(parts[1], &prefix) != nil || json.Unmarshal(parts[2], &l.jobs.size) != nil {
		_, words := m.Refusal()
		return fmt.Errorf("pool answers mining.subscribe with %s (%s)", m.Result, words)
	}
	l.session = ""
	for _, t := range topics { // in any order
		if len(t) == 2 && t[0] == "mining.notify" {
			l.session = t[1]
		}
	}
	if err := l.extranonce(prefix); err != nil {
		return err
	}
	if old := l.miner.prefix; old != nil && slices.Equal(old, l.jobs.prefix) {
		l.miner.resumed.Add(1)
	}
	l.subscribed = true
	return nil
}

// extranonce takes extranonce1 for the jobs that follow.
func (l *v1Link) extranonce(text string) (err error) {
	if l.jobs.prefix, err = hex.DecodeString(text); err != nil {
		return fmt.Errorf("extranonce1 %q: %w", text, err)
	}
	if n := l.jobs.size; n < 1 || n > l.profile.Extranonce {
		l.miner.fault("extranonce2 has %d bytes, %d are taken", n, l.profile.Extranonce)
		return fmt.Errorf("extranonce2 of %d bytes", n)
	}
	return nil
}
