package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/txscript/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum"
)

// channels lists what is open for the operator.
func (s *server) channels() []poolrpc.OpenChannel {
	all := s.stratum.Channels()
	list := make([]poolrpc.OpenChannel, len(all))
	for i := range all {
		list[i] = poolrpc.OpenChannel{
			ID: channelID(&all[i]), Worker: all[i].Worker,
			Message: func() *hashleasev1.Channel { return s.channelMessage(&all[i]) },
		}
	}
	return list
}

func channelID(c *stratum.ChannelStats) poolrpc.ChannelID {
	return poolrpc.ChannelID{Session: c.Session, Channel: c.Channel}
}

func (s *server) channelMessage(c *stratum.ChannelStats) *hashleasev1.Channel {
	d := &c.Device
	out := &hashleasev1.Channel{
		Name: channelID(c).String(), Worker: string(c.Worker), Address: valid(d.Address),
		Kind:     hashleasev1.ChannelKind_CHANNEL_KIND_STANDARD,
		Device:   valid(strings.Join(strings.Fields(d.Vendor+" "+d.Hardware+" "+d.Firmware), " ")),
		OpenTime: timestamppb.New(c.Since), SharesAccepted: c.Accepted, SharesRejected: c.Rejected,
		Difficulty: c.Difficulty, Hashrate: float64(c.Hashrate),
		ExtranoncePrefix: hex.EncodeToString(c.Prefix),
		Payout:           s.addressOf(c.Payout), PoolPercent: int32(c.Payout.Percent),
		Dialect: c.Dialect.String(),
	}
	if c.Kind == pool.Extended {
		out.Kind = hashleasev1.ChannelKind_CHANNEL_KIND_EXTENDED
	}
	if !c.LastShare.IsZero() {
		out.LastShareTime = timestamppb.New(c.LastShare)
	}
	return out
}

// valid is a peer's text as protobuf takes it.
func valid(s string) string { return strings.ToValidUTF8(s, "?") }

// addressOf is the address that a payout's script pays; empty for the pool.
func (s *server) addressOf(p pool.Payout) string {
	if !p.Solo() {
		return ""
	}
	_, addresses, _, err := txscript.ExtractPkScriptAddrs([]byte(p.Script), s.params)
	if err != nil || len(addresses) != 1 {
		return "script " + hex.EncodeToString([]byte(p.Script))
	}
	return addresses[0].EncodeAddress()
}

// payout reads whom a solo miner's coinbase is to pay.
func (s *server) payout(address string) (pool.Payout, error) {
	if address == "" {
		return pool.Payout{}, fmt.Errorf("missing: an address of %s is accepted", s.params.Name)
	}
	script, err := pool.PayoutScript(address, s.params)
	return pool.Payout{Script: string(script)}, err
}

func (s *server) renewPrefix(id poolrpc.ChannelID) (*hashleasev1.Channel, error) {
	if err := s.stratum.SetPrefix(id.Session, id.Channel); err != nil {
		return nil, refusedByStratum(err)
	}
	return s.channel(id)
}

func (s *server) setPayout(id poolrpc.ChannelID, p pool.Payout) (*hashleasev1.Channel, error) {
	if err := s.stratum.SetPayout(id.Session, id.Channel, p); err != nil {
		return nil, refusedByStratum(err)
	}
	return s.channel(id)
}

func (s *server) closeChannel(id poolrpc.ChannelID, reason string) error {
	return refusedByStratum(s.stratum.CloseChannel(id.Session, id.Channel, reason))
}

func (s *server) showMessage(to poolrpc.Audience, text string) (*hashleasev1.ShowMessageResponse, error) {
	said, err := s.stratum.Say(stratum.Scope{
		All: to.All, Worker: to.Worker, Session: to.Channel.Session, Channel: to.Channel.Channel,
	}, text)
	if err != nil {
		return nil, refusedByStratum(err)
	}
	return &hashleasev1.ShowMessageResponse{
		Told: int64(said.Told), Unreachable: int64(said.Unreachable), Behind: int64(said.Behind),
	}, nil
}

// channel shows one that was changed just now.
func (s *server) channel(id poolrpc.ChannelID) (*hashleasev1.Channel, error) {
	all := s.stratum.Channels()
	for i := range all {
		if channelID(&all[i]) == id {
			return s.channelMessage(&all[i]), nil
		}
	}
	return nil, poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("%v was changed and has closed since", id))
}

// refusedByStratum makes the session server's errors ones that poolrpc understands, and says what to do.
func refusedByStratum(err error) error {
	switch {
	case errors.Is(err, stratum.ErrNotOpen):
		return poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf(
			"%w: it has closed, or its miner came back under another name: see hashlease channel list", err))
	case errors.Is(err, stratum.ErrNobody):
		return poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("%w: see hashlease channel list", err))
	case errors.Is(err, stratum.ErrAccount):
		return poolrpc.As(poolrpc.ErrState, fmt.Errorf(
			"%w: close this one, and let the miner name the new payout when it comes back", err))
	case errors.Is(err, stratum.ErrNoPrefix):
		return poolrpc.As(poolrpc.ErrShort, fmt.Errorf("%w: some must close first", err))
	}
	return err
}
