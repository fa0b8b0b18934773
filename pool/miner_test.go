package pool_test

import (
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/pool"
)

const (
	mainAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	testAddress = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
	rootAddress = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
	oldAddress  = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"
)

// Ensure that user names are read as people and firmware write them: odd characters, cut or encoded ones
// keep no machine away, and never credit somebody else (pools, rule 18).
func TestV1_18_UserNamesOfEveryKindMine(t *testing.T) {
	long := strings.Repeat("w", 300)
	for user, want := range map[string]string{
		"alice":                          "alice.default",
		"alice.rig1":                     "alice.rig1",
		"alice.":                         "alice.default",
		"alice...":                       "alice.default",
		" alice.rig1\n":                  "alice.rig1",
		"alice.rig 1":                    "alice.rig_1",
		"alice.röhre/7":                  "alice.r_hre_7",
		"alice.\xff\x00":                 "alice.__",
		"alice%2Erig%201":                "alice.rig_1",
		"alice.100%":                     "alice.100_",
		"alice.%zz":                      "alice._zz",
		"alice.a.b:c":                    "alice.a.b:c",
		"alice." + long:                  "alice." + long[:249],
		mainAddress:                      mainAddress + ".default",
		mainAddress + ".rig":             mainAddress + ".rig",
		mainAddress + "/rig":             mainAddress + ".rig",
		mainAddress + "_rig":             mainAddress + ".rig",
		mainAddress + "-a_b":             mainAddress + ".a_b",
		mainAddress + "ä1":               mainAddress + ".1",
		mainAddress + "+rig 2":           mainAddress + ".rig_2",
		mainAddress + "%2Frig":           mainAddress + ".rig",
		strings.ToUpper(mainAddress):     mainAddress + ".default",
		oldAddress + ".x":                oldAddress + ".x",
		rootAddress + ".":                rootAddress + ".default", // an Avalon's 63 bytes
		(rootAddress + ".garage")[:63]:   rootAddress + ".default",
		(mainAddress + "." + long)[:127]: mainAddress + "." + long[:127-43],
		"1miner":                         "1miner.default",
		"mySuperAccountForMining.x":      "mySuperAccountForMining.x",
	} {
		got, err := pool.ParseMiner(user, &chaincfg.MainNetParams)
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", user, got, err, want)
		}
	}
}

// Ensure that a user name whose account is in doubt is refused, with what is wrong and what is accepted: its
// shares would be somebody else's, or nobody's.
func TestV1_18_DoubtfulAccountsAreRefused(t *testing.T) {
	for user, words := range map[string][]string{
		"":                              {"0 bytes", "account.worker"},
		".rig":                          {"0 bytes", "account.worker"},
		"al ice.rig":                    {`' '`, "account.worker or ADDRESS.worker"},
		"älice.rig":                     {"byte 0"},
		"alice/rig":                     {`'/'`},
		"sri%2Fsolo/" + mainAddress:     {`'/'`},
		"solo:" + mainAddress:           {"solo:"},
		"solo%3Ax.y":                    {"solo:"},
		testAddress + ".rig":            {"testnet", "signet", "the network is mainnet"},
		mainAddress[:41] + "5.rig":      {"typing error"},
		mainAddress[:30]:                {"typing error"},
		oldAddress[:33] + "3.rig":       {"typing error"},
		"bc1pfeesrawgfxxxx":             {"typing error"},
		strings.Repeat("a", 248):        {"248 bytes", "247"},
		strings.Repeat("a", 1025):       {"1025 bytes", "255"},
		strings.Repeat("a", 300) + ".b": {"300 bytes"},
	} {
		got, err := pool.ParseMiner(user, &chaincfg.MainNetParams)
		if got != "" {
			t.Errorf("%q is %q", user, got)
		}
		names(t, err, words...)
	}
}

// Ensure that addresses of every standard type are accounts on their network, and named with it on another.
func TestParseMiner_TakesEveryStandardAddress(t *testing.T) {
	for _, p := range []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.SigNetParams,
		&chaincfg.RegressionNetParams,
	} {
		for _, text := range addresses(t, p) {
			got, err := pool.ParseMiner(text+".w", p)
			if err != nil || string(got) != text+".w" {
				t.Errorf("%s on %s: %q, %v", text, p.Name, got, err)
			}
			if _, err = pool.ParseMiner(text+".w", &chaincfg.SimNetParams); err == nil {
				t.Errorf("%s of %s mines on simnet", text, p.Name)
			} else if !strings.Contains(err.Error(), "the network is simnet") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// Ensure that a miner for himself is known by the same ways of writing.
func TestParseSolo_ReadsAddressesAsFirmwareWritesThem(t *testing.T) {
	for _, user := range []string{
		mainAddress + ".rig", mainAddress + "/rig", mainAddress + "%2Erig",
		strings.ToUpper(mainAddress) + "_rig",
	} {
		p, worker, err := pool.ParseSolo(user, &chaincfg.MainNetParams)
		if err != nil || !p.Solo() || string(worker) != "solo:"+mainAddress+".rig" {
			t.Errorf("%q: %+v, %q, %v", user, p, worker, err)
		}
	}
}

// FuzzParseMiner: every user name is refused, or is an identity that reads as itself.
func FuzzParseMiner(f *testing.F) {
	for _, s := range []string{
		"alice.rig", mainAddress + "%2f\xff", strings.ToUpper(mainAddress), "%", "%%41", "a.%E2%82",
		oldAddress + "_", ".",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		worker, err := pool.ParseMiner(s, &chaincfg.MainNetParams)
		if err != nil {
			if worker != "" {
				t.Errorf("%q: an error and a result", s)
			}
			return
		}
		account, same, err := pool.ParseIdentity(string(worker))
		if err != nil || same != worker || account != worker.Account() {
			t.Errorf("%q is %q, which is %q of %q, %v", s, worker, same, account, err)
		}
		again, err := pool.ParseMiner(string(worker), &chaincfg.MainNetParams)
		if err != nil || again != worker {
			t.Errorf("%q is %q, which is %q, %v", s, worker, again, err)
		}
	})
}
