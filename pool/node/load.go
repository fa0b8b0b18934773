package node

import (
	"context"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// loadChain reads enough headers from a node to know its next block.
func loadChain(ctx context.Context, l link, p *chaincfg.Params) (*chain, error) {
	best, err := askHash(ctx, l, "getbestblockhash")
	if err != nil {
		return nil, err
	}
	place, err := ask[struct {
		Height int32 `json:"height"`
	}](ctx, l, "getblockheader", best.String(), true)
	if err != nil {
		return nil, err
	}
	if place.Height < 0 {
		return nil, fieldError("height", "%d", place.Height)
	}
	c := &chain{params: p, recent: make([]header, min(chainSpan, int(place.Height)+1))}
	for i, hash := len(c.recent)-1, best; i >= 0; i-- {
		h, err := askHeader(ctx, l, hash, place.Height-int32(len(c.recent)-1-i))
		if err != nil {
			return nil, err
		}
		c.recent[i], hash = h, h.prev
	}
	if p.PoWNoRetargeting {
		return c, nil
	}
	height := place.Height - place.Height%c.period()
	hash, err := askHash(ctx, l, "getblockhash", height)
	if err != nil {
		return nil, err
	}
	first, err := askHeader(ctx, l, hash, height)
	if err != nil {
		return nil, err
	}
	c.first = &first
	return c, nil
}
