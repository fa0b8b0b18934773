package stratum

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// joinNameless is join without an agent, up to the question that this leads to.
func (c *v1Client) joinNameless(user string) (id string) {
	c.tb.Helper()
	c.say(`{"id":1,"method":"mining.subscribe","params":[]}`)
	c.subscribed(c.reply("1"))
	c.say(`{"id":2,"method":"mining.authorize","params":[%q,"x"]}`, user)
	if l := c.reply("2"); !l.accepted() {
		c.tb.Fatalf("authorize is answered by %v", l)
	}
	c.await("mining.notify")
	return string(c.await("client.get_version").ID)
}

// quiet fails if anything but a job has come.
func (c *v1Client) quiet(after string) {
	c.tb.Helper()
	synctest.Wait()
	for len(c.lines) > 0 {
		if l := c.hear(); l.Method != "mining.notify" {
			c.tb.Errorf("after %s came %v", after, l)
		}
	}
}

// Ensure that a miner which does not name its software is asked for it when it mines, and that its answer
// counts like an agent of subscribe: it is short and printable, and the channel bears what its class does.
func TestV1_AsksTheNamelessForTheirVersion(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		b.owe(200)
		b.publish(template(100, 1, false))
		for answer, want := range map[string]struct {
			firmware string
			coinbase int
		}{
			`bitaxe/BM1370/v2`:                      {"bitaxe/BM1370/v2", 6500},
			` Antminer S21/\u001b[31m\u202e `:       {"Antminer S21/?[31m?", 2250},
			`nerdminer` + strings.Repeat("x", 4000): {"nerdminer" + strings.Repeat("x", 55), 330},
		} {
			c := b.dialV1()
			id := c.joinNameless("a.b")
			if c.job.suffixed() > 750 {
				t.Errorf("a stranger got a coinbase of %d bytes", c.job.suffixed())
			}
			c.say(`{"id":%s,"result":"%s","error":null}`, id, answer)
			c.await("mining.notify")
			if n := c.job.suffixed(); n > want.coinbase || n < min(want.coinbase-47, 6200) || c.job.clean {
				t.Errorf("%.20s: a coinbase of %d bytes, up to %d are borne; clean is %v",
					answer, n, want.coinbase, c.job.clean)
			}
			if got := b.server.Channels()[0].Device.Firmware; got != want.firmware {
				t.Errorf("the device says %q, want %q", got, want.firmware)
			}
			c.submit("9", "a.b", c.grind(c.difficulty, 1e9))
			if l := c.reply("9"); !l.accepted() {
				t.Errorf("a share of the new job is answered by %v", l)
			}
			_ = c.conn.Close()
			synctest.Wait()
		}
	})
}

// suffixed is how long the job's coinbase is.
func (w *v1Work) suffixed() int { return len(w.prefix) + 4 + 8 + len(w.suffix) }

// owe gives the jobs of rounds to come a coinbase that pays many.
func (b *bench) owe(outputs int) {
	b.tb.Helper()
	owed := make([]pool.Output, outputs)
	for i := range owed {
		owed[i] = pool.Output{Script: strings.Repeat("s", 22), Value: 1000}
	}
	if err := b.maker.SetOutputs(owed); err != nil {
		b.tb.Fatal(err)
	}
}

// Ensure that a marketplace which names itself so late gets the difficulties that it takes, and no job from
// then on whose coinbase it does not bear.
func TestV1_AnAnswerBringsTheDifficultyOfItsClass(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		b.owe(200)
		b.publish(template(100, 1, false))
		c := b.dialV1()
		defer c.conn.Close()
		id := c.joinNameless("a.b")
		c.say(`{"id":%s,"result":"NiceHash/1.0.0","error":null}`, id)
		synctest.Wait()
		for len(c.lines) > 0 {
			if l := c.hear(); l.Method == "mining.notify" && c.job.suffixed() > 500 {
				b.tb.Errorf("a coinbase of %d bytes came", c.job.suffixed())
			}
		}
		if d := c.difficulty; d < 524_288 || math.Log2(d) != math.Trunc(math.Log2(d)) {
			b.tb.Errorf("the difficulty is %v", d)
		}
		c.say(`{"id":3,"method":"mining.suggest_difficulty","params":[3000000]}`)
		c.reply("3")
		c.await("mining.set_difficulty")
		if d := c.difficulty; math.Log2(d) != math.Trunc(math.Log2(d)) {
			b.tb.Errorf("the difficulty is %v", d)
		}
	})
}

