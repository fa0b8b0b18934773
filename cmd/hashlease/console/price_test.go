package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/governor"
)

// Ensure that the page and the metrics are given what power costs and whom it stops, and nothing of it where
// no tariff is configured.
func TestConsole_ShowsPrices(t *testing.T) {
	next := time.Now()
	s := newSite(t, func(f *figures) {
		f.power.Sites[0].Price = governor.PriceStatus{
			Known: true, Price: 90_000, Source: "time of use", Next: next, NextPrice: 40_000,
			FeedFault: "no answer", Stopped: 7, Saved: 1500,
		}
	})
	want := priceView{90_000, "time of use", next.UnixMilli(), 40_000, true, 7, 1500}
	if v := s.console.snapshot(s.console.frame()).Sites[0].Price; v == nil || *v != want {
		t.Errorf("the page is shown %+v, want %+v", v, want)
	}
	_, body := s.do(http.MethodGet, "/metrics", nil, "Authorization", "Bearer "+adminKey)
	for _, want := range []string{
		`hashlease_governor_tariff_msat_per_kwh{site="north"} 90000`,
		`hashlease_governor_workers_stopped_by_price{site="north"} 7`,
		`hashlease_governor_saved_msat_per_hour{site="north"} 1500`,
		`hashlease_governor_price_feed_lost{site="north"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	if v := open(t, nil); v.snapshot(v.frame()).Sites[0].Price != nil {
		t.Error("a price is shown without a tariff")
	}
}
