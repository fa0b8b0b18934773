package stratum

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// The tests TestSV1_RuleNN hold the server to what real miners need, one for each rule that pools
// have learnt.

// onV1 plays a test against a server with a job, in a bubble of time.
func onV1(t *testing.T, change func(*Config), play func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, change)
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		play(b)
	})
}

// on plays a test with one connection.
func on(t *testing.T, change func(*Config), play func(b *bench, c *v1Client)) {
	t.Helper()
	onV1(t, change, func(b *bench) {
		c := b.dialV1()
		defer c.conn.Close()
		play(b, c)
	})
}

// refusal is the number of an error reply, 0 if it is none.
func (l v1Line) refusal() int {
	if len(l.Error) == 0 {
		return 0
	}
	n, _ := l.Error[0].(float64)
	return int(n)
}

func (l v1Line) accepted() bool { return string(l.Result) == "true" && l.Error == nil }

// Ensure that a line is one whole object however TCP has cut or joined it.
func TestSV1_Rule01_LinesAreCutAndJoinedByTCP(t *testing.T) {
	opening := `{"id":1,"method":"mining.subscribe","params":[]}` + "\r\n\n" +
		`{"id":2,"method":"mining.authorize","params":["a.b","x"]}` + "\n"
	for _, size := range []int{1, 7, 16, 17, 1000} {
		on(t, nil, func(b *bench, c *v1Client) {
			t := b.tb
			for b := []byte(opening); len(b) > 0; b = b[min(size, len(b)):] {
				if _, err := c.conn.Write(b[:min(size, len(b))]); err != nil {
					t.Fatal(err)
				}
			}
			c.subscribed(c.reply("1"))
			if l := c.reply("2"); !l.accepted() {
				t.Errorf("in pieces of %d bytes authorize is answered by %v", size, l)
			}
			c.await("mining.notify")
		})
	}
}

// Ensure that an id is repeated as it was written, whatever it is, in acceptances and refusals.
func TestSV1_Rule02_IDsAreRepeatedVerbatim(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		for n, id := range []string{
			"0", "7", "4294967295", "2147483648", "2147483647", "18446744073709551616", "-1", "1.50", "1e3",
			`"7"`, `"é\n"`, `""`, "null",
		} {
			c.submit(id, "a.b", uint32(n))
			if l := c.hear(); string(l.ID) != id || !l.accepted() {
				t.Errorf("a share with id %s is answered by %v", id, l)
			}
			c.submit(id, "a.b", uint32(n))
			if l := c.hear(); string(l.ID) != id || l.refusal() != 22 {
				t.Errorf("the same share with id %s is answered by %v", id, l)
			}
			c.say(`{"method":"mining.ping","id":%s}`, id)
			if l := c.hear(); string(l.ID) != id {
				t.Errorf("a ping with id %s is answered by %v", id, l)
			}
		}
	})
}

// Ensure that every reply has an error field, null if all is well, and that notifications have a null id.
func TestSV1_Rule03_RepliesHaveAnErrorField(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
		c.say(`{"id":2,"method":"mining.authorize","params":["a.b","x"]}`)
		c.say(`{"id":3,"method":"mining.nonsense","params":[]}`)
		c.say(`{"id":4,"method":"mining.configure","params":[["version-rolling"],{}]}`)
		seen := map[string]bool{}
		for len(seen) < 6 {
			l := c.hear()
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(l.text), &fields); err != nil {
				t.Fatal(err)
			}
			seen[l.Method+string(l.ID)] = true
			asks := l.Method == "client.get_version" // the one method that wants an answer
			if l.Method != "" && asks == (string(fields["id"]) == "null") {
				t.Errorf("a notification has an id, or a question has none: %v", l)
			}
			if _, has := fields["error"]; l.Method == "" && !has {
				t.Errorf("a reply has no error field: %v", l)
			}
		}
	})
}

