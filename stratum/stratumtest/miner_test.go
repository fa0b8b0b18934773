package stratumtest

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Easy work: one share in ten hashes.
var easy = pool.TargetForHashes(10)

// hashOf is the hash of a share by the plain definition of a header, under the tip of firstJob.
func hashOf(version uint32, root [32]byte, ntime, nonce uint32) [32]byte {
	prev, bits := [32]byte{9}, uint32(0x1d00ffff)
	var h [80]byte
	binary.LittleEndian.PutUint32(h[0:], version)
	copy(h[4:], prev[:])
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], ntime)
	binary.LittleEndian.PutUint32(h[72:], bits)
	binary.LittleEndian.PutUint32(h[76:], nonce)
	first := sha256.Sum256(h[:])
	return sha256.Sum256(first[:])
}

// Ensure that every share is a real proof of work on the job that it names, with rising sequence numbers.
func TestMiner_SubmitsSharesThatMeetTheTarget(t *testing.T) {
	p := newScriptedPool(t)
	m := start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	c := p.accept()
	openPlain(t, c, easy)
	firstJob(t, c, 3)
	for i := range uint32(20) {
		s := must[sv2.SubmitSharesStandard](t, c)
		if s.ChannelID != 7 || s.JobID != 3 || s.Sequence != i+1 || s.Time < 1000 {
			t.Fatalf("share %d is %+v", i, s)
		}
		hash := hashOf(s.Version, [32]byte{3}, s.Time, s.Nonce)
		if !easy.Meets(&hash) {
			t.Fatalf("share %d does not meet the target", i)
		}
	}
	if st := m.Stats(); st.Submitted < 20 || !st.Mining || st.Hashes < 20 {
		t.Fatalf("stats are %+v", st)
	}
}

// Ensure that acknowledgements and rejects are counted, the latter by code.
func TestMiner_CountsAnswers(t *testing.T) {
	p := newScriptedPool(t)
	m := start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	c := p.accept()
	openPlain(t, c, easy)
	firstJob(t, c, 3)
	must[sv2.SubmitSharesStandard](t, c)
	send(
		t, c,
		sv2.SubmitSharesSuccess{ChannelID: 7, LastSequence: 1, Accepted: 16, SharesSum: 16},
		sv2.SubmitSharesError{ChannelID: 7, Sequence: 1, Code: "stale-share"},
		sv2.SubmitSharesError{ChannelID: 7, Sequence: 1, Code: "stale-share"},
		// The answer to the close below proves that all of it was read.
		sv2.CloseChannel{ChannelID: 7, Reason: "test"},
	)
	p.accept()
	if st := m.Stats(); st.Acked != 16 || st.Rejected["stale-share"] != 2 {
		t.Fatalf("stats are %+v", st)
	}
}

// Ensure that a lost connection, and one closed by the pool, are followed by a new one with a new channel.
func TestMiner_ReconnectsAfterLoss(t *testing.T) {
	p := newScriptedPool(t)
	m := start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	for range 3 {
		c := p.accept()
		openPlain(t, c, easy)
		firstJob(t, c, 3)
		if s := must[sv2.SubmitSharesStandard](t, c); s.Sequence != 1 {
			t.Fatalf("sequence begins at %d on a new channel", s.Sequence)
		}
		_ = c.Close()
	}
	if st := m.Stats(); st.Sessions != 3 {
		t.Fatalf("%d sessions, want 3", st.Sessions)
	}
}

// Ensure that Reconnect moves the miner to the pool that it names, for one connection.
func TestMiner_FollowsReconnect(t *testing.T) {
	p := newScriptedPool(t)
	other := newScriptedPool(t)
	other.identity = p.identity // the same authority must answer (sv2-spec 03 §3.6.5)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	c := p.accept()
	openPlain(t, c, easy)
	_, port := splitAddress(other.listener.Addr().String())
	send(t, c, sv2.Reconnect{Port: port})
	c = other.accept()
	must[sv2.SetupConnection](t, c)
	_ = c.Close()
	p.accept()
}

// Ensure that the miner refuses a server whose authority it was not told.
func TestSV2_251_RefusesStrangeAuthority(t *testing.T) {
	p, stranger := newScriptedPool(t), newScriptedPool(t)
	p.identity = stranger.identity
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	c := p.accept()
	if err := c.AwaitEnd(AwaitFor); err != nil {
		t.Fatal(err)
	}
	if len(c.past) != 0 {
		t.Fatalf("the miner spoke: %+v", c.past)
	}
}

// Ensure that shares of an extended channel prove work on the coinbase that prefix, extranonce and suffix
// make, folded with the merkle path.
func TestMiner_MinesExtendedChannels(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000, Extended: true})
	c := p.accept()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	open := must[sv2.OpenExtendedMiningChannel](t, c)
	send(
		t, c,
		sv2.OpenExtendedMiningChannelSuccess{
			RequestID: open.RequestID, ChannelID: 7, Target: easy.Bytes(), ExtranonceSize: 16,
			ExtranoncePrefix: []byte("pref"), GroupChannelID: 1,
		},
		sv2.NewExtendedMiningJob{
			ChannelID: 1, JobID: 5, Future: true, Version: 0x20000000, VersionRolling: true,
			CoinbasePrefix: []byte("before"), CoinbaseSuffix: []byte("after"),
		},
		sv2.SetNewPrevHash{ChannelID: 1, JobID: 5, PrevHash: [32]byte{9}, MinTime: 1000, Bits: 0x1d00ffff},
	)
	s := must[sv2.SubmitSharesExtended](t, c)
	if len(s.Extranonce) != 16 {
		t.Fatalf("extranonce has %d bytes, 16 were negotiated", len(s.Extranonce))
	}
	id := sha256.Sum256([]byte("beforepref" + string(s.Extranonce) + "after"))
	root := sha256.Sum256(id[:])
	if hash := hashOf(s.Version, root, s.Time, s.Nonce); !easy.Meets(&hash) {
		t.Fatal("share does not meet the target")
	}
}

// Ensure that a paused miner keeps its channel and submits nothing, and goes on when it is paced again.
func TestMiner_PausesWithoutLeaving(t *testing.T) {
	p := newScriptedPool(t)
	m := start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000})
	c := p.accept()
	openPlain(t, c, easy)
	m.SetHashrate(0)
	firstJob(t, c, 3)
	m.SetHashrate(2000)
	must[sv2.SubmitSharesStandard](t, c)
	if st := m.Stats(); st.Sessions != 1 {
		t.Fatalf("%d sessions, want 1", st.Sessions)
	}
}
