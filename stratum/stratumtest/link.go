package stratumtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Bounds of a miner's connection.
const (
	unknownLimit = 1 << 16 // longest payload of a message that the miner does not know
	openRequest  = 1       // request id of the one channel
)

var errChannelClosed = errors.New("pool closed the channel")

// link is one connection of a miner. Its reader goroutine is the one that runs Miner.Run.
type link struct {
	wire
	miner    *Miner
	sequence uint32   // guarded by mu
	reporter reporter // of the power extension

	// owned by the reader
	asked      bool // RequestExtensions is out
	powered    bool // the server speaks the power extension
	naming     bool // ... and the one for names; under mu too, as shares are sent by the grinder
	settled    bool // ... and acknowledged the channel's PowerHello
	deadMan    time.Duration
	channel    uint32
	group      uint32
	prefix     []byte
	rollSize   int
	extranonce uint64
	jobs       jobs
}

func newLink(m *Miner, conn *noise.Conn) *link {
	l := &link{wire: wire{conn: conn}, miner: m}
	l.reporter = reporter{power: m.power, tell: func(r sv2.PowerReading) {
		l.send(sv2.PowerReport{ChannelID: l.channel, PowerReading: r})
	}}
	return l
}

// run sets the connection up and follows it to its end.
func (l *link) run() error {
	m := l.miner
	host, port := splitAddress(l.conn.RemoteAddr().String())
	var flags uint32
	if !m.cfg.Extended {
		flags = sv2.RequiresStandardJobs
	}
	l.send(sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version, Flags: flags,
		Host: host, Port: port,
		Vendor: m.cfg.Vendor, HardwareVersion: m.cfg.Hardware, Firmware: m.cfg.Firmware,
	})
	var buf [1024]byte
	for {
		raw, payload, err := l.conn.ReadFrame(buf[:], limitFrame)
		if err != nil {
			if l.asked && l.channel == 0 {
				m.muteness = true // perhaps it does not know RequestExtensions: go on without (X1 §4.3)
			}
			return err
		}
		if err := l.handle(sv2.ParseHeader(raw), payload); err != nil {
			return err
		}
	}
}

// limitFrame refuses a frame by its header.
func limitFrame(raw [6]byte) error {
	h := sv2.ParseHeader(raw)
	limit, known := sv2.MaxLength(h.Extension, h.Type)
	if !known {
		limit = unknownLimit
	}
	if int(h.Length) > limit+unknownLimit {
		return fmt.Errorf("pool announces %d bytes of message 0x%02x", h.Length, h.Type)
	}
	return nil
}

// submit sends one share.
func (l *link) submit(w *work, s solution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	if w.extranonce == nil {
		l.sendLocked(sv2.SubmitSharesStandard{
			ChannelID: w.channel, Sequence: l.sequence, JobID: w.job,
			Nonce: s.nonce, Time: s.time, Version: w.version,
		})
		return
	}
	share := sv2.SubmitSharesExtended{
		ChannelID: w.channel, Sequence: l.sequence, JobID: w.job,
		Nonce: s.nonce, Time: s.time, Version: w.version, Extranonce: w.extranonce,
	}
	if l.naming {
		l.sendLocked(namedShare{share, l.miner.cfg.Worker})
		return
	}
	l.sendLocked(share)
}

// namedShare is a share with its worker's name behind it.
type namedShare struct {
	sv2.SubmitSharesExtended
	worker string
}

// AppendFrame appends the message as a frame, with the TLV of extension 0x0002.
func (s namedShare) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return sv2.AppendTLV(s.SubmitSharesExtended.AppendFrame(dst), start, sv2.TLV{
		Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte(s.worker),
	})
}

// extensions are those that the miner wants.
func (c *MinerConfig) extensions() (wanted []uint16) {
	if c.Worker != "" {
		wanted = append(wanted, sv2.ExtWorkerIdentity)
	}
	if c.Power != nil {
		wanted = append(wanted, sv2.ExtPower)
	}
	return wanted
}

