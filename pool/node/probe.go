package node

import (
	"context"
	"errors"

	"github.com/hashlease/hashlease/pool"
)

// Probe connects once, checks access and network and asks for a template: what is
// wrong with a configured node, for people.
func (f *follower) Probe(ctx context.Context) error {
	l, err := f.open(ctx, f.cfg)
	if err == nil {
		defer l.close()
		err = f.bounded(ctx, func(ctx context.Context) error { return f.check(ctx, l, f.cfg) })
	}
	if err == nil {
		err = f.bounded(ctx, func(ctx context.Context) error {
			text, err := l.call(ctx, "getblocktemplate", templateRequest(f.cfg.Network))
			if err != nil {
				return err
			}
			_, err = decodeTemplate(text, f.cfg.Network)
			return err
		})
	}
	if err == nil || errors.Is(err, pool.ErrNodeNotReady) {
		return err
	}
	return asNotReady(f.cfg.Name, err)
}
