package stratum_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// miner is a client that understands what it is told, by the letter of the specification and none of the
// server's code, and can mine it.
type miner struct {
	t        *testing.T
	c        *stratumtest.Client
	channels map[uint32]*mined
	said     strings.Builder
	over     bool // the connection has ended
	longest  int  // frame, in bytes
	fences   uint32
	sequence uint32
}

// mined is a channel as the miner knows it.
type mined struct {
	id, group uint32
	extended  bool
	prefix    []byte
	size      int
	target    pool.Target
	tip       sv2.SetNewPrevHash
	jobs      map[uint32]*minedJob
	active    *minedJob
}

type minedJob struct {
	id, version, minTime uint32
	future               bool
	root                 chainhash.Hash
	extended             *sv2.NewExtendedMiningJob
	prefix               []byte
	target               pool.Target
}

func newMiner(t *testing.T, c *stratumtest.Client) *miner {
	t.Helper()
	return &miner{t: t, c: c, channels: map[uint32]*mined{}}
}

// next reads one frame.
func (p *miner) next(what string) sv2.Message {
	p.t.Helper()
	f, err := p.c.Next(within)
	if err != nil {
		p.t.Fatalf("awaiting %s: %v, after\n%s", what, err, p.said.String())
	}
	return p.take(f)
}

// until reads up to a message.
func (p *miner) until(what string, match func(sv2.Message) bool) sv2.Message {
	p.t.Helper()
	for {
		if m := p.next(what); match(m) {
			return m
		}
	}
}

// fence reads up to the answer of a question that is asked after everything else, or to the end.
func (p *miner) fence() {
	p.t.Helper()
	p.fences++
	id := 0xfff00000 + p.fences
	if p.c.Send(sv2.UpdateChannel{ChannelID: id, MaxTarget: pool.MaxTarget.Bytes()}) != nil {
		p.over = true
		return
	}
	for {
		f, err := p.c.Next(within)
		if err != nil {
			p.over = true
			fmt.Fprintln(&p.said, "end of the connection")
			return
		}
		if m, ok := f.Message.(sv2.UpdateChannelError); ok && m.ChannelID == id {
			return
		}
		p.take(f)
	}
}

// take writes down a frame and follows it.
func (p *miner) take(f stratumtest.Frame) sv2.Message {
	p.longest = max(p.longest, sv2.HeaderSize+len(f.Payload))
	fmt.Fprintln(&p.said, describe(f))
	p.follow(f.Message)
	return f.Message
}

func (p *miner) follow(msg sv2.Message) {
	switch m := msg.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		p.channels[m.ChannelID] = &mined{
			id: m.ChannelID, group: m.GroupChannelID, prefix: m.ExtranoncePrefix,
			target: pool.TargetFromBytes(&m.Target), jobs: map[uint32]*minedJob{},
		}
	case sv2.OpenExtendedMiningChannelSuccess:
		p.channels[m.ChannelID] = &mined{
			id: m.ChannelID, group: m.GroupChannelID, extended: true, prefix: m.ExtranoncePrefix,
			size: int(m.ExtranonceSize), target: pool.TargetFromBytes(&m.Target),
			jobs: map[uint32]*minedJob{},
		}
	case sv2.NewMiningJob:
		p.each(m.ChannelID, func(ch *mined) {
			ch.add(&minedJob{
				id: m.JobID, version: m.Version, minTime: m.MinTime, future: m.Future, root: m.MerkleRoot,
			})
		})
	case sv2.NewExtendedMiningJob:
		p.each(m.ChannelID, func(ch *mined) {
			ch.add(&minedJob{
				id: m.JobID, version: m.Version, minTime: m.MinTime, future: m.Future, extended: &m,
			})
		})
	case sv2.SetNewPrevHash:
		p.each(m.ChannelID, func(ch *mined) { ch.activate(p.t, m) })
	case sv2.SetTarget:
		p.each(m.ChannelID, func(ch *mined) { ch.target = pool.TargetFromBytes(&m.MaxTarget) })
	case sv2.SetExtranoncePrefix:
		p.each(m.ChannelID, func(ch *mined) { ch.prefix = m.ExtranoncePrefix })
	}
}

func (p *miner) each(id uint32, f func(*mined)) {
	for _, ch := range p.channels {
		if ch.id == id || ch.group == id {
			f(ch)
		}
	}
}

func (ch *mined) add(j *minedJob) {
	j.prefix, j.target = ch.prefix, ch.target
	ch.jobs[j.id] = j
	if !j.future {
		ch.active = j
	}
}

func (ch *mined) activate(t *testing.T, m sv2.SetNewPrevHash) {
	t.Helper()
	j := ch.jobs[m.JobID]
	if j == nil || !j.future {
		t.Fatalf("SetNewPrevHash on channel %d names job %d, which is no future job", ch.id, m.JobID)
	}
	j.future, j.minTime, j.target = false, m.MinTime, ch.target
	ch.tip, ch.active = m, j
}

