package stratum

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// Ensure that a share is answered only when it is durable, and never if it cannot be made so.
func TestV1_AnswersWhatIsDurable(t *testing.T) {
	release := make(chan error)
	synctest.Test(t, func(t *testing.T) {
		release = make(chan error)
		b := newBench(t, nil)
		b.credit = func(context.Context, []pool.Credit) error { return <-release }
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c := b.dialV1()
		defer c.conn.Close()
		c.join("test", "a.b", "x")
		c.submit("3", "a.b", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(c.lines); n > 0 {
			t.Fatalf("before the commit came %v", <-c.lines)
		}
		release <- nil
		if l := c.reply("3"); !l.accepted() {
			t.Errorf("after the commit came %v", l)
		}
		c.submit("4", "a.b", 2)
		release <- errors.New("disk is full")
		for l := range c.lines {
			if l.Method == "" {
				t.Errorf("after a commit that failed came %v", l)
			}
		}
	})
}

// Ensure that a share which becomes durable after the operator closed the channel is answered all the same:
// it is credited, and the connection lives on.
func TestV1_AnswersWhatIsDurableAfterItsChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := make(chan struct{}) // closed when it goes on
		b := newBench(t, nil)
		b.credit = func(context.Context, []pool.Credit) error {
			<-disk
			return nil
		}
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c := b.dialV1()
		defer c.conn.Close()
		c.join("test", "a.b", "x")
		c.submit("3", "a.b", 1)
		c.submit(`"four"`, "a.b", 2)
		synctest.Wait()
		ch := b.server.Channels()[0]
		if err := b.server.CloseChannel(ch.Session, ch.Channel, "bye"); err != nil {
			t.Fatal(err)
		}
		close(disk)
		for _, id := range []string{"3", `"four"`} {
			if l := c.reply(id); !l.accepted() {
				t.Errorf("after the commit came %v", l)
			}
		}
	})
}

// Ensure that a tip and its jobs are what miners wait for: clean work at once, then the full job for those
// who can go on, and the old job is stale.
func TestV1_FollowsATipAndItsFullJob(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		old := c.job
		b.publish(template(101, 2, true))
		c.await("mining.notify")
		if !c.job.clean || c.job.prev != b.round.Tip.Prev || int64(c.job.time) < time.Now().Unix() {
			t.Errorf("the tip's job is %+v", c.job)
		}
		first := c.job
		b.publish(template(101, 2, false))
		c.await("mining.notify")
		if c.job.clean || c.job.id == first.id {
			t.Errorf("the full job is %+v", c.job)
		}
		for _, j := range []struct {
			job  v1Work
			code int
		}{{first, 0}, {c.job, 0}, {old, 21}} {
			c.job = j.job
			c.submit("9", "a.b", 5)
			if l := c.reply("9"); l.refusal() != j.code {
				t.Errorf("a share of job %s is answered by %v, want %d", j.job.id, l, j.code)
			}
		}
	})
}

// Ensure that all connections are sent the same bytes of a job.
func TestV1_WritesAJobOnceForAll(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		var all []*v1Client
		for range 5 {
			c := b.dialV1()
			defer c.conn.Close()
			c.join("test", "a.b", "x")
			all = append(all, c)
		}
		b.publish(template(101, 2, false))
		var first string
		for _, c := range all {
			l := c.await("mining.notify")
			if first == "" {
				first = l.text
			}
			if l.text != first {
				t.Errorf("got %s and %s", l.text, first)
			}
		}
		b.server.v1.mu.Lock()
		defer b.server.v1.mu.Unlock()
		if n := len(b.server.v1.now.jobs); n != 1 {
			t.Errorf("%d jobs were written", n)
		}
	})
}

