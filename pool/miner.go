package pool

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

const (
	maxUserText = 1024 // bytes that a miner may send for its user name

	leastAddress = 14 // shorter texts are no addresses, not even with typing errors
)

// ParseMiner reads the user name of a miner, in either dialect, as people and firmware write it:
//
//	account.worker, account                                 an account of the pool
//	ADDRESS.worker, ADDRESS/worker, ADDRESS_worker, ...     one that is named by a bitcoin address
//
// The address is one of this network, of any type that can be paid; in bech32 it is written small. Anything
// that is no letter or digit may stand after it. An empty worker name is no name: some firmware cuts the
// text after 63 bytes. Percent signs are undone, as firmware makes them of odd characters. In the
// name of a worker what an identity does not take becomes an underscore and what is too long is cut,
// because a machine must not stay away over its label. The account says who is paid: there
// odd characters are refused, and so is what looks like an address with a typing error.
func ParseMiner(user string, params *chaincfg.Params) (WorkerID, error) {
	if len(user) > maxUserText {
		return "", fmt.Errorf("user name has %d bytes: up to %d are accepted", len(user), MaxIdentity)
	}
	user = strings.TrimSpace(unescape(user))
	if strings.HasPrefix(user, SoloAccount) {
		return "", fmt.Errorf("user name %q: accounts do not start with %s", user, SoloAccount)
	}
	account, worker, found, err := cutAddress(user, params)
	if err != nil {
		return "", err
	}
	if !found {
		account, worker, _ = strings.Cut(user, ".")
	}
	if _, _, err := ParseIdentity(account); err != nil {
		return "", fmt.Errorf("account %q: %w: account.worker or ADDRESS.worker is accepted", account, err)
	}
	id := account + "." + workerName(worker, MaxIdentity-len(account)-1)
	return WorkerID(id), nil
}

// cutAddress splits a user name that begins with an address of this network, as it is usually written. One
// of another network, or with a typing error, is an error.
func cutAddress(user string, params *chaincfg.Params) (account, worker string, found bool, err error) {
	head, rest := user, ""
	if i := strings.IndexFunc(user, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}); i >= 0 {
		_, n := utf8.DecodeRuneInString(user[i:])
		head, rest = user[:i], user[i+n:]
	}
	if len(head) < leastAddress || len(head) > maxAddress {
		return "", "", false, nil
	}
	a, err := decodePayout(head, params)
	if err == nil {
		return a.EncodeAddress(), rest, true, nil
	}
	if others := networksOf(head); len(others) > 0 {
		return "", "", false, fmt.Errorf("address %q is for %s, but the network is %s",
			head, strings.Join(others, " or "), params.Name)
	}
	if mistyped(head) {
		return "", "", false, fmt.Errorf("address %q has a typing error: %w", head, err)
	}
	return "", "", false, nil
}

// mistyped reports whether a text can only be meant to be an address: it begins like one in bech32, or is
// one in base58 but for its checksum.
func mistyped(text string) bool {
	raw := base58.Decode(text)
	for _, p := range networks {
		hrp := p.Bech32HRPSegwit + "1"
		if len(text) >= len(hrp) && strings.EqualFold(text[:len(hrp)], hrp) {
			return true
		}
		if len(raw) == 25 && (raw[0] == p.PubKeyHashAddrID || raw[0] == p.ScriptHashAddrID) {
			return true
		}
	}
	return false
}

// workerName is a worker's name as identities take it, of at most so many bytes.
func workerName(text string, room int) string {
	var b strings.Builder
	for _, r := range strings.Trim(text, " .") {
		c := byte('_')
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9',
			r == '-', r == '_', r == ':', r == '.':
			c = byte(r)
		}
		if b.Len() >= room {
			break
		}
		b.WriteByte(c)
	}
	if b.Len() == 0 {
		return defaultWorker[1:]
	}
	return b.String()
}

// unescape undoes percent signs, once. What is not followed by two hexadecimal digits stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// unhex is the value of a hexadecimal digit, negative if it is none.
func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}