// rootFor is the merkle root that an extranonce gives.
func (j *minedJob) rootFor(extranonce []byte) chainhash.Hash {
	if j.extended == nil {
		return j.root
	}
	b := append([]byte(nil), j.extended.CoinbasePrefix...)
	b = append(append(b, j.prefix...), extranonce...)
	root := chainhash.DoubleHashH(append(b, j.extended.CoinbaseSuffix...))
	for _, node := range j.extended.MerklePath {
		root = chainhash.DoubleHashH(append(root[:], node[:]...))
	}
	return root
}

// mine is the frame of a share that meets its job's target.
func (p *miner) mine(ch *mined, j *minedJob, later, roll uint32) []byte {
	p.t.Helper()
	if j == nil {
		p.t.Fatal("no such job")
	}
	p.sequence++
	extranonce := make([]byte, ch.size)
	var h [80]byte
	root := j.rootFor(extranonce)
	binary.LittleEndian.PutUint32(h[0:], j.version^roll)
	copy(h[4:], ch.tip.PrevHash[:])
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], j.minTime+later)
	binary.LittleEndian.PutUint32(h[72:], ch.tip.Bits)
	nonce := p.sequence << 24 // shares of one job begin apart
	for ; ; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		if hash := chainhash.DoubleHashH(h[:]); j.target.Meets((*[32]byte)(&hash)) {
			break
		}
	}
	if !ch.extended {
		return sv2.SubmitSharesStandard{
			ChannelID: ch.id, Sequence: p.sequence, JobID: j.id, Nonce: nonce, Time: j.minTime + later,
			Version: j.version ^ roll,
		}.AppendFrame(nil)
	}
	return sv2.SubmitSharesExtended{
		ChannelID: ch.id, Sequence: p.sequence, JobID: j.id, Nonce: nonce, Time: j.minTime + later,
		Version: j.version ^ roll, Extranonce: extranonce,
	}.AppendFrame(nil)
}

// describe is a frame in one line.
func describe(f stratumtest.Frame) string {
	name := sv2.Name(f.Header.Extension, f.Header.Type)
	future := func(f bool, minTime uint32) string {
		if f {
			return "future"
		}
		return fmt.Sprintf("min_ntime=%d", minTime)
	}
	switch m := f.Message.(type) {
	case sv2.SetupConnectionSuccess:
		return fmt.Sprintf("%s version=%d flags=0x%x", name, m.UsedVersion, m.Flags)
	case sv2.SetupConnectionError:
		return fmt.Sprintf("%s flags=0x%x %s", name, m.Flags, m.Code)
	case sv2.RequestExtensionsSuccess:
		return fmt.Sprintf("%s request=%d supported=%d", name, m.RequestID, m.Supported)
	case sv2.RequestExtensionsError:
		return fmt.Sprintf("%s request=%d unsupported=%d", name, m.RequestID, m.Unsupported)
	case sv2.OpenStandardMiningChannelSuccess:
		return fmt.Sprintf("%s request=%d channel=%d group=%d hashes=%d prefix=%x", name, m.RequestID,
			m.ChannelID, m.GroupChannelID, pool.TargetFromBytes(&m.Target).Work(), m.ExtranoncePrefix)
	case sv2.OpenExtendedMiningChannelSuccess:
		return fmt.Sprintf("%s request=%d channel=%d group=%d hashes=%d prefix=%x size=%d", name, m.RequestID,
			m.ChannelID, m.GroupChannelID, pool.TargetFromBytes(&m.Target).Work(), m.ExtranoncePrefix,
			m.ExtranonceSize)
	case sv2.NewMiningJob:
		return fmt.Sprintf("%s channel=%d job=%d %s version=%08x", name, m.ChannelID, m.JobID,
			future(m.Future, m.MinTime), m.Version)
	case sv2.NewExtendedMiningJob:
		return fmt.Sprintf("%s channel=%d job=%d %s version=%08x rolling=%v path=%d bytes=%d", name,
			m.ChannelID, m.JobID, future(m.Future, m.MinTime), m.Version, m.VersionRolling, len(m.MerklePath),
			sv2.HeaderSize+len(f.Payload))
	}
	return describeOther(name, f.Message)
}

func describeOther(name string, msg sv2.Message) string {
	switch m := msg.(type) {
	case sv2.OpenMiningChannelError:
		return fmt.Sprintf("%s request=%d %s", name, m.RequestID, m.Code)
	case sv2.SetNewPrevHash:
		return fmt.Sprintf("%s channel=%d job=%d min_ntime=%d bits=%08x", name, m.ChannelID, m.JobID,
			m.MinTime,
			m.Bits)
	case sv2.SetTarget:
		return fmt.Sprintf("%s channel=%d hashes=%d", name, m.ChannelID, pool.TargetFromBytes(&m.MaxTarget).
			Work())
	case sv2.SubmitSharesSuccess:
		return fmt.Sprintf("%s channel=%d last=%d accepted=%d", name, m.ChannelID, m.LastSequence, m.Accepted)
	case sv2.SubmitSharesError:
		return fmt.Sprintf("%s channel=%d sequence=%d %s", name, m.ChannelID, m.Sequence, m.Code)
	case sv2.UpdateChannelError:
		return fmt.Sprintf("%s channel=%d %s", name, m.ChannelID, m.Code)
	case sv2.Reconnect:
		return fmt.Sprintf("%s host=%q port=%d", name, m.Host, m.Port)
	}
	return name
}
