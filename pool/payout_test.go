package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/pool"
)

// addresses are one of each standard type on a network, by the script that pays it.
func addresses(t *testing.T, p *chaincfg.Params) map[string]string {
	t.Helper()
	out := map[string]string{}
	add := func(script string, a address.Address, err error) {
		if err != nil {
			t.Fatal(err)
		}
		out[script] = a.EncodeAddress()
	}
	h20, h32 := make([]byte, 20), make([]byte, 32)
	x20, x32 := strings.Repeat("00", 20), strings.Repeat("00", 32)
	pkh, err := address.NewAddressPubKeyHash(h20, p)
	add("76a914"+x20+"88ac", pkh, err)
	sh, err := address.NewAddressScriptHashFromHash(h20, p)
	add("a914"+x20+"87", sh, err)
	wpkh, err := address.NewAddressWitnessPubKeyHash(h20, p)
	add("0014"+x20, wpkh, err)
	wsh, err := address.NewAddressWitnessScriptHash(h32, p)
	add("0020"+x32, wsh, err)
	tr, err := address.NewAddressTaproot(h32, p)
	add("5120"+x32, tr, err)
	return out
}

// Ensure that every standard type of address is paid on every network.
func TestPayoutScript_PaysEveryStandardType(t *testing.T) {
	for _, p := range []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.TestNet4Params, &chaincfg.SigNetParams,
		&chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
	} {
		for script, text := range addresses(t, p) {
			for _, text := range []string{text, " " + text + "\n"} {
				got, err := pool.PayoutScript(text, p)
				if err != nil || fmt.Sprintf("%x", got) != script {
					t.Errorf("%s on %s: %x, %v; want %s", text, p.Name, got, err, script)
				}
			}
		}
	}
}

// Ensure that an address of another network is refused with both networks named.
func TestPayoutScript_NamesBothNetworks(t *testing.T) {
	for _, text := range addresses(t, &chaincfg.MainNetParams) {
		_, err := pool.PayoutScript(text, &chaincfg.SimNetParams)
		names(t, err, "mainnet", "simnet")
	}
	for _, text := range addresses(t, &chaincfg.SigNetParams) {
		_, err := pool.PayoutScript(text, &chaincfg.MainNetParams)
		names(t, err, "mainnet", "signet")
	}
}

// Ensure that what is no address, or none that can be paid, is refused and the accepted types named.
func TestPayoutScript_RefusesTheRest(t *testing.T) {
	for _, text := range []string{
		"", "x", "1BoatSLRHtKNngkdXEeobR76b53LETtpyX", // a wrong checksum
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", // one letter changed
		"BC1SW50QGDZ25J", // witness version 16
		"bc1pfeesrawgf",  // pay to anchor
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", // a public key
		strings.Repeat("1", 5000),
	} {
		_, err := pool.PayoutScript(text, &chaincfg.MainNetParams)
		names(t, err, "p2tr")
	}
}

// names fails unless the error has all the words.
func names(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want it to name %s", err, w)
		}
	}
}

// An address becomes the script that pays it.
func ExamplePayoutScript() {
	script, err := pool.PayoutScript("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &chaincfg.MainNetParams)
	fmt.Printf("%x %v\n", script, err)
	// Output: 0014751e76e8199196d454941c45d1b3a323f1433bd6 <nil>
}
