package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// SoloAccount starts the accounts of miners whom the coinbase pays, and of nobody else: their
// shares are counted, and the pool owes nothing for them.
const SoloAccount = "solo:"

// Donated is the account of shares whose owner leaves all of their pay to the pool.
const Donated AccountID = "donated"

// errSolo says what identities of solo miners look like.
var errSolo = errors.New("sri/solo/ADDRESS/worker, sri/donate/PERCENT/ADDRESS/worker, " +
	"sri/donate/worker, ADDRESS.worker or account.worker is accepted")

// ParseSolo reads identities that say whom the coinbase pays, as the reference implementation's pool
// takes them:
//
//	sri/solo/ADDRESS[/worker], ADDRESS[.worker]   the miner; see ParseMiner
//	sri/donate/PERCENT/ADDRESS[/worker]           the miner, but for some percent
//	sri/donate[/worker]                           the pool
//
// The worker is empty, without an error, if the identity is of none of these forms: then it is an
// account's, paid by the pool.
func ParseSolo(identity string, params *chaincfg.Params) (Payout, WorkerID, error) {
	if !strings.HasPrefix(identity, "sri/") {
		return parseBare(identity, params)
	}
	parts := strings.Split(identity, "/")
	switch {
	case parts[1] == "solo" && (len(parts) == 3 || len(parts) == 4):
		return soloOf(parts[2], 0, parts[3:], params)
	case parts[1] == "donate" && len(parts) <= 3:
		_, worker, err := soloWorker(string(Donated), parts[2:])
		return Payout{}, worker, err
	case parts[1] == "donate" && len(parts) <= 5:
		percent, err := parsePercent(parts[2])
		if err != nil {
			return Payout{}, "", err
		}
		return soloOf(parts[3], percent, parts[4:], params)
	}
	return Payout{}, "", fmt.Errorf("identity %q: %w", identity, errSolo)
}

// parseBare reads ADDRESS[.worker]. What starts with the prefix of such accounts would be mistaken for
// one, and is refused.
func parseBare(identity string, params *chaincfg.Params) (Payout, WorkerID, error) {
	identity = strings.TrimSpace(unescape(identity))
	if strings.HasPrefix(identity, SoloAccount) {
		return Payout{}, "", fmt.Errorf("identity %q: accounts do not start with %s", identity, SoloAccount)
	}
	account, worker, found, err := cutAddress(identity, params)
	if err != nil || !found {
		return Payout{}, "", err
	}
	name := workerName(worker, MaxIdentity-len(SoloAccount)-len(account)-1)
	return soloOf(account, 0, []string{name}, params)
}

// parsePercent reads a whole number from 0 to 100.
func parsePercent(s string) (uint8, error) {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || len(s) > 3 {
			return 0, fmt.Errorf("donation %q: 0 to 100 percent are accepted", s)
		}
		n = 10*n + int(c-'0')
	}
	if s == "" || n > 100 {
		return 0, fmt.Errorf("donation %q: 0 to 100 percent are accepted", s)
	}
	return uint8(n), nil
}

func soloOf(address string, percent uint8, rest []string, params *chaincfg.Params) (Payout, WorkerID, error) {
	script, err := PayoutScript(address, params)
	if err != nil {
		return Payout{}, "", err
	}
	if percent == 100 {
		_, worker, err := soloWorker(string(Donated), rest)
		return Payout{}, worker, err
	}
	_, worker, err := soloWorker(SoloAccount+address, rest)
	if err != nil {
		return Payout{}, "", err
	}
	return Payout{Script: string(script), Percent: percent}, worker, nil
}

// soloWorker is the worker of an account, by a name if there is one.
func soloWorker(account string, name []string) (AccountID, WorkerID, error) {
	if len(name) == 1 {
		account += "." + name[0]
	}
	return ParseIdentity(account)
}
