package stratum_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts of clients anew")

// Ensure that clients as they are in the field get what the transcripts in testdata/clients say. A
// transcript is a list of blocks: what the client does, a line ----, all that the server says to it,
// an empty line. The commands are the methods of peer.
func TestServer_TalksToClientsAsTheyAre(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := talk(t, string(raw))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(raw), got); d != "" {
				t.Errorf("transcript (-want +got):\n%s", d)
			}
		})
	}
}

// deviceBuffer is the longest frame that ESP-Miner reads.
const deviceBuffer = 8 << 10

// talk plays a transcript and returns it with what the server said.
func talk(t *testing.T, text string) string {
	t.Helper()
	p := newPeer(t)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		out.WriteString(commands + "\n----\n")
		for line := range strings.SplitSeq(commands, "\n") {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				out.WriteString(p.run(line))
			}
		}
		out.WriteString("\n")
	}
	if p.longest > deviceBuffer {
		t.Errorf("a frame of %d bytes came, the smallest devices take %d", p.longest, deviceBuffer)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// peer is a client that does what a transcript says, on a server of its own whose clock and chain are
// made up.
type peer struct {
	*miner

	w      *world
	height int32
	blocks byte
	fees   int64
}

// chainTime is when the made-up blocks were found.
const chainTime = 1_800_000_000

func newPeer(t *testing.T) *peer {
	t.Helper()
	w := newWorld(t, func(c *stratum.Config) {
		c.MinDifficulty, c.AckEvery = 1e-9, 1
		c.SharesPerMinute, c.OpeningShares = 2, 0 // so few that no pause of a test is evidence
	})
	p := &peer{w: w, height: 900_000}
	p.publish(p.template(12, false))
	p.miner = newMiner(t, w.dial())
	return p
}

// template has so many levels of merkle path.
func (p *peer) template(levels int, newBlock bool) *pool.Template {
	if newBlock {
		p.height++
		p.blocks++
	}
	p.fees++
	t := &pool.Template{
		Tip:     pool.Tip{Height: p.height, Bits: hardBits, MinTime: chainTime + 600*uint32(p.blocks)},
		Version: 0x20000000, Value: 3_1250_0000 + p.fees,
		Next: pool.NextBlock{Version: 0x20000000, Value: 3_1250_0000},
	}
	t.Prev[0], t.Prev[31] = p.blocks+1, 1
	t.Time = t.MinTime + 60
	if levels > 0 {
		t.Txs = make([]pool.Tx, 1<<(levels-1))
		for i := range t.Txs {
			t.Txs[i].ID = chainhash.Hash{byte(i), byte(i >> 8), byte(i >> 16), byte(p.fees)}
		}
		t.Txs[0].Fee = p.fees
		t.Commitment = new(chainhash.Hash)
	}
	return t
}

func (p *peer) publish(t *pool.Template) { p.w.publish(t) }

// words are those of a command: key=value, where _ stands for a space.
type words struct {
	t    *testing.T
	keys map[string]string
}

func (a words) text(key, def string) string {
	if s, ok := a.keys[key]; ok {
		return strings.ReplaceAll(s, "_", " ")
	}
	return def
}

func (a words) number(key string, def uint64) uint64 {
	s, ok := a.keys[key]
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		a.t.Fatalf("%s=%s: %v", key, s, err)
	}
	return n
}

func (a words) rate(key string) float32 {
	f, err := strconv.ParseFloat(a.text(key, "0"), 32)
	if err != nil {
		a.t.Fatalf("%s: %v", key, err)
	}
	return float32(f)
}

// target is that of a work in hashes; every hash is below the one of 1.
func (a words) target(key string) [32]byte {
	n := a.number(key, 1)
	if n == 1 {
		return pool.MaxTarget.Bytes()
	}
	return pool.TargetForHashes(float64(n)).Bytes()
}

// run does what a line says and is what the server said to that.
func (p *peer) run(line string) string {
	name, rest, _ := strings.Cut(line, " ")
	a := words{t: p.t, keys: map[string]string{}}
	for w := range strings.FieldsSeq(rest) {
		k, v, _ := strings.Cut(w, "=")
		a.keys[k] = v
	}
	do, ok := map[string]func(words){
		"setup": p.setup, "extensions": p.extensions, "open-standard": p.openStandard,
		"open-extended": p.openExtended, "update": p.update, "close": p.close, "share": p.share,
		"block": p.block, "template": p.fresh, "drain": p.drain,
	}[name]
	if !ok {
		p.t.Fatalf("unknown command %q", line)
	}
	p.said.Reset()
	do(a)
	if !p.over {
		p.fence()
	}
	return p.said.String()
}

