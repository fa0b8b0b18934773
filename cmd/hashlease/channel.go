package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type channelCmd struct {
	List    channelListCmd    `cmd:"" help:"Show the open mining channels."`
	Message channelMessageCmd `cmd:"" help:"Show a line to the people at miners of Stratum V1."`
	Prefix  channelPrefixCmd  `cmd:"" help:"Give a channel another extranonce prefix, and a job under it."`
	Payout  channelPayoutCmd  `cmd:"" help:"Let a solo miner's coinbase pay another address from now on."`
	Close   channelCloseCmd   `cmd:"" help:"Close a channel; its miner may open another one."`
}

// channelPage is how many channels are asked for at once.
const channelPage = 1000

type channelListCmd struct {
	clientFlags
	Worker string `help:"Only this worker's (account.worker) or account's." placeholder:"NAME"`
	Limit  int    `help:"At most this many, oldest connection first." default:"100"`
}

// Run shows open channels.
func (c *channelListCmd) Run(ctx context.Context, e *env) error {
	if c.Limit < 1 {
		return usagef("--limit is %d: 1 or more is accepted", c.Limit)
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	list, total, err := c.pages(ctx, cl)
	if err != nil {
		return fmt.Errorf("asking for channels: %w", err)
	}
	if c.JSON {
		return jsonList(e, list)
	}
	if err := printChannels(e, list); err != nil {
		return err
	}
	if more := total - int64(len(list)); more > 0 {
		e.notef("%d more: --limit %d shows all, --worker NAME some\n", more, total)
	}
	return nil
}

// pages asks for as many pages as the limit needs.
func (c *channelListCmd) pages(
	ctx context.Context, cl *client,
) (list []*hashleasev1.Channel, total int64, err error) {
	ask := &hashleasev1.ListChannelsRequest{Worker: c.Worker}
	for {
		ask.PageSize = int32(min(channelPage, c.Limit-len(list)))
		r, err := c.page(ctx, cl, ask)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, r.GetChannels()...)
		ask.PageToken = r.GetNextPageToken()
		if ask.PageToken == "" || len(list) >= c.Limit {
			return list, r.GetTotalSize(), nil
		}
	}
}

func (c *channelListCmd) page(
	ctx context.Context, cl *client, ask *hashleasev1.ListChannelsRequest,
) (*hashleasev1.ListChannelsResponse, error) {
	call, cancel := cl.call(ctx)
	defer cancel()
	return cl.operator.ListChannels(call, ask)
}

func printChannels(e *env, list []*hashleasev1.Channel) error {
	t := newTable(e.stdout, "CHANNEL", "WORKER", "KIND", "DIALECT", "DEVICE", "ADDRESS", "OPENED",
		"LAST SHARE", "ACCEPTED", "REJECTED", "DIFFICULTY", "HASHRATE", "PREFIX", "PAYS")
	for _, c := range list {
		t.row(shortChannel(c.GetName()), c.GetWorker(), kindWord(c.GetKind()), c.GetDialect(), c.GetDevice(),
			c.GetAddress(),
			clock(c.GetOpenTime()), clock(c.GetLastShareTime()),
			strconv.FormatUint(c.GetSharesAccepted(), 10), strconv.FormatUint(c.GetSharesRejected(), 10),
			fmt.Sprintf("%.4g", c.GetDifficulty()), unit.Hashrate(c.GetHashrate()).String(),
			prefixText(c.GetExtranoncePrefix()), payoutText(c))
	}
	return t.flush()
}

// prefixText is the part of a prefix that differs between channels: a standard one's is filled up with zeros.
func prefixText(hex string) string { return hex[:min(len(hex), 8)] }

func payoutText(c *hashleasev1.Channel) string {
	switch {
	case c.GetPayout() == "":
		return "the pool"
	case c.GetPoolPercent() == 0:
		return c.GetPayout()
	}
	return fmt.Sprintf("%s, %d %% the pool", c.GetPayout(), c.GetPoolPercent())
}

func kindWord(k hashleasev1.ChannelKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "CHANNEL_KIND_"))
}

