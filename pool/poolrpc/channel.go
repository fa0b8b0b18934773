package poolrpc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/pool"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// ClosedByOperator is the reason of CloseChannel if none is given.
const ClosedByOperator = "closed-by-operator"

const (
	maxReason  = 255 // bytes: a string of Stratum V2, and a message is no longer
	maxPercent = 99  // for the pool: with all of it the miner would be one of the pool's
)

const (
	acceptedChannel = `"sessions/{session}/channels/{channel}" is accepted, as ListChannels names it`
	acceptedReason  = "1 to 255 bytes of printable ASCII are accepted"
	acceptedWorker  = "account or account.worker of 1 to 255 letters, digits, - _ : . is accepted"
	acceptedScope   = "one of channel, worker and all (true) is accepted"
)

// ChannelID names an open channel.
type ChannelID struct {
	Session uint64
	Channel uint32
}

// String is the channel's resource name.
func (id ChannelID) String() string {
	return fmt.Sprintf("sessions/%d/channels/%d", id.Session, id.Channel)
}

// compare orders channels by age of their session.
func (id ChannelID) compare(other ChannelID) int {
	return cmp.Or(cmp.Compare(id.Session, other.Session), cmp.Compare(id.Channel, other.Channel))
}

// OpenChannel is one open channel. Message is called for those that are shown.
type OpenChannel struct {
	ID      ChannelID
	Worker  pool.WorkerID
	Message func() *hashleasev1.Channel
}

// Audience is whose miners are meant: one channel's, a worker's or an account's, or all.
type Audience struct {
	All     bool
	Worker  string    // or account; empty: no one's
	Channel ChannelID // if it is neither of these
}

// parseChannel reads what ChannelID.String writes.
func parseChannel(s string) (id ChannelID, ok bool) {
	rest, ok := strings.CutPrefix(s, "sessions/")
	session, channel, found := strings.Cut(rest, "/channels/")
	a, errA := strconv.ParseUint(session, 10, 64)
	b, errB := strconv.ParseUint(channel, 10, 32)
	id = ChannelID{a, uint32(b)}
	return id, ok && found && errA == nil && errB == nil && id.String() == s
}

// channel reads a request's name of a channel.
func (v *invalid) channel(name string) ChannelID {
	id, ok := parseChannel(name)
	if !ok {
		v.add("name", acceptedChannel)
	}
	return id
}

// ListChannels gives open mining channels, oldest session first.
func (s *Service) ListChannels(
	_ context.Context, req *hashleasev1.ListChannelsRequest,
) (*hashleasev1.ListChannelsResponse, error) {
	var v invalid
	size := int(req.GetPageSize())
	if size < 0 || size > maxPage {
		v.add("page_size", fmt.Sprintf("0 to %d is accepted, 0 means %d", maxPage, defaultPage))
	}
	after, ok := parseChannel(req.GetPageToken())
	if !ok && req.GetPageToken() != "" {
		v.add("page_token", "next_page_token of the answer before is accepted")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if size == 0 {
		size = defaultPage
	}
	open := slices.DeleteFunc(s.cfg.Channels(), func(c OpenChannel) bool {
		w := req.GetWorker()
		return w != "" && w != string(c.Worker) && w != string(c.Worker.Account())
	})
	slices.SortFunc(open, func(a, b OpenChannel) int { return a.ID.compare(b.ID) })
	res := &hashleasev1.ListChannelsResponse{TotalSize: int64(len(open))}
	if req.GetPageToken() != "" {
		n, found := slices.BinarySearchFunc(open, after, func(c OpenChannel, id ChannelID) int {
			return c.ID.compare(id)
		})
		if found {
			n++
		}
		open = open[n:]
	}
	for _, c := range open[:min(size, len(open))] {
		res.Channels = append(res.Channels, c.Message())
	}
	if len(open) > size {
		res.NextPageToken = open[size-1].ID.String()
	}
	return res, nil
}

// RenewChannelPrefix gives a channel another extranonce prefix.
func (s *Service) RenewChannelPrefix(
	ctx context.Context, req *hashleasev1.RenewChannelPrefixRequest,
) (*hashleasev1.Channel, error) {
	var v invalid
	id := v.channel(req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	res, err := s.cfg.RenewPrefix(id)
	if err != nil {
		return nil, answer(ctx, "RenewChannelPrefix", err)
	}
	return res, nil
}

// SetChannelPayout lets the coinbase of a solo miner's jobs pay another address.
func (s *Service) SetChannelPayout(
	ctx context.Context, req *hashleasev1.SetChannelPayoutRequest,
) (*hashleasev1.Channel, error) {
	var v invalid
	id := v.channel(req.GetName())
	payout, err := s.cfg.Payout(req.GetPayout())
	if err != nil {
		v.add("payout", err.Error())
	}
	if p := req.GetPoolPercent(); p < 0 || p > maxPercent {
		v.add("pool_percent", "0 to 99 is accepted")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	payout.Percent = uint8(req.GetPoolPercent())
	res, err := s.cfg.SetPayout(id, payout)
	if err != nil {
		return nil, answer(ctx, "SetChannelPayout", err)
	}
	return res, nil
}

// CloseChannel ends a channel with a reason that its miner may read.
func (s *Service) CloseChannel(
	ctx context.Context, req *hashleasev1.CloseChannelRequest,
) (*hashleasev1.CloseChannelResponse, error) {
	var v invalid
	id := v.channel(req.GetName())
	reason := cmp.Or(req.GetReason(), ClosedByOperator)
	if len(reason) > maxReason || !printable(reason) {
		v.add("reason", acceptedReason)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.cfg.CloseChannel(id, reason); err != nil {
		return nil, answer(ctx, "CloseChannel", err)
	}
	return &hashleasev1.CloseChannelResponse{}, nil
}

// ShowMessage sends a line to the people at miners. Those of Stratum V2 are counted alone.
func (s *Service) ShowMessage(
	ctx context.Context, req *hashleasev1.ShowMessageRequest,
) (*hashleasev1.ShowMessageResponse, error) {
	var v invalid
	to := v.audience(req)
	if t := req.GetText(); t == "" || len(t) > maxReason || !printable(t) {
		v.add("text", acceptedReason)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	res, err := s.cfg.ShowMessage(to, req.GetText())
	if err != nil {
		return nil, answer(ctx, "ShowMessage", err)
	}
	return res, nil
}

// audience reads a request's scope.
func (v *invalid) audience(req *hashleasev1.ShowMessageRequest) Audience {
	switch scope := req.GetScope().(type) {
	case *hashleasev1.ShowMessageRequest_Channel:
		id, ok := parseChannel(scope.Channel)
		if !ok {
			v.add("channel", acceptedChannel)
		}
		return Audience{Channel: id}
	case *hashleasev1.ShowMessageRequest_Worker:
		if _, _, err := pool.ParseIdentity(scope.Worker); err != nil {
			v.add("worker", acceptedWorker)
		}
		return Audience{Worker: scope.Worker}
	}
	if !req.GetAll() {
		v.add("scope", acceptedScope)
	}
	return Audience{All: req.GetAll()}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
