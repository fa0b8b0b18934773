package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

const (
	payoutForms = "a p2pkh, p2sh, p2wpkh, p2wsh or p2tr address is accepted"
	maxAddress  = 90 // the longest bech32 text (BIP173)
)

// networks are those whose addresses can be told apart.
var networks = []*chaincfg.Params{
	&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.TestNet4Params,
	&chaincfg.SigNetParams, &chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
}

// Payout says whom the coinbase of a channel's jobs pays. The zero value is the pool. It is
// comparable: channels with equal payouts mine the same jobs.
type Payout struct {
	// Script is the output script of a miner who mines for himself; empty for the pool.
	Script string
	// Percent of the coinbase's value goes to the pool all the same: 0 to 99, rounded down to a satoshi.
	Percent uint8
}

// Solo reports whether the miner is paid by the coinbase, so that the pool owes nothing for the shares.
func (p Payout) Solo() bool { return p.Script != "" }

// PayoutScript is the output script that pays an address. An address of
// another network is refused: a node's validateaddress does not do that.
func PayoutScript(text string, params *chaincfg.Params) ([]byte, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxAddress {
		return nil, fmt.Errorf("payout address has %d bytes: %s", len(text), payoutForms)
	}
	a, err := decodePayout(text, params)
	if err != nil {
		if others := networksOf(text); len(others) > 0 {
			return nil, fmt.Errorf("payout address %q is for %s, but the network is %s",
				text, strings.Join(others, " or "), params.Name)
		}
		return nil, fmt.Errorf("payout address %q: %w: %s", text, err, payoutForms)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		return nil, fmt.Errorf("payout address %q: %w", text, err)
	}
	return script, nil
}

// networksOf are the names of the networks that the address is valid on.
func networksOf(text string) (names []string) {
	for _, p := range networks {
		if _, err := decodePayout(text, p); err == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// decodePayout reads an address of exactly this network. Bare public keys and anchors, which
// the library also takes for addresses, are refused.
func decodePayout(text string, params *chaincfg.Params) (address.Address, error) {
	a, err := address.DecodeAddress(text, params)
	if err != nil {
		return nil, err
	}
	switch a.(type) {
	case *address.AddressPubKeyHash, *address.AddressScriptHash, *address.AddressWitnessPubKeyHash,
		*address.AddressWitnessScriptHash, *address.AddressTaproot:
	default:
		return nil, errors.New("not of a type that can be paid")
	}
	if !a.IsForNet(params) {
		return nil, errors.New("not of this network")
	}
	return a, nil
}