// shortChannel is SESSION/CHANNEL, which channelName understands.
func shortChannel(name string) string {
	session, channel, _ := strings.Cut(strings.TrimPrefix(name, "sessions/"), "/channels/")
	return session + "/" + channel
}

// channelName is a channel's resource name.
func channelName(s string) (string, error) {
	session, channel, ok := strings.Cut(s, "/")
	if full, is := strings.CutPrefix(s, "sessions/"); is {
		session, channel, ok = strings.Cut(full, "/channels/")
	}
	_, errS := strconv.ParseUint(session, 10, 64)
	_, errC := strconv.ParseUint(channel, 10, 32)
	if !ok || errS != nil || errC != nil {
		return "", usagef("channel %q: SESSION/CHANNEL is accepted, as hashlease channel list shows it", s)
	}
	return "sessions/" + session + "/channels/" + channel, nil
}

// channelFlags name a channel and how to reach its server.
type channelFlags struct {
	clientFlags
	Channel string `arg:"" help:"The channel, as channel list shows it: SESSION/CHANNEL."`
}

// change calls the server about the channel.
func (c *channelFlags) change(
	ctx context.Context, call func(context.Context, hashleasev1.OperatorServiceClient, string) error,
) error {
	name, err := channelName(c.Channel)
	if err != nil {
		return err
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	ctx, cancel := cl.call(ctx)
	defer cancel()
	return call(ctx, cl.operator, name)
}

// show prints a changed channel.
func (c *channelFlags) show(e *env, ch *hashleasev1.Channel) error {
	if c.JSON {
		return e.jsonLine(ch)
	}
	return printChannels(e, []*hashleasev1.Channel{ch})
}

type channelPrefixCmd struct{ channelFlags }

// Run gives a channel another prefix.
func (c *channelPrefixCmd) Run(ctx context.Context, e *env) error {
	return c.change(ctx, func(ctx context.Context, o hashleasev1.OperatorServiceClient, name string) error {
		ch, err := o.RenewChannelPrefix(ctx, &hashleasev1.RenewChannelPrefixRequest{Name: name})
		if err != nil {
			return fmt.Errorf("changing the prefix: %w", err)
		}
		return c.show(e, ch)
	})
}

type channelPayoutCmd struct {
	channelFlags
	Address     string `arg:"" help:"Address that the coinbase of its jobs is to pay."`
	PoolPercent int32  `help:"Percentage of the coinbase for the pool; 0 to 99." default:"0" placeholder:"N"`
}

// Run lets a solo miner's coinbase pay another address.
func (c *channelPayoutCmd) Run(ctx context.Context, e *env) error {
	if c.PoolPercent < 0 || c.PoolPercent > 99 {
		return usagef("--pool-percent is %d: 0 to 99 is accepted", c.PoolPercent)
	}
	return c.change(ctx, func(ctx context.Context, o hashleasev1.OperatorServiceClient, name string) error {
		ch, err := o.SetChannelPayout(ctx, &hashleasev1.SetChannelPayoutRequest{
			Name: name, Payout: c.Address, PoolPercent: c.PoolPercent,
		})
		if err != nil {
			return fmt.Errorf("changing the payout: %w", err)
		}
		return c.show(e, ch)
	})
}

type channelCloseCmd struct {
	channelFlags
	Reason string `help:"What the miner is told, in printable ASCII." default:"closed-by-operator"`
}

// Run closes a channel.
func (c *channelCloseCmd) Run(ctx context.Context, e *env) error {
	return c.change(ctx, func(ctx context.Context, o hashleasev1.OperatorServiceClient, name string) error {
		r, err := o.CloseChannel(ctx, &hashleasev1.CloseChannelRequest{Name: name, Reason: c.Reason})
		if err != nil {
			return fmt.Errorf("closing the channel: %w", err)
		}
		if c.JSON {
			return e.jsonLine(r)
		}
		e.printf("Channel %s is closed; its durable shares are credited.\n", c.Channel)
		return nil
	})
}