// Ensure that a miner that comes back gets its extranonce again and mines on without counting anything twice,
// also after a restart of the server, and that an id that is not ours gives nothing.
func TestV1_ResumesASession(t *testing.T) {
	key, err := pool.NewSessionKey([]byte("sixteen bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	var id string
	var extranonce []byte
	var old v1Work
	for process := range uint16(2) {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchOf(t, process+1, nil)
			b.server.rooms.Sessions = key
			b.start()
			defer b.stop()
			b.publish(template(100, 1, false))
			resume := func(session string) (*v1Client, string) {
				c := b.dialV1()
				c.say(`{"id":1,"method":"mining.subscribe","params":["test",%q]}`, session)
				id := c.subscribed(c.reply("1"))
				c.say(`{"id":2,"method":"mining.authorize","params":["a.b"]}`)
				c.reply("2")
				synctest.Wait()
				var jobs []string
				for len(c.lines) > 0 {
					if c.hear().Method == "mining.notify" {
						jobs = append(jobs, c.job.id)
					}
				}
				if len(jobs) != 1 || !c.job.clean || old.id == c.job.id {
					t.Errorf("jobs %v begin, want one that is not %s; clean is %v", jobs, old.id, c.job.clean)
				}
				return c, id
			}
			for range 3 {
				c, now := resume(id)
				if id != "" && (now != id || !bytes.Equal(c.extranonce1, extranonce)) {
					t.Errorf("session %s has become %s", id, now)
				}
				id, extranonce = now, c.extranonce1
				if old.id != "" {
					fresh := c.job
					c.job = old
					c.submit("8", "a.b", 1)
					if l := c.reply("8"); l.refusal() != 21 {
						t.Errorf("a share that counted before is answered by %v", l)
					}
					c.job = fresh
				}
				c.submit("9", "a.b", 1)
				if l := c.reply("9"); !l.accepted() {
					t.Errorf("a share after coming back is answered by %v", l)
				}
				old = c.job
				_ = c.conn.Close()
				synctest.Wait()
			}
			one, _ := resume(id)
			two, other := resume(id) // taken
			three, forged := resume("00" + id[2:22] + "00")
			if other == id || forged == id {
				t.Errorf("two connections have session %s", id)
			}
			for _, c := range []*v1Client{one, two, three} {
				_ = c.conn.Close()
			}
		})
	}
}

// Ensure that a miner which came back before there was any work is given a job that counts for it, and no
// other, though the job that comes was made before it did.
func TestV1_ResumesBeforeThereIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		defer b.stop()
		var session string
		var c *v1Client
		for again := range 2 {
			c = b.dialV1()
			defer c.conn.Close()
			c.say(`{"id":1,"method":"mining.subscribe","params":["test",%q]}`, session)
			if session = c.subscribed(c.reply("1")); again == 0 {
				_ = c.conn.Close()
				synctest.Wait()
			}
		}
		round, err := b.maker.Advance(nil, template(100, 1, false))
		if err != nil {
			t.Fatal(err)
		}
		c.say(`{"id":2,"method":"mining.authorize","params":["a.b"]}`)
		c.reply("2")
		b.feed.Publish(round)
		c.await("mining.notify")
		c.submit("9", "a.b", 1)
		if l := c.reply("9"); !l.accepted() {
			t.Errorf("a share is answered by %v", l)
		}
		synctest.Wait()
		for len(c.lines) > 0 {
			if l := c.hear(); l.Method == "mining.notify" {
				t.Errorf("a further job came: %v", l)
			}
		}
	})
}

// Ensure that an extranonce is changed for those who asked for that, and only for them.
func TestV1_ChangesTheExtranonce(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		ch := b.server.Channels()[0]
		if err := b.server.SetPrefix(ch.Session, ch.Channel); !errors.Is(err, ErrStays) {
			t.Errorf("a miner that did not ask: %v", err)
		}
		c.say(`{"id":3,"method":"mining.extranonce.subscribe","params":[]}`)
		if l := c.reply("3"); !l.accepted() {
			t.Errorf("answered by %v", l)
		}
		before := c.extranonce1
		if err := b.server.SetPrefix(ch.Session, ch.Channel); err != nil {
			t.Fatal(err)
		}
		c.await("mining.notify")
		if bytes.Equal(c.extranonce1, before) || !c.job.clean {
			t.Errorf("extranonce %x, before it %x, with job %+v", c.extranonce1, before, c.job)
		}
		c.submit("4", "a.b", 1)
		if l := c.reply("4"); !l.accepted() {
			t.Errorf("a share under the new extranonce is answered by %v", l)
		}
	})
}

