package node

import (
	"context"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// Source is a node that is kept up with in the background: what Relay joins.
type Source interface {
	pool.Node
	Name() string
	State() State
	Run(ctx context.Context) error // until ctx ends
	// BlockAt is the block at a height of its best chain, nil if the chain is not that high.
	BlockAt(ctx context.Context, height int32) (*chainhash.Hash, error)
}

var (
	_ Source = (*Btcd)(nil)
	_ Source = (*Core)(nil)
)

// Btcd is a btcd node over its websocket. Next and SubmitBlock work while Run does.
type Btcd struct{ follower }

// NewBtcd checks the configuration and returns a node that connects when Run is called.
func NewBtcd(cfg Config) (*Btcd, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(defaultPollBtcd)
	return &Btcd{follower{cfg: cfg, open: dialSocket, check: checkBtcd, kick: make(chan struct{}, 1)}}, nil
}

// checkBtcd refuses a node on another network. A private signet differs from the
// public one only by its magic, other networks by their first block too.
func checkBtcd(ctx context.Context, l link, cfg Config) error {
	magic, err := ask[uint32](ctx, l, "getcurrentnet")
	if codeOf(err) == codeUnknownMethod {
		return fieldError("getcurrentnet", "not known: this is no btcd")
	}
	if err != nil {
		return err
	}
	if magic != uint32(cfg.Network.Net) {
		return wrongNetwork(cfg.Name, networkName(magic), cfg.Network)
	}
	return checkGenesis(ctx, l, cfg)
}

func checkGenesis(ctx context.Context, l link, cfg Config) error {
	genesis, err := askHash(ctx, l, "getblockhash", 0)
	if err != nil {
		return err
	}
	if genesis != *cfg.Network.GenesisHash {
		return wrongNetwork(cfg.Name, "a chain that begins with "+genesis.String(), cfg.Network)
	}
	return nil
}
