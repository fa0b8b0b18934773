package node

import (
	"context"
)

// HoldTemplates makes each call for a template wait for a value from the
// returned channel, so that a test sees what is published before the answer.
func (f *follower) HoldTemplates() chan<- struct{} {
	gate, open := make(chan struct{}), f.open
	f.open = func(ctx context.Context, c Config) (link, error) {
		l, err := open(ctx, c)
		if err != nil {
			return nil, err
		}
		return heldLink{l, gate}, nil
	}
	return gate
}

// Mute makes the node announce nothing any more.
func (f *follower) Mute() {
	open := f.open
	f.open = func(ctx context.Context, c Config) (link, error) {
		l, err := open(ctx, c)
		if err != nil {
			return nil, err
		}
		return mutedLink{l}, nil
	}
}

type mutedLink struct{ link }

func (mutedLink) wake() <-chan struct{} { return nil }

type heldLink struct {
	link
	gate <-chan struct{}
}

func (h heldLink) call(ctx context.Context, method string, params ...any) ([]byte, error) {
	if method == "getblocktemplate" {
		select {
		case <-h.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.link.call(ctx, method, params...)
}
