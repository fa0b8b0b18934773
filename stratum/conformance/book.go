package conformance

import (
	"fmt"
	"sync"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// book is what any client could have noted of one connection: what it sent, and what came. It judges
// every frame of the pool by the rules that hold for all of them, whatever the check at hand looks for.
type book struct {
	mu       sync.Mutex
	flags    uint32              // guarded by mu: of SetupConnection
	requests map[uint32]asked    // guarded by mu: by request_id
	channels map[uint32]*account // guarded by mu: all that were ever opened
	groups   map[uint32]bool     // guarded by mu: ids that named a group
}

// asked is a request for a channel.
type asked struct {
	maxTarget Target
	minSize   int
}

// account is a channel as the book knows it.
type account struct {
	id, group uint32
	extended  bool
	full      int             // length of the full extranonce
	easiest   Target          // that the client ever allowed
	first     uint32          // id of its first job; 0 before it came
	live      bool            // a SetNewPrevHash came
	jobs      map[uint32]bool // valid ones, true while future
	left      bool            // the client closed it: what is under way may still come
	closed    bool            // the pool closed it
}

func newBook() *book {
	return &book{
		requests: map[uint32]asked{}, channels: map[uint32]*account{}, groups: map[uint32]bool{},
	}
}

// kept is the judgement of the book by a rule's number, for Rule.Frame.
func kept(number int) func(*Frame) error {
	return func(f *Frame) error { return f.faults[number] }
}

// fault notes that a frame breaks a rule.
func (f *Frame) fault(number int, format string, args ...any) {
	if f.faults == nil {
		f.faults = map[int]error{}
	}
	if f.faults[number] == nil {
		f.faults[number] = fmt.Errorf(format, args...)
	}
}

// sent notes a message of the client.
func (b *book) sent(msg sv2.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch m := msg.(type) {
	case sv2.SetupConnection:
		b.flags = m.Flags
	case sv2.OpenStandardMiningChannel:
		b.requests[m.RequestID] = asked{maxTarget: m.MaxTarget}
	case sv2.OpenExtendedMiningChannel:
		b.requests[m.RequestID] = asked{maxTarget: m.MaxTarget, minSize: int(m.MinExtranonceSize)}
	case sv2.UpdateChannel:
		if ch := b.channels[m.ChannelID]; ch != nil && Target(m.MaxTarget).Cmp(ch.easiest) > 0 {
			ch.easiest = m.MaxTarget
		}
	case sv2.CloseChannel:
		for _, ch := range b.channels {
			if ch.id == m.ChannelID || ch.group == m.ChannelID {
				ch.left = true
			}
		}
	}
}

// came judges a frame of the pool.
func (b *book) came(f *Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch m := f.Msg.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		b.open(f, m.RequestID, &account{
			id: m.ChannelID, group: m.GroupChannelID, full: len(m.ExtranoncePrefix),
		}, m.Target, 0)
	case sv2.OpenExtendedMiningChannelSuccess:
		b.open(f, m.RequestID, &account{
			id: m.ChannelID, group: m.GroupChannelID, extended: true,
			full: len(m.ExtranoncePrefix) + int(m.ExtranonceSize),
		}, m.Target, int(m.ExtranonceSize))
	case sv2.NewMiningJob:
		b.standardJob(f, m)
	case sv2.NewExtendedMiningJob:
		b.extendedJob(f, m)
	case sv2.SetNewPrevHash:
		for _, ch := range b.named(f, m.ChannelID) {
			ch.activate(f, m.JobID)
		}
	case sv2.SetTarget:
		for _, ch := range b.named(f, m.ChannelID) {
			if Target(m.MaxTarget).Cmp(ch.easiest) > 0 {
				f.fault(133, "expected a target of at most %v, got %v", ch.easiest, Target(m.MaxTarget))
			}
			ch.begun(f)
		}
	default:
		b.changed(f)
	}
}

