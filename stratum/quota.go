package stratum

import (
	"net/netip"
	"sync"

	"github.com/hashlease/hashlease/pool"
)

// quotas count the channels that are open: in all, of each account and from each address.
type quotas struct {
	mu      sync.Mutex
	all     int                    // guarded by mu
	account map[pool.AccountID]int // guarded by mu
	address map[netip.Prefix]int   // guarded by mu
}

func newQuotas() *quotas {
	return &quotas{account: map[pool.AccountID]int{}, address: map[netip.Prefix]int{}}
}

// take counts one channel more, unless one of the bounds is reached.
func (q *quotas) take(cfg *Config, account pool.AccountID, address netip.Prefix) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= cfg.MaxAllChannels || q.account[account] >= cfg.MaxAccountChannels ||
		q.address[address] >= cfg.MaxAddressChannels {
		return false
	}
	q.all++
	q.account[account]++
	q.address[address]++
	return true
}

// give counts one channel less.
func (q *quotas) give(account pool.AccountID, address netip.Prefix) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	if q.account[account]--; q.account[account] <= 0 {
		delete(q.account, account)
	}
	if q.address[address]--; q.address[address] <= 0 {
		delete(q.address, address)
	}
}