// setup [protocol=] [min=] [max=] [flags=] [vendor=] [hardware=] [firmware=] [device=]
func (p *peer) setup(a words) {
	send(p.t, p.c, sv2.SetupConnection{
		Protocol: uint8(a.number("protocol", 0)), MinVersion: uint16(a.number("min", 2)),
		MaxVersion: uint16(a.number("max", 2)), Flags: uint32(a.number("flags", 0)), Host: "pool", Port: 3336,
		Vendor: a.text("vendor", ""), HardwareVersion: a.text("hardware", ""), Firmware: a.text("firmware",
			""),
		DeviceID: a.text("device", ""),
	})
}

// extensions id=ID wants=NUMBER
func (p *peer) extensions(a words) {
	send(p.t, p.c, sv2.RequestExtensions{
		RequestID: uint16(a.number("id", 1)), Requested: []uint16{uint16(a.number("wants", 2))},
	})
}

// open-standard request= user= [nominal=H/s] [max=HASHES]
func (p *peer) openStandard(a words) {
	send(p.t, p.c, sv2.OpenStandardMiningChannel{
		RequestID: uint32(a.number("request", 1)), UserIdentity: a.text("user", ""),
		NominalHashRate: a.rate("nominal"), MaxTarget: a.target("max"),
	})
}

// open-extended request= user= size= [nominal=H/s] [max=HASHES]
func (p *peer) openExtended(a words) {
	send(p.t, p.c, sv2.OpenExtendedMiningChannel{
		RequestID: uint32(a.number("request", 1)), UserIdentity: a.text("user", ""),
		NominalHashRate: a.rate("nominal"), MaxTarget: a.target("max"),
		MinExtranonceSize: uint16(a.number("size", 0)),
	})
}

// update channel= [nominal=H/s] [max=HASHES]
func (p *peer) update(a words) {
	send(p.t, p.c, sv2.UpdateChannel{
		ChannelID: uint32(a.number("channel", 0)), NominalHashRate: a.rate("nominal"),
		MaxTarget: a.target("max"),
	})
}

// close channel= [reason=]
func (p *peer) close(a words) {
	send(p.t, p.c, sv2.CloseChannel{ChannelID: uint32(a.number("channel", 0)), Reason: a.text("reason", "")})
}

// share channel= [job=ID] [later=SECONDS] [roll=BITS] [name=]: one that is mined, on the newest active
// job unless told otherwise, with a time and version changed; its TLV is little-endian
func (p *peer) share(a words) {
	ch := p.channels[uint32(a.number("channel", 0))]
	if ch == nil {
		p.t.Fatal("no such channel")
	}
	j := ch.active
	if id := uint32(a.number("job", 0)); id != 0 {
		j = ch.jobs[id]
	}
	frame := p.mine(ch, j, uint32(a.number("later", 0)), uint32(a.number("roll", 0)))
	if name, ok := a.keys["name"]; ok {
		frame = sv2.AppendTLV(frame, 0, sv2.TLV{
			Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte(name),
		})
	}
	h := sv2.ParseHeader([6]byte(frame[:6]))
	if err := p.c.SendRaw(h.Extension, h.Type, frame[6:]); err != nil {
		p.t.Fatal(err)
	}
	p.until("an answer to the share", func(m sv2.Message) bool {
		switch m.(type) {
		case sv2.SubmitSharesSuccess, sv2.SubmitSharesError:
			return true
		}
		return false
	})
}

// block [levels=N]: somebody found a block; the next has so many levels of merkle path
func (p *peer) block(a words) { p.news(p.template(int(a.number("levels", 12)), true)) }

// template [levels=N]: other transactions on the same block
func (p *peer) fresh(a words) { p.news(p.template(int(a.number("levels", 12)), false)) }

func (p *peer) news(t *pool.Template) {
	p.publish(t)
	p.until("new work", func(sv2.Message) bool { return true })
}

// drain: the server is shut down in order
func (p *peer) drain(words) {
	stopped := make(chan error, 1)
	go func() { stopped <- p.w.server.Shutdown(p.t.Context()) }() // ends with the drain
	for {
		f, err := p.c.Next(stratumtest.AwaitFor)
		if err != nil {
			p.over = true
			fmt.Fprintln(&p.said, "end of the connection")
			break
		}
		p.take(f)
	}
	if err := <-stopped; err != nil {
		p.t.Fatal(err)
	}
}

// within is how long an answer may take.
const within = 5 * time.Second