// Ensure that at a drain every share is answered, the miner is told to come back, and the
// connection ends without a reset.
func TestV1_DrainAnswersAndSaysWhereTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.publish(template(100, 1, false))
		c := b.dialV1()
		defer c.conn.Close()
		c.join("test", "a.b", "x")
		for n := range uint32(10) {
			c.submit("5", "a.b", n)
		}
		synctest.Wait()
		b.stop()
		answers, last := 0, ""
		for l := range c.lines {
			if l.accepted() {
				answers++
			}
			last = l.text
		}
		if answers != 10 || last != `{"id":null,"method":"client.reconnect","params":[]}` {
			t.Errorf("%d shares were answered, and the last word was %s", answers, last)
		}
	})
}

// Ensure that a worker whose power is taken away on purpose is not taken for a lost one: for hours without a
// share its connection stays, its difficulty too, and when it comes back its shares count at once.
func TestV1_OrderedSilenceIsNoLoss(t *testing.T) {
	on(t, func(c *Config) { c.MinDifficulty = 1e-9 }, func(b *bench, c *v1Client) {
		t := b.tb
		c.say(`{"id":3,"method":"mining.suggest_difficulty","params":[0.0001]}`)
		c.join("test", "a.b", "x")
		link := b.fleet.Links("a.b")[0]
		link.Expect(fleet.Expectation{Hashrate: 0})
		synctest.Wait()
		told := c.difficulty
		stop := time.Now().Add(6 * time.Hour)
		for time.Now().Before(stop) {
			if l := c.hear(); l.Method != "mining.notify" {
				t.Fatalf("in the ordered silence came %v", l)
			}
		}
		if c.difficulty != told || b.fleet.Links("a.b")[0] != link {
			t.Errorf("difficulty went from %v to %v", told, c.difficulty)
		}
		link.Expect(fleet.Expectation{Hashrate: 1e6})
		l := c.await("mining.set_difficulty")
		c.await("mining.notify")
		if want := 1e6 * 60 / 6000 / 0x1p32; c.difficulty < want/1.05 || c.difficulty > want*1.05 {
			t.Errorf("told %v, an expected hashrate asks for %v", l, want)
		}
		c.submit("7", "a.b", c.grind(c.difficulty, 1e9))
		if l := c.reply("7"); !l.accepted() {
			t.Errorf("the first share after the silence is answered by %v", l)
		}
	})
}

// Ensure that odd methods are answered as miners expect, and that a change of a channel's end is told.
func TestV1_AnswersTheSmallMethods(t *testing.T) {
	on(t, nil, func(b *bench, c *v1Client) {
		t := b.tb
		c.join("test", "a.b", "x")
		for line, want := range map[string]string{
			`{"id":9,"method":"mining.ping"}`: `"pong"`,

			`{"id":9,"method":"client.get_version","params":[]}`: `"hashlease"`,

			`{"id":9,"method":"mining.get_transactions","params":["1"]}`:                             `[]`,
			`{"id":9,"method":"mining.suggest_difficulty(1e-12)","params":[]}`:                       `true`,
			`{"id":9,"method":"mining.suggest_target","params":["` + strings.Repeat("f", 64) + `"]}`: `true`,
			`{"id":9,"method":"mining.authorize","params":["a.b"]}`:                                  `true`,
			`{"id":9,"method":"mining.suggest_difficulty","params":[-1]}`:                            `null`,
			`{"id":9,"method":"mining.authorize","params":[]}`:                                       `null`,
			`{"id":9,"method":"mining.submit","params":[]}`:                                          `null`,
			`{"id":9,"method":"mining.multi_version","params":[4]}`:                                  `null`,
		} {
			c.say("%s", line)
			if l := c.reply("9"); string(l.Result) != want || (want == "null") != (l.refusal() != 0) {
				t.Errorf("%s is answered by %v", line, l)
			}
		}
		c.say(`{"id":1,"result":"cpuminer/2.5.1","error":null}`) // to a question that was never asked
		ch := b.server.Channels()[0]
		if err := b.server.CloseChannel(ch.Session, ch.Channel, "bye"); err != nil {
			t.Fatal(err)
		}
		if l := c.await("client.show_message"); string(l.Params[0]) != `"bye"` {
			t.Errorf("got %v", l)
		}
		c.submit("3", "a.b", 1)
		if l := c.reply("3"); l.refusal() != 25 {
			t.Errorf("a share without a channel is answered by %v", l)
		}
	})
}