// handle follows one frame. Messages that the miner does not know are ignored.
func (l *link) handle(h sv2.Header, payload []byte) error {
	msg, err := sv2.Decode(h, payload)
	if errors.Is(err, sv2.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.channel == 0 {
		return l.handleSetup(msg)
	}
	if h.ID() == sv2.ExtPower {
		l.handlePower(msg)
		return nil
	}
	return l.handleMining(msg)
}

// handleSetup goes from SetupConnection to the open channel.
func (l *link) handleSetup(msg sv2.Message) error {
	m := l.miner
	switch msg := msg.(type) {
	case sv2.SetupConnectionSuccess:
		if wanted := m.cfg.extensions(); len(wanted) > 0 && !m.muteness {
			l.asked = true
			l.send(sv2.RequestExtensions{RequestID: 1, Requested: wanted})
			return nil
		}
		l.open()
	case sv2.SetupConnectionError:
		return fmt.Errorf("pool refuses the connection: %q", msg.Code)
	case sv2.RequestExtensionsSuccess:
		l.powered = slices.Contains(msg.Supported, sv2.ExtPower)
		l.mu.Lock()
		l.naming = slices.Contains(msg.Supported, sv2.ExtWorkerIdentity)
		l.mu.Unlock()
		l.open()
	case sv2.RequestExtensionsError:
		l.open()
	case sv2.OpenMiningChannelError:
		return fmt.Errorf("pool refuses the channel: %q", msg.Code)
	case sv2.OpenStandardMiningChannelSuccess:
		l.opened(msg.ChannelID, msg.GroupChannelID, msg.ExtranoncePrefix, 0)
		l.jobs.setTarget(pool.TargetFromBytes(&msg.Target))
	case sv2.OpenExtendedMiningChannelSuccess:
		l.opened(msg.ChannelID, msg.GroupChannelID, msg.ExtranoncePrefix, int(msg.ExtranonceSize))
		l.jobs.setTarget(pool.TargetFromBytes(&msg.Target))
	case sv2.Reconnect:
		return &redirection{msg.Host, msg.Port}
	}
	return nil
}

func (l *link) open() {
	m := l.miner
	easiest := pool.MaxTarget.Bytes()
	if m.cfg.Extended {
		l.send(sv2.OpenExtendedMiningChannel{
			RequestID: openRequest, UserIdentity: m.cfg.Identity, NominalHashRate: float32(m.cfg.Nominal),
			MaxTarget: easiest, MinExtranonceSize: 4,
		})
		return
	}
	l.send(sv2.OpenStandardMiningChannel{
		RequestID: openRequest, UserIdentity: m.cfg.Identity, NominalHashRate: float32(m.cfg.Nominal),
		MaxTarget: easiest,
	})
}

func (l *link) opened(channel, group uint32, prefix []byte, rollSize int) {
	l.channel, l.group, l.prefix, l.rollSize = channel, group, slices.Clone(prefix), rollSize
	_ = l.conn.SetReadDeadline(time.Time{}) // from here on silence is no fault; TCP keepalive watches
	m := l.miner
	m.link.Store(l)
	m.sessions.Add(1)
	if l.powered {
		l.hello()
	}
}

// handleMining follows the open channel.
func (l *link) handleMining(msg sv2.Message) error {
	switch msg := msg.(type) {
	case sv2.NewMiningJob:
		j := job{id: msg.JobID, version: msg.Version, root: msg.MerkleRoot}
		return l.newJob(msg.ChannelID, j, minTime(msg.Future, msg.MinTime))
	case sv2.NewExtendedMiningJob:
		return l.newJob(msg.ChannelID, l.fromExtended(msg), minTime(msg.Future, msg.MinTime))
	case sv2.SetNewPrevHash:
		return l.newTip(msg)
	case sv2.SetTarget:
		if l.mine(msg.ChannelID) {
			l.jobs.setTarget(pool.TargetFromBytes(&msg.MaxTarget))
		}
	case sv2.SubmitSharesSuccess:
		l.miner.acked.Add(uint64(msg.Accepted))
	case sv2.SubmitSharesError:
		l.miner.countReject(msg.Code)
	case sv2.CloseChannel:
		if l.mine(msg.ChannelID) {
			return fmt.Errorf("%w: %q", errChannelClosed, msg.Reason)
		}
	case sv2.Reconnect:
		return &redirection{msg.Host, msg.Port}
	default:
		l.handleChange(msg)
	}
	return nil
}

// handleChange follows changes of what the channel is.
func (l *link) handleChange(msg sv2.Message) {
	switch msg := msg.(type) {
	case sv2.SetExtranoncePrefix:
		if msg.ChannelID == l.channel {
			l.prefix = slices.Clone(msg.ExtranoncePrefix)
		}
	case sv2.SetGroupChannel:
		if slices.Contains(msg.ChannelIDs, l.channel) {
			l.group = msg.GroupChannelID
		}
	case sv2.ChannelEndpointChanged:
		if msg.ChannelID == l.channel && l.powered {
			l.hello() // whoever is there now has not heard it (SV2-240)
		}
	}
}

// mine reports whether a message for this id is for the miner's channel.
func (l *link) mine(id uint32) bool { return id == l.channel || id == l.group }

// fromExtended derives the job of the channel from an extended one. A standard channel in a group
// uses its prefix alone (sv2-spec 05 §5.3.16).
func (l *link) fromExtended(msg sv2.NewExtendedMiningJob) job {
	j := job{id: msg.JobID, version: msg.Version}
	parts := [][]byte{msg.CoinbasePrefix, l.prefix, nil, msg.CoinbaseSuffix}
	if l.miner.cfg.Extended {
		l.extranonce++ // another search space for each job
		var counter [8]byte
		binary.LittleEndian.PutUint64(counter[:], l.extranonce)
		j.extranonce = make([]byte, l.rollSize)
		copy(j.extranonce, counter[:])
		parts[2] = j.extranonce
	}
	j.root = coinbaseRoot(parts, msg.MerklePath)
	return j
}

// minTime is the header time from which a job is active; nil for a future one.
func minTime(future bool, t uint32) *uint32 {
	if future {
		return nil
	}
	return &t
}

func (l *link) newJob(id uint32, j job, from *uint32) error {
	if !l.mine(id) {
		return nil
	}
	j.channel = l.channel
	w, err := l.jobs.add(j, from, time.Now())
	if w != nil {
		l.miner.hasher.work.Store(w)
	}
	return err
}

func (l *link) newTip(msg sv2.SetNewPrevHash) error {
	if !l.mine(msg.ChannelID) {
		return nil
	}
	w, err := l.jobs.activate(msg.JobID, tip{msg.PrevHash, msg.MinTime, msg.Bits}, time.Now())
	if err != nil {
		l.miner.cfg.Log.Warn("pool broke the protocol",
			slog.String("worker", l.miner.cfg.Identity), slog.Any("error", err))
		return err
	}
	l.miner.hasher.work.Store(w)
	return nil
}