// Ensure that the opening messages may come in any order, and that an unknown method is answered and
// costs nothing else.
func TestSV1_Rule04_OpeningMessagesComeInAnyOrder(t *testing.T) {
	messages := []string{
		`{"id":1,"method":"mining.subscribe","params":["x/1"]}`,
		`{"id":2,"method":"mining.authorize","params":["a.b","x"]}`,
		`{"id":3,"method":"mining.configure","params":[["version-rolling"],` +
			`{"version-rolling.mask":"ffffffff"}]}`,
		`{"id":4,"method":"mining.extranonce.subscribe","params":[]}`,
		`{"id":5,"method":"mining.suggest_difficulty","params":[1e-12]}`,
		`{"id":6,"method":"mining.never_heard_of","params":{"a":[1]}}`,
	}
	for turn := range 24 {
		order := append([]string(nil), messages...)
		for i, n := 0, turn*7+3; i < len(order); i, n = i+1, n*31+turn { // any fixed shuffle
			j := n % len(order)
			order[i], order[j] = order[j], order[i]
		}
		on(t, nil, func(b *bench, c *v1Client) {
			t := b.tb
			for _, m := range order {
				c.say("%s", m)
			}
			answered := map[string]bool{}
			for len(answered) < len(order) || c.job.id == "" {
				l := c.hear()
				if l.Method == "" {
					answered[string(l.ID)] = true
				}
				if string(l.ID) == "1" {
					c.subscribed(l)
				}
				if wanted := l.Method == "" && string(l.ID) == "6"; wanted != (l.refusal() != 0) {
					t.Errorf("in the order %q: %v", order, l)
				}
			}
			c.submit("9", "a.b", 1)
			if l := c.reply("9"); !l.accepted() {
				t.Errorf("in the order %q a share is answered by %v", order, l)
			}
		})
	}
}

// Ensure that nothing comes before the answer to mining.subscribe but answers.
func TestSV1_Rule05_NothingComesBeforeTheSubscription(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.say(`{"id":1,"method":"mining.authorize","params":["a.b","x"]}`)
		if l := c.hear(); string(l.ID) != "1" || !l.accepted() {
			t.Errorf("authorize is answered by %v", l)
		}
		b.publish(template(101, 2, false))
		c.say(`{"id":2,"method":"mining.configure","params":[["version-rolling"],{}]}`)
		if l := c.hear(); string(l.ID) != "2" {
			t.Errorf("after configure came %v", l)
		}
		c.say(`{"id":3,"method":"mining.subscribe","params":[]}`)
		if l := c.hear(); string(l.ID) != "3" {
			t.Errorf("before the answer to subscribe came %v", l)
		}
	})
}

// Ensure that replies come in the order that everybody accepts: configure, subscribe, authorize,
// set_difficulty, notify with clean jobs.
func TestSV1_Rule06_RepliesComeInTheUsualOrder(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.say(`{"id":1,"method":"mining.configure","params":[["version-rolling"],{}]}` + "\n" +
			`{"id":2,"method":"mining.subscribe","params":[]}` + "\n" +
			`{"id":3,"method":"mining.authorize","params":["a.b","x"]}`)
		for _, want := range []string{"1", "2", "3", "mining.set_difficulty", "mining.notify"} {
			l := c.hear()
			if got := strings.TrimPrefix(l.Method+string(l.ID), ""); got != want && l.Method != want {
				t.Errorf("got %v, want %s", l, want)
			}
		}
		if !c.job.clean {
			t.Error("the first job is not clean")
		}
	})
}

// Ensure that the subscription to notify comes first in the answer to mining.subscribe.
func TestSV1_Rule07_NotifyIsTheFirstSubscription(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
		if l := c.hear(); !regexp.MustCompile(
			`^\[\[\["mining.notify","[0-9a-f]+"\],` +
				`\["mining.set_difficulty","[0-9a-f]+"\]\],"[0-9a-f]{8}",8\]$`,
		).Match(l.Result) {
			t.Errorf("subscribe is answered by %v", l)
		}
	})
}

// Ensure that a miner rolls 8 bytes, and no two miners the same space.
func TestSV1_Rule08_MinersRollEightBytes(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		seen := map[string]bool{}
		for range 20 {
			c := b.dialV1()
			defer c.conn.Close()
			c.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
			l := c.hear()
			c.subscribed(l)
			if !bytes.HasSuffix(l.Result, []byte(",8]")) || len(c.extranonce1) != 4 {
				t.Errorf("subscribe is answered by %v", l)
			}
			seen[string(c.extranonce1)] = true
		}
		if len(seen) != 20 {
			t.Errorf("20 miners have %d extranonces", len(seen))
		}
	})
}

