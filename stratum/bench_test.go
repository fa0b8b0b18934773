package stratum

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// serveTCP runs the server on a loopback port until the benchmark ends.
func (b *bench) serveTCP() string {
	b.tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.tb.Fatal(err)
	}
	b.wg.Go(func() { _ = b.server.Run(context.Background()) })
	b.wg.Go(func() { _ = b.server.Serve(ln) })
	b.tb.Cleanup(b.stop)
	return ln.Addr().String()
}

// connect is a set-up connection with an open channel.
func (b *bench) connect(address string, open sv2.Message) *noise.Conn {
	b.tb.Helper()
	dialer := net.Dialer{}
	raw, err := dialer.Dial("tcp", address)
	if err != nil {
		b.tb.Fatal(err)
	}
	conn, err := noise.Connect(raw, nil, time.Now())
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write(open.AppendFrame(sv2.SetupConnection{
		MinVersion: 2, MaxVersion: 2, Vendor: "bench", HardwareVersion: "S21", Firmware: "1.0",
	}.AppendFrame(nil)))
	if err != nil {
		b.tb.Fatal(err)
	}
	return conn
}

func openStandard() sv2.Message {
	return sv2.OpenStandardMiningChannel{UserIdentity: "a.b", MaxTarget: pool.MaxTarget.Bytes()}
}

func waitUntil(ok func() bool) {
	for !ok() {
		time.Sleep(time.Millisecond)
	}
}