// Ensure that a peer that sends rubbish is told so a few times, and then loses its connection and nobody
// else's.
func TestV1_RubbishEndsItsConnectionOnly(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		good := b.dialV1()
		defer good.conn.Close()
		good.join("test", "a.good", "x")
		for name, rubbish := range map[string]string{
			"no JSON":   strings.Repeat("{nonsense}\n", 20),
			"deep":      strings.Repeat(`{"a":`+strings.Repeat("[", 4000)+"\n", 20),
			"NUL bytes": strings.Repeat("{\"id\":1,\"method\":\"\x00\"}\n", 20),

			"huge id": strings.Repeat(`{"id":"`+strings.Repeat("9", 4000)+`","method":"x"}`+"\n", 20),

			"no end":      `{"id":1,"method":"` + strings.Repeat("x", lineLimit+10),
			"long line":   `{"id":1,"method":"` + strings.Repeat("x", lineLimit+10) + `"}` + "\n",
			"half a rune": strings.Repeat("{\"id\":[1],\"method\":\"\xc3\"}\n", 20),
		} {
			c := b.dialV1()
			_, _ = io.WriteString(c.conn, rubbish)
			for l := range c.lines { // to the end
				if l.refusal() != sv1.CodeOther {
					t.Errorf("%s is answered by %v", name, l)
				}
			}
			_ = c.conn.Close()
		}
		good.submit("3", "a.good", 1)
		if l := good.reply("3"); !l.accepted() {
			t.Errorf("meanwhile a share of another is answered by %v", l)
		}
		synctest.Wait()
		if n := b.server.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// Ensure that a line that never ends, and a connection that says nothing of use, are ended in time.
func TestV1_EndsWhoKeepsItWaiting(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		for _, said := range []string{
			`{"id":1,"method":"mining.subscribe","params":[]}` + "\n" + `{"id":2,"meth`,
			`{"id":1,"method":"mining.subscribe","params":[]}` + "\n",
			`{"id":1,"method":"mining.ping"}` + "\n",
			`{"id"`,
		} {
			c := b.dialV1()
			start := time.Now()
			_, _ = io.WriteString(c.conn, said)
			for range c.lines { // to the end
			}
			if took := time.Since(start); took > 70*time.Second {
				t.Errorf("after %q the connection ended in %v", said, took)
			}
			_ = c.conn.Close()
		}
		synctest.Wait()
		if n := b.server.prefixes.Live(); n != 0 {
			t.Errorf("%d extranonces are held", n)
		}
	})
}

// Ensure that a million unknown methods are answered at the pace of a connection that pays for nothing.
func TestV1_UnknownMethodsAreSlowedDown(t *testing.T) {
	onV1(t, nil, func(b *bench) {
		t := b.tb
		c := b.dialV1()
		defer c.conn.Close()
		go func() { // ends with the connection
			for {
				if _, err := io.WriteString(c.conn, `{"id":1,"method":"x"}`+"\n"); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		answers := 0
		for time.Since(start) < 50*time.Second {
			if l := c.hear(); l.refusal() != sv1.CodeOther {
				t.Fatalf("answered by %v", l)
			}
			answers++
		}
		if most := frameBurst + 2*frameRate*50; float64(answers) > most {
			t.Errorf("%d answers in 50 s, at most %v are wanted", answers, most)
		}
	})
}
