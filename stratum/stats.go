package stratum

import (
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// counters are the server's own; all atomic, because every goroutine counts.
type counters struct {
	handshakes   atomic.Uint64
	failed       atomic.Uint64 // handshakes
	refused      atomic.Uint64 // connections
	throttled    atomic.Uint64 // frames that their session waited after
	submitted    atomic.Uint64
	accepted     atomic.Uint64
	durable      atomic.Uint64
	acknowledged atomic.Uint64
	blocks       atomic.Uint64
	malformed    atomic.Uint64 // lines that are no requests
	unnamed      atomic.Uint64 // shares without a name, though names were negotiated
	crowded      atomic.Uint64 // shares whose name had no place
	misnamed     atomic.Uint64 // names that were refused

	tipToLastJob histogram
	shareToAck   histogram

	rejected [pool.Rejects]atomic.Uint64 // by reason
}

// Stats are the server's figures at one moment.
type Stats struct {
	Sessions, Channels int
	Handshakes         uint64 // completed; of Stratum V1, first lines
	HandshakesFailed   uint64
	ConnectionsRefused uint64 // over a bound, or draining
	Throttled          uint64 // frames after which a session that spent too much was made to wait
	Backlog            int64  // bytes that wait for peers which read slowly
	Submitted          uint64 // shares read
	Accepted           uint64 // shares found valid
	Durable            uint64 // of these, journaled
	Acknowledged       uint64 // of these, acknowledged on the wire
	Blocks             uint64
	Rejected           map[string]uint64 // shares by SV2 reason code
	Names              int               // workers behind proxies that are known by name
	SharesUnnamed      uint64            // shares without a name, though names were negotiated
	SharesCrowded      uint64            // shares credited to the proxy: no place for their name
	NamesRefused       uint64
	Hashrate           unit.Hashrate // sum over channels, from credited work
	Ports              []PortStats   // in no order
	TipToLastJob       Latency       // round known to the last session's write
	ShareToAck         Latency       // share read to its acknowledgement written
}

// ChannelStats is one channel at one moment, for people.
type ChannelStats struct {
	Session    uint64
	Channel    uint32
	Kind       pool.Kind
	Worker     pool.WorkerID
	Device     Device
	Dialect    Dialect // of its connection
	Since      time.Time
	LastShare  time.Time // zero before the first
	Accepted   uint64
	Rejected   uint64
	Difficulty float64
	Hashrate   unit.Hashrate
	Power      bool          // speaks the power extension
	Report     PowerReport   // what its device said by it
	Prefix     []byte        // of its extranonces
	Payout     pool.Payout   // whom the coinbase of its jobs pays
	Names      int           // workers behind a proxy that it is known to stand for
	Named      []WorkerStats // each of them; their figures are part of the channel's
}

// Stats copies the server's figures.
func (s *Server) Stats() Stats {
	c := &s.counts
	st := Stats{
		Handshakes: c.handshakes.Load(), HandshakesFailed: c.failed.Load(),
		ConnectionsRefused: c.refused.Load(), Throttled: c.throttled.Load(), Backlog: s.backlog.Load(),
		Submitted: c.submitted.Load(), Accepted: c.accepted.Load(), Durable: c.durable.Load(),
		Acknowledged: c.acknowledged.Load(), Blocks: c.blocks.Load(),
		TipToLastJob: c.tipToLastJob.latency(), ShareToAck: c.shareToAck.latency(),
		Rejected: map[string]uint64{}, Names: int(s.names.Load()),
		SharesUnnamed: c.unnamed.Load(), SharesCrowded: c.crowded.Load(), NamesRefused: c.misnamed.Load(),
	}
	for r := range c.rejected {
		if n := c.rejected[r].Load(); n > 0 {
			st.Rejected[pool.Reject(r).Code()] += n
		}
	}
	now := time.Now()
	for _, sh := range s.shards {
		for _, se := range sh.list() {
			se.addTo(&st, now)
		}
	}
	s.mu.Lock()
	st.Sessions = s.sessions
	for ln, p := range s.listeners {
		one := p.stats()
		one.Address = ln.Addr().String()
		st.Ports = append(st.Ports, one)
	}
	s.mu.Unlock()
	return st
}

// Channels copies every live channel's figures, in no order.
func (s *Server) Channels() []ChannelStats {
	now := time.Now()
	var all []ChannelStats
	for _, sh := range s.shards {
		for _, se := range sh.list() {
			all = se.appendStats(all, now)
		}
	}
	return all
}