// used is memory in use: heap and stacks.
func used() uint64 {
	for range 4 { // stacks shrink by half at each
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkServer_IdleConnection reports what a connection with one channel costs while nothing comes.
// The other end is in this process too: its part is measured and left out.
func BenchmarkServer_IdleConnection(b *testing.B) {
	const n = 1000
	be := newBench(b, nil)
	address := be.serveTCP()
	be.publish(template(100, 1, false))
	for range b.N {
		before := used()
		conns := make([]*noise.Conn, n)
		for i := range conns {
			conns[i] = be.connect(address, openStandard())
		}
		waitUntil(func() bool { return be.server.prefixes.Live() == n })
		time.Sleep(10 * time.Millisecond)
		all := used() - before
		for _, c := range conns {
			_ = c.Close()
		}
		waitUntil(func() bool { return be.server.Stats().Sessions == 0 })
		rest := used() - before // the clients' ends, closed but not yet given back
		runtime.KeepAlive(conns)
		b.ReportMetric(float64(int64(all-rest))/n, "B/conn")
	}
}

// BenchmarkServer_Broadcast reports the time from a round's publication to the last of 1,000
// connections having read the new tip.
func BenchmarkServer_Broadcast(b *testing.B) {
	const n = 1000
	be := newBench(b, nil)
	address := be.serveTCP()
	be.publish(template(100, 1, false))
	var tips atomic.Int64
	for range n {
		conn := be.connect(address, openStandard())
		go func() { // ends with the connection
			buf := make([]byte, 1024)
			for {
				raw, err := conn.ReadHeader()
				if err != nil {
					return
				}
				if _, err = conn.ReadPayload(buf); err != nil {
					return
				}
				if raw[2] == sv2.TypeSetNewPrevHash {
					tips.Add(1)
				}
			}
		}()
	}
	waitUntil(func() bool { return tips.Load() == n })
	b.ResetTimer()
	for i := range b.N {
		tips.Store(0)
		be.publish(template(101+int32(i), byte(i), true))
		for tips.Load() < n {
			runtime.Gosched()
		}
	}
	b.StopTimer()
	ms := float64(b.Elapsed().Milliseconds()) / float64(b.N)
	b.ReportMetric(ms, "ms/tip")
	b.ReportMetric(ms*1000/n, "us/conn")
}

// BenchmarkServer_Share is the server's own path of a share: handled, judged, credited, acknowledged.
func BenchmarkServer_Share(b *testing.B) {
	be := newBench(b, nil)
	be.server.difficulty.Ceiling = be.server.difficulty.Floor // the target stays
	s, client := be.tcpSession()
	go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
	be.publish(template(100, 1, false))
	now := time.Now()
	s.setUp = true
	s.open(opening{identity: "a.b", kind: pool.Standard, maxTarget: pool.MaxTarget}, now)
	frame := share(firstGroup+1, 2, 0).AppendFrame(nil)
	h := sv2.ParseHeader([sv2.HeaderSize]byte(frame))
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if s.nextJob > 3 { // a fresh job, because the set of the one before is nearly full
			binary.LittleEndian.PutUint32(frame[sv2.HeaderSize+8:], s.nextJob)
		}
		binary.LittleEndian.PutUint32(frame[sv2.HeaderSize+12:], uint32(i)) // nonce
		if err := s.handle(h, frame[sv2.HeaderSize:], now); err != nil {
			b.Fatal(err)
		}
		if i%64 == 63 {
			batch = s.shard.swapAccepted(batch)
			s.shard.commitBatch(b.Context(), batch, &sum)
			s.shard.settle(batch)
		}
	}
	b.StopTimer()
	if n := be.server.counts.accepted.Load(); n < uint64(b.N) {
		b.Errorf("%d shares of %d were accepted: %v", n, b.N, be.server.Stats().Rejected)
	}
}

// sealedShares is a connection whose shares were sealed ahead, so that only the server's work is measured.
type sealedShares struct {
	net.Conn
	bytes.Reader
}

func (c *sealedShares) Read(p []byte) (int, error)     { return c.Reader.Read(p) }
func (c *sealedShares) Write(p []byte) (int, error)    { return len(p), nil }
func (c *sealedShares) tryWrite(p []byte) (int, error) { return len(p), nil }

// publishFull gives everybody a job of 3,000 transactions.
func (b *bench) publishFull() {
	b.tb.Helper()
	t := template(100, 1, false)
	for i := range 3000 {
		raw := binary.LittleEndian.AppendUint64(nil, uint64(i))
		t.Txs = append(t.Txs, pool.Tx{Raw: raw, ID: chainhash.DoubleHashH(raw), Fee: 1000, Cost: 1000})
		t.Value += 1000
	}
	if r := b.publish(t); len(r.Full.Path) != 12 {
		b.tb.Fatalf("%d levels", len(r.Full.Path))
	}
}

// BenchmarkServer_ShareExtended is all that the server computes for a share of an extended channel: the
// frame is opened, coinbase, 12 levels of the merkle tree and header are hashed, and every 16 are
// credited and acknowledged. Nothing goes through the kernel.
func BenchmarkServer_ShareExtended(b *testing.B) {
	const chunk, ackEvery = 1024, 16
	be := newBench(b, nil)
	be.server.difficulty.Ceiling = be.server.difficulty.Floor // the target stays
	be.publishFull()
	near, far := net.Pipe()
	s, client := be.session(near, far)
	wire := &sealedShares{Conn: far}
	s.out.conn, s.conn.Conn = wire, wire
	now := time.Now()
	s.setUp = true
	s.open(opening{identity: "a.b", kind: pool.Extended, maxTarget: pool.MaxTarget}, now)
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	var plain, sealed, buf []byte
	buf = make([]byte, 512)
	share := sv2.SubmitSharesExtended{
		ChannelID: firstGroup + 1, Time: uint32(now.Unix()), Version: 0x20000000,
		Extranonce: make([]byte, rollSize),
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%chunk == 0 {
			b.StopTimer()
			if share.JobID = 2; s.nextJob > 3 { // a fresh job: the set of the one before is nearly full
				share.JobID = s.nextJob
			}
			sealed = sealed[:0]
			for n := range chunk {
				share.Sequence = uint32(i + n)
				binary.LittleEndian.PutUint32(share.Extranonce, uint32(i+n))
				plain = share.AppendFrame(plain[:0])
				sealed = client.AppendFrame(sealed, plain)
			}
			wire.Reset(sealed)
			b.StartTimer()
		}
		raw, err := s.conn.ReadHeader()
		if err != nil {
			b.Fatal(err)
		}
		payload, err := s.conn.ReadPayload(buf)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.handle(sv2.ParseHeader(raw), payload, now); err != nil {
			b.Fatal(err)
		}
		if i%ackEvery == ackEvery-1 {
			batch = s.shard.swapAccepted(batch)
			s.shard.commitBatch(b.Context(), batch, &sum)
			s.shard.settle(batch)
		}
	}
	b.StopTimer()
	c := &be.server.counts
	if n := c.accepted.Load(); n < uint64(b.N) || c.acknowledged.Load() < uint64(b.N/ackEvery*ackEvery) {
		b.Errorf("%d shares of %d were accepted, %d acknowledged: %v",
			n, b.N, c.acknowledged.Load(), be.server.Stats().Rejected)
	}
}

// BenchmarkServer_ShareToDurable is the same through sockets and the committer, on 100 connections.
func BenchmarkServer_ShareToDurable(b *testing.B) {
	const n = 100
	be := newBench(b, func(c *Config) { c.MinDifficulty = 1e-9 })
	address := be.serveTCP()
	be.publish(template(100, 1, false))
	conns := make([]*noise.Conn, n)
	for i := range conns {
		conns[i] = be.connect(address, openStandard())
		go func() { _, _ = io.Copy(io.Discard, conns[i].Conn) }() // ends with the connection
	}
	waitUntil(func() bool { return be.server.prefixes.Live() == n })
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		m := share(firstGroup+1, 2, uint32(i))
		if _, err := conns[i%n].Write(m.AppendFrame(nil)); err != nil {
			b.Fatal(err)
		}
	}
	waitUntil(func() bool { return be.server.counts.submitted.Load() >= uint64(b.N) })
	b.StopTimer()
	st := be.server.Stats()
	b.ReportMetric(float64(st.Accepted)/float64(b.N), "accepted/op")
	b.ReportMetric(float64(st.ShareToAck.P99.Milliseconds()), "p99-ack-ms")
}
