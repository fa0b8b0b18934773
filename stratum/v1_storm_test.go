package stratum

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// storming is a miner that connects again and again, and hangs up in the midst of whatever it did.
type storming struct {
	address string
	user    string
	session string // of a connection before
	mined   int    // connections that got a job
}

// run is one connection. It ends at the way-th place; that the server refused it is no fault.
func (m *storming) run(way int) error {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", m.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	open := fmt.Sprintf(`{"id":1,"method":"mining.subscribe","params":["cgminer/4.11.1",%q]}`+"\n", m.session)
	user := fmt.Sprintf(`{"id":2,"method":"mining.authorize","params":[%q,"x"]}`+"\n", m.user)
	share := fmt.Sprintf(`{"id":3,"method":"mining.submit","params":[%q,"1","","0","0"]}`+"\n", m.user)
	said := []string{"", open[:20], open, open + user[:30], open + user, user + open + share, user}[way%7]
	if _, err := io.WriteString(conn, said); err != nil {
		return nil // it was refused
	}
	switch way % 3 {
	case 0: // hangs up without a word
	case 1: // loses its network
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 2:
		m.read(conn, strings.Contains(said, open) && strings.Contains(said, user))
	}
	return nil
}

// read takes what comes up to the first job, if there will be one, and the id to resume the session by.
func (m *storming) read(conn net.Conn, mines bool) {
	for in := bufio.NewScanner(conn); mines && in.Scan(); {
		line := in.Text()
		_, session, subscribed := strings.Cut(line, `"mining.notify","`)
		switch {
		case strings.Contains(line, `"method":"mining.notify"`):
			m.mined++
			return
		case subscribed:
			m.session, _, _ = strings.Cut(session, `"`)
		case strings.Contains(line, `"error":[`): // no channel is free
			return
		}
	}
}

// Ensure that miners which come back again and again, and hang up at any moment, stay within the bounds, hold
// nothing when they have gone, and cost an honest miner beside them no share and no connection.
func TestV1_SurvivesAStormOfReconnects(t *testing.T) {
	const miners, times, sessions, channels = 24, 70, 20, 12
	b := newBench(t, func(c *Config) {
		c.MaxDifficulty, c.MaxSessions, c.MaxAllChannels = c.MinDifficulty, sessions, channels
		c.HandshakeRate, c.OpenRate = 1e6, 1e6
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.wg.Go(func() { _ = b.server.Run(context.Background()) })
	b.wg.Go(func() { _ = b.server.Serve(ln) })
	defer b.stop()
	b.publish(template(100, 1, false))
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	honest := newV1Client(t, conn)
	honest.join("cgminer/4.11.1", "alice.one", "x")

	var storm sync.WaitGroup
	all := make([]storming, miners)
	for i := range all {
		m := &all[i]
		m.address, m.user = ln.Addr().String(), fmt.Sprintf("mallory.%d", i)
		storm.Go(func() {
			for n := range times {
				if err := m.run(i + n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { // ends with the storm
		storm.Wait()
		close(over)
	}()
	shares := b.mineUntil(honest, over, func() {
		st := b.server.Stats()
		if n := b.server.prefixes.Live(); st.Sessions > sessions || st.Channels > channels || n > sessions {
			t.Errorf("%d connections, %d channels and %d prefixes at one time", st.Sessions, st.Channels, n)
		}
	})
	mined := 0
	for i := range all {
		mined += all[i].mined
	}
	t.Logf("%d connections, %d of them mined, %d refused; %d honest shares beside them",
		miners*times, mined, b.server.Stats().ConnectionsRefused, shares)
	if mined == 0 {
		t.Error("nobody of the storm ever had a job")
	}
	await(t, func() bool { return b.server.Stats().Sessions == 1 })
	q := b.server.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if live, n := b.server.prefixes.Live(), b.server.sources.total(); live != 1 || n != 1 || q.all != 1 ||
		len(q.account) != 1 || q.account[pool.AccountID("alice")] != 1 || len(q.address) != 1 {
		t.Errorf("left are %d prefixes, %d connections by address, %d channels: %v",
			live, n, q.all, q.account)
	}
}

// mineUntil lets a miner submit share after share, each of which must be accepted, until over is closed, and
// ten at least. It looks around in between.
func (b *bench) mineUntil(c *v1Client, over <-chan struct{}, look func()) (shares int) {
	b.tb.Helper()
	target := pool.TargetForDifficulty(c.difficulty)
	for nonce := uint32(0); ; nonce++ {
		if h := c.hash(nil, nonce); !target.Meets(&h) {
			continue
		}
		id := fmt.Sprint(100 + nonce)
		c.submit(id, "alice.one", nonce)
		if l := c.reply(id); !l.accepted() {
			b.tb.Errorf("an honest share is answered by %v", l)
		}
		look()
		if shares++; shares < 10 {
			continue
		}
		select {
		case <-over:
			return shares
		default:
		}
	}
}