// changed judges what changes channels themselves.
func (b *book) changed(f *Frame) {
	switch m := f.Msg.(type) {
	case sv2.SetExtranoncePrefix:
		b.prefix(f, m)
	case sv2.SetGroupChannel:
		b.regroup(f, m)
	case sv2.CloseChannel:
		for _, ch := range b.named(f, m.ChannelID) {
			ch.closed = true
		}
	case sv2.SubmitSharesSuccess:
		if ch := b.channels[m.ChannelID]; ch == nil || ch.closed {
			f.fault(85, "expected nothing for channel %d, which is not open", m.ChannelID)
		}
	}
}

// open judges a Success and begins an account.
func (b *book) open(f *Frame, request uint32, ch *account, target Target, size int) {
	ask, known := b.requests[request]
	if !known {
		f.fault(61, "expected a request_id that was sent, got %d", request)
	}
	if have := b.channels[ch.id]; have != nil {
		f.fault(62, "expected an id that no channel had before, got %d", ch.id)
	}
	if b.groups[ch.id] {
		f.fault(81, "expected an id that no group had before, got %d", ch.id)
	}
	if ch.group == ch.id || b.channels[ch.group] != nil {
		f.fault(70, "expected a group_channel_id that is no channel's, got %d for channel %d", ch.group,
			ch.id)
	}
	if known && target.Cmp(ask.maxTarget) > 0 {
		f.fault(63, "expected a target of at most the max_target %v, got %v", ask.maxTarget, target)
	}
	if ch.extended && (size < ask.minSize || ch.full > 32) {
		f.fault(66, "expected an extranonce_size of at least %d and 32 bytes in all, got %d and %d",
			ask.minSize, size, ch.full)
	}
	ch.easiest = ask.maxTarget
	ch.jobs = map[uint32]bool{}
	b.channels[ch.id], b.groups[ch.group] = ch, true
	b.sameLength(f, ch)
}

// sameLength judges that the members of a group have extranonces of one length.
func (b *book) sameLength(f *Frame, ch *account) {
	for _, other := range b.channels {
		if other.group == ch.group && !other.left && !other.closed && other.full != ch.full {
			f.fault(71, "expected extranonces of one length in group %d, got %d on channel %d and %d on %d",
				ch.group, other.full, other.id, ch.full, ch.id)
		}
	}
}

// named are the channels that an id names: one, or the members of a group.
func (b *book) named(f *Frame, id uint32) (list []*account) {
	if ch := b.channels[id]; ch != nil {
		if ch.closed {
			f.fault(85, "expected nothing for channel %d, which the pool has closed", id)
		}
		if ch.left {
			return nil
		}
		return []*account{ch}
	}
	if !b.groups[id] {
		f.fault(62, "expected the id of a channel or group, got %d", id)
	}
	for _, ch := range b.channels {
		if ch.group == id && !ch.left && !ch.closed {
			list = append(list, ch)
		}
	}
	return list
}

func (b *book) standardJob(f *Frame, m sv2.NewMiningJob) {
	checkVersion(f, m.Version)
	if b.channels[m.ChannelID] == nil {
		f.fault(100, "expected NewMiningJob for a standard channel, got id %d", m.ChannelID)
	}
	for _, ch := range b.named(f, m.ChannelID) {
		if ch.extended {
			f.fault(100, "expected NewMiningJob for a standard channel, channel %d is extended", ch.id)
		}
		ch.add(f, m.JobID, m.Future)
	}
}

func (b *book) extendedJob(f *Frame, m sv2.NewExtendedMiningJob) {
	checkVersion(f, m.Version)
	if b.flags&sv2.RequiresStandardJobs != 0 {
		f.fault(69, "expected standard jobs alone on a connection that requires them")
	}
	if b.flags&sv2.RequiresVersionRolling != 0 && !m.VersionRolling {
		f.fault(109, "expected version_rolling_allowed for a client that requires it")
	}
	if ch := b.channels[m.ChannelID]; ch != nil && !ch.extended {
		f.fault(100,
			"expected NewExtendedMiningJob for an extended channel or a group, channel %d is standard",
			ch.id)
	}
	for _, ch := range b.named(f, m.ChannelID) {
		ch.add(f, m.JobID, m.Future)
		checkCoinbase(f, m, ch.full)
	}
}

