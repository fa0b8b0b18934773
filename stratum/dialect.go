package stratum

import (
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// dialect is what Stratum V1 and V2 do differently on a session: how they read, and how they say what the
// rest of the session decides for both. All but read and poll are called with the session's mu held, and
// append to its outbox.
type dialect interface {
	// read handles what the peer sends until the connection ends, or is about to rest: the error is nil then.
	read() error
	// poll is dialog's.
	poll() (rests bool)
	// roundLocked is a round as it is mined for a payout in this dialect.
	roundLocked(r *pool.Round, p pool.Payout) *pool.Round
	// numberLocked is the id of a job that is about to be sent.
	numberLocked(j *pool.Job) uint32
	// openedLocked says that a channel is open, its first target too.
	openedLocked(c *channel, request uint32, target pool.Target)
	// jobLocked sends a job to a channel or a group: as it is to what mines only headers, as an extended
	// one to everything else.
	jobLocked(to uint32, headers bool, a pool.Assignment)
	// tipLocked moves a channel or a group to a tip, by a job that was sent as future.
	tipLocked(to uint32, n numbered, t *pool.Tip)
	// targetLocked sends the target of the jobs that follow.
	targetLocked(id uint32, t pool.Target)
	// movesLocked reports whether the peer can be given another extranonce prefix.
	movesLocked() bool
	// prefixLocked sends the extranonce prefix of the jobs that follow.
	prefixLocked(c *channel)
	// durableLocked acknowledges a share, now or later.
	durableLocked(a *accepted, now time.Time)
	// rejectLocked refuses a share.
	rejectLocked(id, sequence uint32, r pool.Reject)
	// closedLocked says why a channel ends.
	closedLocked(id uint32, reason string)
	// showsLocked reports whether the dialect has a message for the people at the miner.
	showsLocked() bool
	// showLocked sends one, where there is.
	showLocked(text string)
	// awayLocked tells the peer to come back later.
	awayLocked()
	// lookLocked does what is due every second.
	lookLocked(now time.Time)
	// goneLocked gives back what the dialect holds for a session that ends.
	goneLocked()
}

var (
	_ dialect = v2{}
	_ dialect = (*v1)(nil)
)

// v2 is how a session speaks Stratum V2.
type v2 struct{ *session }

func (d v2) roundLocked(r *pool.Round, p pool.Payout) *pool.Round {
	return d.srv.rooms.Assembler.Within(r, p, d.coinbase)
}

func (d v2) numberLocked(*pool.Job) uint32 {
	d.nextJob++
	return d.nextJob
}

func (d v2) openedLocked(c *channel, request uint32, target pool.Target) {
	prefix := c.kind.Prefix(c.prefix)
	if c.kind == pool.Standard {
		sendLocked(d.session, sv2.OpenStandardMiningChannelSuccess{
			RequestID: request, ChannelID: c.id, Target: target.Bytes(),
			ExtranoncePrefix: prefix, GroupChannelID: c.group.id,
		})
		return
	}
	sendLocked(d.session, sv2.OpenExtendedMiningChannelSuccess{
		RequestID: request, ChannelID: c.id, Target: target.Bytes(), ExtranonceSize: rollSize,
		ExtranoncePrefix: prefix, GroupChannelID: c.group.id,
	})
}

func (d v2) jobLocked(to uint32, headers bool, a pool.Assignment) {
	if headers {
		sendLocked(d.session, sv2.NewMiningJob{
			ChannelID: to, JobID: a.JobID, Future: a.Future, MinTime: a.MinTime,
			Version: a.Version, MerkleRoot: a.Root(),
		})
		return
	}
	sendLocked(d.session, sv2.NewExtendedMiningJob{
		ChannelID: to, JobID: a.JobID, Future: a.Future, MinTime: a.MinTime,
		Version: a.Version, VersionRolling: true,
		MerklePath: a.Job.Path, CoinbasePrefix: a.Job.Prefix, CoinbaseSuffix: a.Job.Suffix,
	})
}

func (d v2) tipLocked(to uint32, n numbered, t *pool.Tip) {
	sendLocked(d.session, sv2.SetNewPrevHash{
		ChannelID: to, JobID: n.id, PrevHash: t.Prev,
		MinTime: max(t.MinTime, n.job.Time), Bits: t.Bits,
	})
}

func (d v2) targetLocked(id uint32, t pool.Target) {
	sendLocked(d.session, sv2.SetTarget{ChannelID: id, MaxTarget: t.Bytes()})
}

func (d v2) prefixLocked(c *channel) {
	sendLocked(d.session, sv2.SetExtranoncePrefix{
		ChannelID: c.id, ExtranoncePrefix: c.kind.Prefix(c.prefix),
	})
}

func (d v2) rejectLocked(id, sequence uint32, r pool.Reject) {
	sendLocked(d.session, sv2.SubmitSharesError{ChannelID: id, Sequence: sequence, Code: r.Code()})
}

func (d v2) closedLocked(id uint32, reason string) {
	sendLocked(d.session, sv2.CloseChannel{ChannelID: id, Reason: reason})
}

func (d v2) showsLocked() bool { return false }

func (d v2) showLocked(string) {}

func (d v2) awayLocked() { sendLocked(d.session, sv2.Reconnect{}) }

func (d v2) movesLocked() bool { return true }

func (d v2) lookLocked(time.Time) {}

func (d v2) goneLocked() {}