// Ensure that only a miner without a name is asked, once, that answers nobody asked for change nothing, and
// that one who does not answer mines on.
func TestV1_LeavesTheSilentAlone(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		named := b.dialV1()
		defer named.conn.Close()
		named.join("cgminer/4.11.1", "a.named", "x")
		c := b.dialV1()
		defer c.conn.Close()
		id := c.joinNameless("a.b")
		firmware := func() string {
			for _, ch := range b.server.Channels() {
				if ch.Worker == "a.b" {
					return ch.Device.Firmware
				}
			}
			return "no channel"
		}
		for _, odd := range []string{"1", "null", `"` + id + `"`, "-1", id + ".0", "0" + id} {
			c.say(`{"id":%s,"result":"bitaxe/1","error":null}`, odd)
		}
		named.say(`{"id":%s,"result":"bitaxe/1","error":null}`, id)
		c.say(`{"id":7,"result":"pong","error":null}`)
		time.Sleep(10 * time.Minute)
		c.quiet("answers to nothing")
		named.quiet("answers to nothing")
		if got := firmware(); got != "" {
			t.Errorf("the device says %q", got)
		}
		c.say(`{"id":%s,"result":null,"error":[20,"unknown method",null]}`, id)
		c.say(`{"id":%s,"result":"bitaxe/1","error":null}`, id)
		c.quiet("a refusal")
		if got := firmware(); got != "" {
			t.Errorf("after a refusal the device says %q", got)
		}
		c.submit("9", "a.b", c.grind(c.difficulty, 1e9))
		if l := c.reply("9"); !l.accepted() {
			t.Errorf("a share is answered by %v", l)
		}
	})
}

// Ensure that a name which comes before the answer is not lost to it, by a second subscribe or by
// mining.configure, and that nobody is asked who named himself there.
func TestV1_ANameGoesBeforeTheAnswer(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		c := b.dialV1()
		id := c.joinNameless("a.b")
		c.say(`{"id":3,"method":"mining.subscribe","params":["cgminer/4.11.1"]}`)
		c.reply("3")
		c.say(`{"id":%s,"result":"bitaxe/1","error":null}`, id)
		c.quiet("a second subscribe")
		if got := b.server.Channels()[0].Device.Firmware; got != "cgminer/4.11.1" {
			t.Errorf("the device says %q", got)
		}
		_ = c.conn.Close()
		c = b.dialV1()
		defer c.conn.Close()
		c.say(`{"id":3,"method":"mining.configure","params":[["info"],{"info.sw-version":"bitaxe/2"}]}`)
		c.reply("3")
		c.join("", "a.b", "x")
		c.quiet("a name by mining.configure")
	})
}

// Ensure that pings are answered under each of their names, in any state, as miners answer them.
func TestV1_AnswersPings(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		ping := func(when string) {
			for i, method := range []string{"mining.ping", "client.ping", "ping"} {
				for _, params := range []string{"[]", "null", `["x"]`} {
					c.say(`{"id":%d,"method":%q,"params":%s}`, 40+i, method, params)
					if l := c.reply(fmt.Sprint(40 + i)); string(l.Result) != `"pong"` || l.Error != nil {
						b.tb.Errorf("%s, %s is answered by %v", when, method, l)
					}
				}
			}
		}
		ping("at once")
		c.join("test", "a.b", "x")
		ping("while it mines")
	})
}
