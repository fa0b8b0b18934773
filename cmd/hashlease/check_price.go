package main

import (
	"context"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// priceProbes ask every price feed once.
func priceProbes(cfg *config.Config) []probe {
	var out []probe
	for i := range cfg.Sites {
		s := &cfg.Sites[i]
		if s.Prices == nil || s.Prices.Feed == nil {
			continue
		}
		out = append(out, probe{"price feed of " + string(s.ID), func(ctx context.Context) (string, error) {
			feed, err := s.Prices.Feed.Open()
			if err != nil {
				return "", fixf(err, "edit [site.tariff.feed]")
			}
			defer feed.Close()
			q, err := feed.Price(ctx)
			if err != nil {
				return "", fixf(err, "compare url, path, scale and currency with the answer in a browser; "+
					"until it answers the site's tariff counts")
			}
			return q.Price.String() + " a kWh, compare with your supplier's", nil
		}})
	}
	return out
}
