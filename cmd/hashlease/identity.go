package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// Lives of the certificates that miners are shown. They start in the past, because miners' clocks
// are poor, and are renewed long before they end.
const (
	identityBackdate = time.Hour
	identityLife     = 6 * time.Hour
	identityRenew    = time.Hour
	ephemeralStock   = 10_000 // handshake keys made ahead, about 1 MB: a whole site that comes back
)

// identities holds the newest certificate under the authority's key.
type identities struct {
	authority *noise.Authority
	stock     *noise.Stock
	newest    atomic.Pointer[noise.Identity]
}

// openIdentities reads the authority's secret and makes the first certificate.
func openIdentities(path string) (*identities, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the authority key (hashlease init makes one): %w", err)
	}
	authority, err := noise.ParseAuthority(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading the authority key %s: %w", path, err)
	}
	i := &identities{authority: authority, stock: noise.NewStock(ephemeralStock)}
	return i, i.renew(time.Now())
}

func (i *identities) current() *noise.Identity { return i.newest.Load() }

func (i *identities) renew(now time.Time) error {
	id, err := noise.NewIdentity(i.authority, now.Add(-identityBackdate), now.Add(identityLife))
	if err != nil {
		return err
	}
	id.Stock = i.stock
	i.newest.Store(id)
	return nil
}

// run renews the certificate in time and keeps the stock filled, until ctx ends.
func (i *identities) run(ctx context.Context) error {
	filled := make(chan error, 1)
	go func() { filled <- i.stock.Run(ctx) }() // ends with ctx
	tick := time.NewTicker(identityRenew)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := i.renew(time.Now()); err != nil {
				return err
			}
		case <-ctx.Done():
			return <-filled
		}
	}
}
