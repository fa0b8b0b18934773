package main

import (
	"context"
	"fmt"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type channelMessageCmd struct {
	clientFlags
	Channel string `help:"To its miner: as channel list shows it." placeholder:"ID" xor:"to" required:""`
	Worker  string `help:"To this worker's or account's miners." placeholder:"NAME" xor:"to" required:""`
	All     bool   `help:"To every miner." xor:"to" required:""`
	Text    string `arg:"" help:"The line: 1 to 255 bytes of printable ASCII."`
}

// Help says whom it cannot reach.
func (*channelMessageCmd) Help() string {
	return "Stratum V1 has a message for people, client.show_message; what a miner does with it is up to " +
		"its firmware. Stratum V2 has none: its channels are counted and hear nothing. The exit status " +
		"is 0 if any miner was sent the line."
}

// Run sends a line to the people at miners.
func (c *channelMessageCmd) Run(ctx context.Context, e *env) error {
	ask, err := c.request()
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
	r, err := cl.operator.ShowMessage(ctx, ask)
	if err != nil {
		return fmt.Errorf("sending the message: %w", err)
	}
	return c.show(e, r)
}

// request is what the flags ask for.
func (c *channelMessageCmd) request() (*hashleasev1.ShowMessageRequest, error) {
	ask := &hashleasev1.ShowMessageRequest{Text: c.Text}
	switch {
	case c.All:
		ask.Scope = &hashleasev1.ShowMessageRequest_All{All: true}
	case c.Worker != "":
		ask.Scope = &hashleasev1.ShowMessageRequest_Worker{Worker: c.Worker}
	case c.Channel != "":
		name, err := channelName(c.Channel)
		if err != nil {
			return nil, err
		}
		ask.Scope = &hashleasev1.ShowMessageRequest_Channel{Channel: name}
	default:
		return nil, usagef("the message is to nobody: --channel ID, --worker NAME or --all is accepted")
	}
	return ask, nil
}

// show prints who was told. That nobody was is a failure: somebody meant to be heard.
func (c *channelMessageCmd) show(e *env, r *hashleasev1.ShowMessageResponse) error {
	if c.JSON {
		if err := e.jsonLine(r); err != nil {
			return err
		}
	} else {
		e.printf("%s told.\n", counted(r.GetTold(), "miner was", "miners were"))
		if n := r.GetUnreachable(); n > 0 {
			e.printf("%s of Stratum V2, which has no message for people.\n",
				counted(n, "channel is", "channels are"))
		}
		if n := r.GetBehind(); n > 0 {
			e.printf("%s left out: too much waits for it to be read already.\n",
				counted(n, "miner was", "miners were"))
		}
	}
	if r.GetTold() == 0 {
		return errReported
	}
	return nil
}

// counted is a number with what is counted.
func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
