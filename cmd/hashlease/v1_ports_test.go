package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// perAddress is how many connections one address may have in the tests of ports.
const perAddress = 48

// addPort adds a further port for miners to the configuration on disk and returns its address.
func (s *site) addPort(lines string) string {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, configFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	address := freeAddress(s.t)
	if _, err := fmt.Fprintf(f, "\n[[stratum.port]]\nlisten = %q\n%s\n", address, lines); err != nil {
		s.t.Fatal(err)
	}
	return address
}

// roots trusts the certificate authority of the server, which has to have started.
func (s *site) roots() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.caFile())
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		s.t.Fatalf("no certificate in %s", pem)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// handMiner is a miner of Stratum V1 that makes one share when it is told to.
type handMiner struct {
	*stratumtest.V1Client

	t    *testing.T
	hand *stratumtest.V1Hand
}

// openV1 connects, over TLS if there is a configuration for it, says what a proxy says first, and waits for
// work that takes 100,000 hashes a share.
func (s *site) openV1(address, first, worker string, secure *tls.Config) *handMiner {
	s.t.Helper()
	profile, err := stratumtest.V1ProfileNamed("cpuminer")
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := stratumtest.DialV1(s.t.Context(), address, secure)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	m := &handMiner{c, s.t, &stratumtest.V1Hand{Profile: profile, Name: worker}}
	account := stratumtest.V1Account{Name: worker, Password: "d=0.000023"}
	err = c.SendBytes([]byte(first + m.hand.Opening(stratumtest.V1Subscribe, account) + "\n" +
		m.hand.Opening(stratumtest.V1Authorize, account) + "\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	m.until("a job", func(m *stratumtest.V1Message) bool { return m.Method == "mining.notify" })
	return m
}

// until reads and follows messages up to one.
func (m *handMiner) until(what string, wanted func(*stratumtest.V1Message) bool) (msg stratumtest.V1Message) {
	m.t.Helper()
	for {
		msg, err := m.Next(20 * time.Second)
		if err == nil {
			err = m.hand.Follow(&msg)
		}
		if err != nil {
			m.t.Fatalf("awaiting %s: %v", what, err)
		}
		if wanted(&msg) {
			return msg
		}
	}
}

// mine makes a share and waits until it is accepted. A share may be late: the chain does not wait for us.
func (m *handMiner) mine() {
	m.t.Helper()
	for {
		line, err := m.hand.Mine(stratumtest.V1Share{})
		if err == nil {
			err = m.Send(line)
		}
		if err != nil {
			m.t.Fatal(err)
		}
		reply := m.until("the answer to a share", func(m *stratumtest.V1Message) bool {
			return m.Method == ""
		})
		code, words := reply.Refusal()
		if words == "" && string(reply.Result) == "true" {
			return
		}
		if code != staleV1 {
			m.t.Fatalf("a share of %s was answered with %s", m.hand.Name, reply.Line)
		}
	}
}

// staleV1 is the code of a share whose job is over.
const staleV1 = 21

// sharesOf is what the ledger has of a worker.
func (s *site) sharesOf(worker string) uint64 {
	s.t.Helper()
	var rows []shareRow
	s.decode(&rows, "shares", "--json")
	for _, r := range rows {
		if r.Worker == worker {
			return r.Shares
		}
	}
	return 0
}

// connectionsOn is what the status says of a port, by dialect.
func (s *site) connectionsOn(address string) map[string]string {
	s.t.Helper()
	var v struct {
		Pool struct {
			Ports []struct {
				Listen      string            `json:"listen"`
				Connections map[string]string `json:"connections"`
			} `json:"ports"`
		} `json:"pool"`
	}
	s.decode(&v, "status", "--json")
	for _, p := range v.Pool.Ports {
		if p.Listen == address {
			return p.Connections
		}
	}
	return nil
}

// Ensure that miners of Stratum V1 mine to the ledger on the main port beside those of V2, over TLS and
// behind a proxy; that who is behind one is shown and bound by the address it has there, and that nobody
// else may say so; and that a hand-over refuses no connection on any port.
func TestProgram_ServesFurtherPorts(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newTestSite(t, 8)
	for _, key := range []string{"connections_per_address", "handshakes_per_address"} {
		s.configure(`(?m)^`+key+` = .*$`, fmt.Sprintf("%s = %d", key, perAddress))
	}
	secured := s.addPort("tls = true")
	trusted := s.addPort(`proxy_from = ["127.0.0.0/8"]`)
	closed := s.addPort(`proxy_from = ["192.0.2.0/24"]`)
	s.startServer()
	s.runMiners()
	s.awaitMiners(8)

	const behind = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n"
	s.openV1(s.listen[0], "", "ports.main", nil).mine()
	s.openV1(secured, "", "ports.secured", s.roots()).mine()
	s.openV1(trusted, behind, "ports.proxied", nil).mine()
	for worker, address := range map[string]string{
		"ports.main": "127.0.0.1:", "ports.secured": "127.0.0.1:", "ports.proxied": "203.0.113.7:4711",
	} {
		if n := s.sharesOf(worker); n != 1 {
			t.Errorf("the ledger has %d shares of %s, 1 was acknowledged", n, worker)
		}
		all := s.channelsOf(worker)
		if len(all) != 1 || all[0].Dialect != "v1" || !strings.HasPrefix(all[0].Address, address) {
			t.Errorf("channels of %s: %+v", worker, all)
		}
	}
	s.mineOneShare() // over V2
	if n := s.sharesOf("scripted.one"); n != 1 {
		t.Errorf("the ledger has %d shares of a miner of V2, 1 was acknowledged", n)
	}
	second, _, _ := s.openScripted()
	defer second.Close()
	if all := s.channelsOf("scripted.one"); len(all) == 0 || all[len(all)-1].Dialect != "v2" {
		t.Errorf("channels of a miner of V2: %+v", all)
	}
	if on := s.connectionsOn(s.listen[0]); on["v1"] == "0" || on["v2"] == "0" || len(on) != 2 {
		t.Errorf("on the main port are %v", on)
	}
	if on := s.connectionsOn(secured); on["v1"] != "1" || on["v2"] != "0" {
		t.Errorf("on the port with TLS are %v", on)
	}
	s.refuseFrom(trusted, behind, perAddress-1)
	s.refuseFrom(closed, behind, 0)
	s.openV1(closed, "", "ports.direct", nil).mine()
	s.checkPortsChangeHands(s.listen[0], secured)
	s.stop()
}

// refuseFrom has so many connections that begin with a header served, and the next one refused.
func (s *site) refuseFrom(address, header string, served int) {
	s.t.Helper()
	const hello = `{"id":1,"method":"mining.subscribe","params":["a miner that comes too often"]}` + "\n"
	var all []*stratumtest.V1Client
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	for i := range served + 1 {
		c, err := stratumtest.DialV1(s.t.Context(), address, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, c)
		_ = c.SendBytes([]byte(header + hello)) // it may be closed already
		if i == served {
			if m, err := c.Next(20 * time.Second); err == nil {
				s.t.Errorf("connection %d is answered: %s", i+1, m.Line)
			} else if errors.Is(err, os.ErrDeadlineExceeded) {
				s.t.Errorf("connection %d is not refused", i+1)
			}
		} else if _, err := c.AwaitReply("1", 20*time.Second); err != nil {
			s.t.Fatalf("connection %d of %d: %v", i+1, served, err)
		}
	}
}

// checkPortsChangeHands hands over while miners knock at two ports, one of which has TLS.
func (s *site) checkPortsChangeHands(plain, secured string) {
	s.t.Helper()
	secure := s.roots()
	knocks := map[string]*knocker{
		plain: {connect: func(ctx context.Context) (io.Closer, error) {
			return stratumtest.Dial(ctx, plain, &s.authority)
		}},
		secured: {connect: func(ctx context.Context) (io.Closer, error) {
			return stratumtest.DialV1(ctx, secured, secure)
		}},
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var knocking sync.WaitGroup
	for _, k := range knocks {
		knocking.Go(func() { k.run(ctx) })
	}
	s.handOver()
	s.openV1(plain, "", "ports.main", nil).mine()
	s.openV1(secured, "", "ports.secured", secure).mine()
	cancel()
	knocking.Wait()
	for address, k := range knocks {
		if k.refused != 0 || k.served == 0 {
			s.t.Errorf("%s: %d connections were refused, %d cut, %d served",
				address, k.refused, k.cut, k.served)
		}
	}
	for _, worker := range []string{"ports.main", "ports.secured"} {
		if n := s.sharesOf(worker); n != 2 {
			s.t.Errorf("after the hand-over the ledger has %d shares of %s, 2 were acknowledged", n, worker)
		}
	}
}
