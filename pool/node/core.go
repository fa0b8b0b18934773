package node

import (
	"context"
	"encoding/hex"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Core is a Bitcoin Core node over HTTP. Next and SubmitBlock work while Run does.
//
// Core announces nothing over HTTP, so it is asked for its newest block four times a
// second, on a connection that stays open.
type Core struct{ follower }

// NewCore checks the configuration and returns a node that connects when Run is called.
func NewCore(cfg Config) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(defaultPollCore)
	return &Core{follower{cfg: cfg, open: dialPoster, check: checkCore, kick: make(chan struct{}, 1)}}, nil
}

// checkCore refuses a node on another network.
func checkCore(ctx context.Context, l link, cfg Config) error {
	info, err := ask[struct {
		Chain     string `json:"chain"`
		Challenge string `json:"signet_challenge"` // since Core 28
	}](ctx, l, "getblockchaininfo")
	if err != nil {
		return err
	}
	if info.Chain != coreName(cfg.Network) {
		return wrongNetwork(cfg.Name, info.Chain, cfg.Network)
	}
	if info.Challenge != "" {
		challenge, err := hex.DecodeString(info.Challenge)
		if err != nil {
			return fieldError("signet_challenge", "%.20q, hexadecimal digits are accepted", info.Challenge)
		}
		if Signet(challenge).Net != cfg.Network.Net {
			return wrongNetwork(cfg.Name, "signet with challenge "+clip(info.Challenge), cfg.Network)
		}
	}
	return checkGenesis(ctx, l, cfg)
}

// coreName is Core's name for a network.
func coreName(p *chaincfg.Params) string {
	switch p.Name {
	case chaincfg.MainNetParams.Name:
		return "main"
	case chaincfg.TestNet3Params.Name:
		return "test"
	}
	return p.Name
}