// Ensure that a job is written as miners read it: what they hash is the job of the pool.
func TestSV1_Rule09_JobsAreWrittenToTheLetter(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		r := b.publish(template(101, 0xab, false))
		l := c.await("mining.notify")
		if !regexp.MustCompile(`^\{"id":null,"method":"mining.notify","params":\["[0-9a-f]{5,12}",` +
			`"[0-9a-f]{64}",` +
			`"[0-9a-f]+","[0-9a-f]+",\[("[0-9a-f]{64}"(,"[0-9a-f]{64}")*)?\],` +
			`"[0-9a-f]{8}","[0-9a-f]{8}","[0-9a-f]{8}",true\]\}$`).MatchString(l.text) {
			t.Errorf("a job is %s", l.text)
		}
		w, j := c.job, r.Full
		if w.prev != r.Tip.Prev || w.bits != r.Tip.Bits || w.version != j.Version {
			t.Errorf("the job is %+v, want that of %+v", w, r.Tip)
		}
		coinbase := append(append(bytes.Clone(w.prefix), c.extranonce1...), 1, 2, 3, 4, 5, 6, 7, 8)
		coinbase = append(coinbase, w.suffix...)
		roll := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 8)...)
		want := j.AppendCoinbase(nil, c.extranonce1, roll)
		if !bytes.Equal(coinbase, want) {
			t.Errorf("the coinbase is\n%x, want\n%x", coinbase, want)
		}
	})
}

// Ensure that numbers of other lengths than asked for are read as ckpool reads them.
func TestSV1_Rule10_NumbersOfOtherLengthsAreUnderstood(t *testing.T) {
	for text, want := range map[string]string{ // extranonce2 and nonce as sent, and what they mean
		"0102030405060708,0a0b0c0d":     "0102030405060708,0a0b0c0d",
		"0102,0a0b0c0d":                 "0102000000000000,0a0b0c0d",
		"01020304050607080910,0a0b0c0d": "0102030405060708,0a0b0c0d",
		",0a0b0c0d":                     "0000000000000000,0a0b0c0d",
		"012,a0b0c0d":                   "0120000000000000,0a0b0c0d",
		"0102030405060708,0a0b0c0dff":   "0102030405060708,0a0b0c0d",
		"0A0B,AbC":                      "0a0b000000000000,00000abc",
	} {
		on(t, nil, func(b *bench, c *v1Client) {
			t := b.tb
			c.join("test", "a.b", "x")
			say := func(id, both string) v1Line {
				roll, nonce, _ := strings.Cut(both, ",")
				c.say(`{"params":["a.b","%s","%s","%08x","%s"],"id":%s,"method":"mining.submit"}`,
					c.job.id, roll, c.job.time, nonce, id)
				return c.reply(id)
			}
			if l := say("5", text); !l.accepted() {
				t.Errorf("%s is answered by %v", text, l)
			}
			if l := say("6", want); l.refusal() != 22 {
				t.Errorf("%s is not the same as %s: %v", text, want, l)
			}
		})
	}
}

// Ensure that the sixth parameter is the rolled bits, within the mask, and counts without mining.configure.
func TestSV1_Rule11_VersionBitsCountWithoutConfigure(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		for n, m := range []struct {
			bits string
			code int
		}{
			{"00000000", 0}, {"1fffe000", 0}, {"00c00000", 0}, {"2000", 0}, {"20004000", 0}, // whole version
			{"00000001", 20}, {"e0000000", 20}, {"ffffffff", 20}, {"zz", 20},
		} {
			c.say(`{"id":7,"method":"mining.submit","params":["a.b","%s","00","%08x","%08x","%s"]}`,
				c.job.id, c.job.time, n, m.bits)
			if l := c.reply("7"); l.refusal() != m.code {
				t.Errorf("version bits %s are answered by %v", m.bits, l)
			}
		}
	})
}

