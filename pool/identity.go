package pool

import "fmt"

// AccountID names the owner of shares: who is credited. One account may have many workers.
type AccountID string

// WorkerID names one mining machine: "account.worker". It is the same in the
// pool, in the fleet and in the ledger.
type WorkerID string

// MaxIdentity is the longest user identity in bytes that a worker may have
// (STR0_255 on the wire, sv2-spec 03 §3.1).
const MaxIdentity = 255

const (
	// defaultWorker is what an identity without a worker name gets.
	defaultWorker = ".default"
	maxAccount    = MaxIdentity - len(defaultWorker)
)

// ParseIdentity splits a user identity "account.worker" into its account and its
// worker. A missing worker name becomes "default". It refuses what cannot
// be shown or stored safely and says what is accepted.
func ParseIdentity(s string) (AccountID, WorkerID, error) {
	if s == "" || len(s) > MaxIdentity {
		return "", "", fmt.Errorf("identity has %d bytes: 1 to %d are accepted", len(s), MaxIdentity)
	}
	dot := -1
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if dot < 0 {
				dot = i
			}
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == ':':
		default:
			return "", "", fmt.Errorf("identity byte %d is %q: letters, digits, - _ : . are accepted", i, c)
		}
	}
	switch {
	case dot < 0 && len(s) > maxAccount:
		return "", "", fmt.Errorf("account has %d bytes: up to %d are accepted", len(s), maxAccount)
	case dot < 0:
		return AccountID(s), WorkerID(s + defaultWorker), nil
	case dot == 0 || dot == len(s)-1:
		return "", "", fmt.Errorf("identity %q has an empty account or worker: account.worker is accepted", s)
	}
	return AccountID(s[:dot]), WorkerID(s), nil
}

// Account is the account part of the worker's identity.
func (w WorkerID) Account() AccountID {
	for i := range len(w) {
		if w[i] == '.' {
			return AccountID(w[:i])
		}
	}
	return AccountID(w)
}

// Credit is accepted work that is owed to a worker: the sum over a few of its shares.
type Credit struct {
	Worker WorkerID
	Shares uint64 // number of accepted shares
	Work   uint64 // expected hashes behind them: the sum of the jobs' Target.Work
}