// add judges a job. Until the channel has had its own first job, nothing else may come for it.
func (ch *account) add(f *Frame, id uint32, future bool) {
	if _, valid := ch.jobs[id]; valid {
		f.fault(101, "expected a job_id that no valid job of channel %d has, got %d", ch.id, id)
	}
	if !future && !ch.live {
		f.fault(102, "expected no active job on channel %d before a SetNewPrevHash, got job %d", ch.id, id)
	}
	ch.jobs[id] = future
	if ch.first != 0 {
		ch.begun(f)
		return
	}
	ch.first = id
	if !future {
		f.fault(72, "expected the first job of channel %d to be a future one", ch.id)
	}
	if group := groupAddressed(f.Msg, ch.id); group {
		f.fault(75, "expected the first job of channel %d on its own id", ch.id)
	}
}

func groupAddressed(msg sv2.Message, channel uint32) bool {
	m, ok := msg.(sv2.NewExtendedMiningJob)
	return ok && m.ChannelID != channel
}

// begun judges that the channel's first job is active.
func (ch *account) begun(f *Frame) {
	if !ch.live {
		f.fault(72, "expected SetNewPrevHash for the first job of channel %d before anything else", ch.id)
	}
}

// activate judges a SetNewPrevHash.
func (ch *account) activate(f *Frame, id uint32) {
	future, known := ch.jobs[id]
	if !known || !future {
		f.fault(103, "expected SetNewPrevHash on channel %d to name a future job, got job %d", ch.id, id)
	}
	if !ch.live && id != ch.first {
		f.fault(72, "expected SetNewPrevHash to activate the first job of channel %d, %d, got %d",
			ch.id, ch.first, id)
	}
	ch.live = true
	clear(ch.jobs)
	ch.jobs[id] = false
}

func (b *book) prefix(f *Frame, m sv2.SetExtranoncePrefix) {
	ch := b.channels[m.ChannelID]
	if ch == nil {
		f.fault(92, "expected SetExtranoncePrefix for a channel, got id %d", m.ChannelID)
		return
	}
	if !ch.extended && len(m.ExtranoncePrefix) != ch.full {
		f.fault(93, "expected a prefix of %d bytes on channel %d, got %d", ch.full, ch.id,
			len(m.ExtranoncePrefix))
	}
	if len(m.ExtranoncePrefix) > 32 {
		f.fault(92, "expected a prefix of at most 32 bytes, got %d", len(m.ExtranoncePrefix))
	}
}

func (b *book) regroup(f *Frame, m sv2.SetGroupChannel) {
	if b.flags&sv2.RequiresStandardJobs != 0 {
		f.fault(80, "expected no SetGroupChannel on a connection that requires standard jobs")
	}
	if b.channels[m.GroupChannelID] != nil {
		f.fault(81, "expected a group id that no channel had before, got %d", m.GroupChannelID)
	}
	b.groups[m.GroupChannelID] = true
	for _, id := range m.ChannelIDs {
		if b.groups[id] {
			f.fault(81, "expected the ids of channels in SetGroupChannel, got the group %d", id)
		}
		if ch := b.channels[id]; ch != nil {
			ch.group = m.GroupChannelID
			b.sameLength(f, ch)
		}
	}
}

// checkVersion judges a job's header version: below 4, blocks are refused since BIP65.
func checkVersion(f *Frame, version uint32) {
	if int32(version) < 4 {
		f.fault(108, "expected a header version of at least 4, got 0x%08x", version)
	}
}
