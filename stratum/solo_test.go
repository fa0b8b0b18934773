package stratum_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool"
)

// soloAddress is paid by those who mine for themselves.
const soloAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"

// payees opens a channel for an identity beside one of the pool's, and is what the coinbase of its full job
// pays: to the pool and to the address. The coinbase is put together from the job's parts, as a client
// can.
func payees(t *testing.T, identity string) (toPool, toMiner int64, refusal string) {
	t.Helper()
	p := newPeer(t)
	p.run("setup flags=4")
	p.run("open-extended request=1 user=alice.other size=4")
	said := p.run("open-extended request=2 size=4 user=" + identity)
	if strings.HasPrefix(said, "OpenMiningChannel.Error") {
		return 0, 0, strings.Fields(said)[2]
	}
	var ch *mined // the second one: a group of its own may have taken the id between
	for id, c := range p.channels {
		if id != 2 {
			ch = c
		}
	}
	j := ch.active
	raw := append([]byte(nil), j.extended.CoinbasePrefix...)
	raw = append(append(raw, ch.prefix...), make([]byte, ch.size)...)
	raw = append(raw, j.extended.CoinbaseSuffix...)
	var tx wire.MsgTx
	if err := tx.DeserializeNoWitness(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	solo, err := pool.PayoutScript(soloAddress, &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range tx.TxOut {
		switch {
		case bytes.Equal(out.PkScript, solo):
			toMiner += out.Value
		case bytes.Equal(out.PkScript, append([]byte{0x00, 0x14}, make([]byte, 20)...)):
			toPool += out.Value
		}
	}
	return toPool, toMiner, ""
}

// soloValue is what the coinbase of a full job of newPeer claims.
const soloValue = 3_1250_0000 + 1

// wantPayees fails unless the coinbase pays the whole value in these parts.
func wantPayees(t *testing.T, identity string, wantPool, wantMiner int64) {
	t.Helper()
	toPool, toMiner, refusal := payees(t, identity)
	if toPool != wantPool || toMiner != wantMiner || refusal != "" {
		t.Errorf("%s: %d to the pool and %d to the miner, want %d and %d; refused: %q",
			identity, toPool, toMiner, wantPool, wantMiner, refusal)
	}
}

// Ensure that an address that is none is refused, and not paid to the pool.
func TestSRI_SoloInvalidPayoutAddress(t *testing.T) {
	if _, _, refusal := payees(t, "sri/solo/bc1nobody/rig"); refusal != "invalid-user-identity" {
		t.Errorf("got %q", refusal)
	}
}

// Ensure that an identity of the scheme that is malformed is refused.
func TestSRI_SoloWrongUserIdentity(t *testing.T) {
	for _, identity := range []string{
		"sri/solo", "sri/else/" + soloAddress, "sri/donate/101/" + soloAddress + "/r",
	} {
		if _, _, refusal := payees(t, identity); refusal != "invalid-user-identity" {
			t.Errorf("%s: got %q", identity, refusal)
		}
	}
}

// Ensure that any other identity mines for the pool.
func TestSRI_SoloRandomUserIdentity(t *testing.T) { wantPayees(t, "anybody.rig", soloValue, 0) }

// Ensure that a bare address with a worker mines for itself.
func TestSRI_SoloLegacyPattern(t *testing.T) {
	wantPayees(t, soloAddress, 0, soloValue)
	wantPayees(t, soloAddress+".rig", 0, soloValue)
}

// Ensure that a solo identity is paid everything.
func TestSRI_SoloPattern(t *testing.T) { wantPayees(t, "sri/solo/"+soloAddress+"/rig", 0, soloValue) }

// Ensure that a full donation goes to the pool.
func TestSRI_SoloFullDonate(t *testing.T) { wantPayees(t, "sri/donate/rig", soloValue, 0) }

// Ensure that a full donation needs no worker.
func TestSRI_SoloFullDonateNoWorkerName(t *testing.T) { wantPayees(t, "sri/donate", soloValue, 0) }

// Ensure that a donation in per cent is split to the satoshi.
func TestSRI_SoloPartialDonation(t *testing.T) {
	fee := int64(soloValue) * 30 / 100
	wantPayees(t, "sri/donate/30/"+soloAddress+"/rig", fee, soloValue-fee)
}
