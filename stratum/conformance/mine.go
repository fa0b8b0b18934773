package conformance

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	mrand "math/rand/v2"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Share is a share to be submitted, with what it was mined for.
type Share struct {
	Channel    *Channel
	Job        *Job
	JobID      uint32
	Nonce      uint32
	Time       uint32
	Version    uint32
	Extranonce []byte // of an extended channel
	Sequence   uint32
	Hash       [32]byte
}

// Mine grinds a share that meets its job's target. Changes are made before its hash is looked for: a
// share with another time or version still is one. Every share of a job has a search space of its own.
func (ch *Channel) Mine(j *Job, changes ...func(*Share)) *Share {
	return ch.grind(j, j.Target.Hashes(), func(h [32]byte) bool { return j.Target.Meets(h) }, changes)
}

// MineAbove grinds a share that does not meet its job's target.
func (ch *Channel) MineAbove(j *Job, changes ...func(*Share)) *Share {
	if j.Target.Hashes() < 1.01 {
		ch.c.t.NA("the pool's target is so easy (%v) that every hash meets it", j.Target)
	}
	return ch.grind(j, j.Target.Hashes()/(j.Target.Hashes()-1),
		func(h [32]byte) bool { return !j.Target.Meets(h) }, changes)
}

// MineWhere grinds a share whose hash is as wanted, which takes so many hashes on average.
func (ch *Channel) MineWhere(
	j *Job, hashes float64, wanted func([32]byte) bool, changes ...func(*Share),
) *Share {
	return ch.grind(j, hashes, wanted, changes)
}

func (ch *Channel) grind(j *Job, hashes float64, wanted func([32]byte) bool, changes []func(*Share)) *Share {
	t := ch.c.t
	if hashes > t.run.opts.Effort {
		t.NA("the pool's easiest work for one share is %.3g hashes: --effort allows %.3g",
			hashes, t.run.opts.Effort)
	}
	s := &Share{
		Channel: ch, Job: j, JobID: j.ID, Nonce: mrand.Uint32(), Time: j.MinTime, Version: j.Version,
	}
	if ch.Extended {
		s.Extranonce = make([]byte, ch.Size)
		_, _ = rand.Read(s.Extranonce) // never fails
	}
	for _, change := range changes {
		change(s)
	}
	var header [80]byte
	s.fill(&header)
	for tries := 0; ; tries++ {
		if s.Hash = sum(header[:]); wanted(s.Hash) {
			break
		}
		if tries&0xffff == 0xffff && t.ctx.Err() != nil {
			t.Failf("grinding a share took too long: about %.3g hashes were needed", hashes)
		}
		s.Nonce++
		binary.LittleEndian.PutUint32(header[76:], s.Nonce)
	}
	ch.sequence++
	s.Sequence = ch.sequence
	return s
}

// fill makes the header that the pool will hash for the share.
func (s *Share) fill(h *[80]byte) {
	binary.LittleEndian.PutUint32(h[0:], s.Version)
	tip := s.Job.Tip
	if tip == nil {
		tip = s.Channel.Tip // a share for a job that is not active yet
	}
	copy(h[4:], tip.PrevHash[:])
	root := s.Job.RootFor(s.Extranonce)
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], s.Time)
	binary.LittleEndian.PutUint32(h[72:], tip.Bits)
	binary.LittleEndian.PutUint32(h[76:], s.Nonce)
}

// RootFor is the merkle root of a job: a standard job's own, or what an extended one's coinbase gives.
func (j *Job) RootFor(extranonce []byte) [32]byte {
	if j.Extended == nil {
		return j.Root
	}
	root := sum(j.Coinbase(extranonce))
	for _, node := range j.Extended.MerklePath {
		root = sum(append(root[:], node[:]...))
	}
	return root
}

// Coinbase is the coinbase of an extended job, without BIP141 bytes.
func (j *Job) Coinbase(extranonce []byte) []byte {
	b := append([]byte(nil), j.Extended.CoinbasePrefix...)
	b = append(b, j.Prefix...)
	b = append(b, extranonce...)
	return append(b, j.Extended.CoinbaseSuffix...)
}

func sum(b []byte) [32]byte {
	once := sha256.Sum256(b)
	return sha256.Sum256(once[:])
}

// Message is the share as it is sent.
func (s *Share) Message() sv2.Message {
	if !s.Channel.Extended {
		return sv2.SubmitSharesStandard{
			ChannelID: s.Channel.ID, Sequence: s.Sequence, JobID: s.JobID,
			Nonce: s.Nonce, Time: s.Time, Version: s.Version,
		}
	}
	return sv2.SubmitSharesExtended{
		ChannelID: s.Channel.ID, Sequence: s.Sequence, JobID: s.JobID,
		Nonce: s.Nonce, Time: s.Time, Version: s.Version, Extranonce: s.Extranonce,
	}
}

// Verdict submits a share and is the code of its refusal, "" if it was accepted. A refusal comes at once
// (05§5.3.14), so none before the fence is acceptance, whenever the Success comes.
func (s *Share) Verdict() string {
	s.Channel.c.Send(s.Message())
	return s.Channel.Refusal(s.Sequence)
}

// Refusal is the code of the refusal of a share sent before, "" if there is none.
func (ch *Channel) Refusal(sequence uint32) string {
	ch.c.Fence()
	for _, m := range Taken[sv2.SubmitSharesError](ch.c) {
		if m.Sequence == sequence && m.ChannelID == ch.ID {
			if m.Code == "" {
				return "(no code)"
			}
			return m.Code
		}
	}
	return ""
}

// Accepted fails the check if the share is refused.
func (s *Share) Accepted(what string) {
	if code := s.Verdict(); code != "" {
		s.Channel.c.t.Failf("expected %s to be accepted, got SubmitShares.Error %q", what, code)
	}
}

// Refused fails the check if the share is accepted. Which code the refusal has, peers must not mind
// (03§3.5).
func (s *Share) Refused(what string) string {
	code := s.Verdict()
	if code == "" {
		s.Channel.c.t.Failf("expected %s to be refused with SubmitShares.Error, got none", what)
	}
	return code
}