// Ensure that the answer to configure is the wanted mask within BIP320's, that shares are held to it,
// and that set_version_mask is not sent unasked.
func TestSV1_Rule12_TheMaskIsWhatBothTake(t *testing.T) {
	for asked, want := range map[string]string{
		`"ffffffff"`: "1fffe000", `"1fffe000"`: "1fffe000", `"00c00000"`: "00c00000",
		`"0000001f"`: "00000000", `7`: "00000000", `null`: "1fffe000", `"xyz"`: "1fffe000",
	} {
		on(t, nil, func(b *bench, c *v1Client) {
			t := b.tb
			c.say(`{"id":1,"method":"mining.configure","params":[["version-rolling"],`+
				`{"version-rolling.mask":%s,"version-rolling.min-bit-count":2}]}`, asked)
			result := fmt.Sprintf(`{"version-rolling":true,"version-rolling.mask":%q}`, want)
			if l := c.hear(); string(l.Result) != result {
				t.Errorf("mask %s is answered by %v, want %s", asked, l, result)
			}
			c.join("test", "a.b", "x")
			mask, _ := hex.DecodeString(want)
			outside := bytes.Equal(mask, []byte{0, 0xc0, 0, 0}) || bytes.Equal(mask, make([]byte, 4))
			c.say(`{"id":7,"method":"mining.submit","params":["a.b","%s","00","%08x","1","00002000"]}`,
				c.job.id, c.job.time)
			if l := c.reply("7"); outside != (l.refusal() == 20) {
				t.Errorf("with mask %s bit 13 is answered by %v", want, l)
			}
		})
	}
}

// Ensure that a minimum bit count that is missing or no number is no reason to refuse.
func TestSV1_Rule13_MalformedBitCountsAreIgnored(t *testing.T) {
	for _, options := range []string{
		`{"version-rolling.mask":"1fffe000"}`,
		`{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":"two"}`,
		`{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":[]}`,
		`{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":"00000010"}`,
	} {
		on(t, nil, func(b *bench, c *v1Client) {
			t := b.tb
			c.say(`{"id":1,"method":"mining.configure","params":[["version-rolling"],%s]}`, options)
			if l := c.hear(); !strings.Contains(string(l.Result), `"version-rolling":true`) {
				t.Errorf("%s is answered by %v", options, l)
			}
		})
	}
}

// Ensure that a change of difficulty comes before the job that it counts for, with a job whose work is
// unique, and that shares of the job before are judged by the easier of both, and credited so: some
// firmware applies a difficulty at once, some with the next job.
func TestSV1_Rule14_DifficultyCountsForTheNextJob(t *testing.T) {
	for _, change := range []struct{ from, to float64 }{{0.01, 1e-5}, {1e-5, 0.01}} {
		on(t, func(c *Config) { c.MinDifficulty = 1e-6 }, func(b *bench, c *v1Client) {
			t := b.tb
			c.say(`{"id":3,"method":"mining.suggest_difficulty","params":[%v]}`, change.from)
			c.join("test", "a.b", "x")
			before := c.job
			c.say(`{"id":5,"method":"mining.suggest_difficulty","params":[%v]}`, change.to)
			var heard []string
			for len(heard) < 3 {
				heard = append(heard, c.hear().Method)
			}
			if want := []string{"", "mining.set_difficulty", "mining.notify"}; !slices.Equal(heard, want) {
				t.Errorf("after a suggestion came %q, want %q", heard, want)
			}
			if !c.job.clean || bytes.Equal(c.job.prefix, before.prefix) || c.difficulty != change.to {
				t.Errorf("difficulty %v, and the new job is not other work: %+v", c.difficulty, c.job)
			}
			c.job, before = before, c.job
			nonce := c.grind(1e-5, 0.01)
			c.submit("6", "a.b", nonce)
			if l := c.reply("6"); !l.accepted() {
				t.Errorf("%+v: an easy share of the old job is answered by %v", change, l)
			}
			_, work := b.fleet.Links("a.b")[0].Counted()
			if want := pool.TargetForDifficulty(1e-5).Work(); work != want {
				t.Errorf("from %v to %v: work %d is credited, want %d", change.from, change.to, work, want)
			}
			c.job = before
			nonce = c.grind(1e-5, 0.01)
			c.submit("7", "a.b", nonce)
			if l := c.reply("7"); (change.to < change.from) != l.accepted() {
				t.Errorf("%+v: an easy share of the new job is answered by %v", change, l)
			}
		})
	}
}

