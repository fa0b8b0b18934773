package node

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// maxChallenge is the longest signet challenge in bytes: one push in the network's magic.
const maxChallenge = 252

// ParseNetwork turns a configured name into a network's parameters: mainnet, testnet3,
// testnet4, signet, regtest, simnet, or signet:CHALLENGE for a private
// signet, with the challenge in hexadecimal (51 needs no signature).
func ParseNetwork(name string) (*chaincfg.Params, error) {
	for _, p := range publicNetworks() {
		if p.Name == name {
			return p, nil
		}
	}
	if text, ok := strings.CutPrefix(name, "signet:"); ok {
		challenge, err := hex.DecodeString(text)
		if err != nil || len(challenge) == 0 || len(challenge) > maxChallenge {
			return nil, fmt.Errorf("network %q: signet challenge: 1 to %d bytes in hexadecimal are accepted",
				name, maxChallenge)
		}
		return Signet(challenge), nil
	}
	return nil, fmt.Errorf("network %q: mainnet, testnet3, testnet4, signet, regtest, simnet "+
		"and signet:CHALLENGE are accepted", name)
}

// Signet is a private signet with its own challenge script.
func Signet(challenge []byte) *chaincfg.Params {
	p := chaincfg.CustomSignetParams(bytes.Clone(challenge), nil)
	return &p
}

func publicNetworks() []*chaincfg.Params {
	return []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.TestNet4Params,
		&chaincfg.SigNetParams, &chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
	}
}

// networkName names a network for people by its magic number.
func networkName(magic uint32) string {
	for _, p := range publicNetworks() {
		if uint32(p.Net) == magic {
			return p.Name
		}
	}
	return fmt.Sprintf("a network with magic %08x (a signet with another challenge has its own)", magic)
}

// wrongNetwork is the error for a node that is on another network than configured.
func wrongNetwork(name, is string, want *chaincfg.Params) error {
	wanted := want.Name
	if magic := networkName(uint32(want.Net)); magic != wanted {
		wanted = fmt.Sprintf("%s with magic %08x", wanted, uint32(want.Net))
	}
	detail := fmt.Sprintf("it is on %s, the configuration says %s", is, wanted)
	return &notReady{name: name, state: State{WrongNetwork, detail}}
}