// Ensure that difficulties are written as firmware reads them: without a fraction from 1 on, without an
// exponent below, and as the number whose target shares are judged by.
func TestSV1_Rule15_DifficultiesAreWrittenShortly(t *testing.T) {
	for _, d := range []struct{ asked, want string }{
		{"1000", "1000"},
		{"16383.75", "16384"},
		{"1.5", "2"},
		{"1", "1"},
		{"0.5", "0.5"},
		{"0.0001", "0.0001"},
		{"0.000001", "0.000001"},
		{"0.0000001", "0.000001"},
		{"1e6", "1000000"},
	} {
		on(t, func(c *Config) { c.MinDifficulty = 1e-6 }, func(b *bench, c *v1Client) {
			t := b.tb
			c.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
			c.say(`{"id":2,"method":"mining.authorize","params":["a.b","d=%s"]}`, d.asked)
			l := c.await("mining.set_difficulty")
			if string(l.Params[0]) != d.want {
				t.Errorf("d=%s gets %s, want %s", d.asked, l.Params[0], d.want)
			}
			if got := b.server.Channels()[0].Difficulty; math.Abs(got-c.difficulty) > 1e-12*got {
				t.Errorf("shares are judged by %v, the miner was told %v", got, c.difficulty)
			}
		})
	}
}

// Ensure that job ids are short hexadecimal numbers without zeros in front, and that none comes twice.
func TestSV1_Rule16_JobIDsAreShortNumbersThatComeOnce(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		seen := map[string]bool{c.job.id: true}
		for n := range 200 {
			b.publish(template(101+int32(n/3), byte(n/3), n%3 == 0))
			synctest.Wait()
			for len(c.lines) > 0 {
				if l := c.hear(); l.Method != "mining.notify" {
					continue
				}
				if id := c.job.id; seen[id] || len(id) > 16 || id[0] == '0' {
					t.Fatalf("job id %q comes twice or is no short number", id)
				}
				seen[c.job.id] = true
			}
		}
		if len(seen) < 200 {
			t.Errorf("%d jobs came", len(seen))
		}
	})
}

// Ensure that a miner hears of a new job at least every half minute, although the node has nothing
// new, and that it is other work.
func TestSV1_Rule17_ASilentNodeDoesNotSilenceThePool(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		c, other := b.dialV1(), b.dialV1()
		defer c.conn.Close()
		defer other.conn.Close()
		c.join("test", "a.b", "d=1e9")
		other.join("test", "a.c", "d=1e9")
		first, last := c.job, time.Now()
		for range 20 {
			c.await("mining.notify")
			if gap := time.Since(last); gap > 32*time.Second {
				t.Errorf("%v without a job", gap)
			}
			last = time.Now()
			if c.job.id == first.id || bytes.Equal(c.job.prefix, first.prefix) || c.job.clean {
				t.Errorf("the job is not other work that is added: %+v", c.job)
			}
			if at := int64(c.job.time); at != time.Now().Unix() {
				t.Errorf("the job is of %v, now it is %v", at, time.Now().Unix())
			}
		}
	})
}

// Ensure that the user name of a share is compared as it was sent, however odd, and that
// several workers of a connection are each credited.
func TestSV1_Rule18_UserNamesAreTakenAsTheyAre(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "account.one", "x")
		c.say(`{"id":3,"method":"mining.authorize","params":["account.two"]}`)
		if l := c.reply("3"); !l.accepted() {
			t.Errorf("a second worker is answered by %v", l)
		}
		for n, who := range []string{"account.one", "account.two", `acc\u006funt.two`, "account.two"} {
			c.say(`{"id":4,"method":"mining.submit","params":["%s","%s","00","%08x","%x"]}`,
				who, c.job.id, c.job.time, n)
			if l := c.reply("4"); !l.accepted() {
				t.Errorf("a share of %s is answered by %v", who, l)
			}
		}
		c.submit("5", "account.three", 99)
		if l := c.reply("5"); l.refusal() != sv1.CodeUnauthorized {
			t.Errorf("a share of a stranger is answered by %v", l)
		}
		st := b.server.Channels()[0]
		if st.Accepted != 4 || len(st.Named) != 1 || st.Named[0].Worker != "account.two" ||
			st.Named[0].Accepted != 3 {
			t.Errorf("counted: %+v", st)
		}
		c.say(`{"id":6,"method":"mining.authorize","params":["a b\u0000"]}`)
		if l := c.reply("6"); l.refusal() != sv1.CodeUnauthorized {
			t.Errorf("a name that no identity has is answered by %v", l)
		}
	})
}
