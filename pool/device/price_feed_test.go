package device_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashlease/hashlease/pool/device"
)

// priceServer answers /price and /btc with what is set.
func priceServer(t *testing.T) (url string, price, btc *atomic.Value) {
	t.Helper()
	price, btc = new(atomic.Value), new(atomic.Value)
	price.Store("")
	btc.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := price
		if r.URL.Path == "/btc" {
			body = btc
		}
		text := body.Load().(string)
		if text == "" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL, price, btc
}

// Ensure that prices are read by path, scale and currency, with a bitcoin's price fixed or from a feed of its
// own that may be away for a while, and that negative ones are prices too.
func TestPriceFeed_ReadsPathsScalesAndCurrencies(t *testing.T) {
	base, price, btc := priceServer(t)
	source := func(path string, scale float64) device.PriceSource {
		return device.PriceSource{URL: base + "/price", Path: path, Scale: scale}
	}
	for _, c := range []struct {
		cfg         device.PriceFeedConfig
		answer, btc string
		want        int64
	}{
		{device.PriceFeedConfig{PriceSource: source("", 0)}, `42000`, "", 42_000},
		{
			device.PriceFeedConfig{PriceSource: source("data.1.p", 2)},
			`{"data":[{},{"p":"21000.4"}]}`, "", 42_001,
		},
		{device.PriceFeedConfig{PriceSource: source("-1", 1)}, `[1,2,-3]`, "", -3},
		{device.PriceFeedConfig{ // 50 USD a MWh
			PriceSource: source("rtm", 0.001), Currency: device.InUSD, Rate: 100_000,
		}, `{"rtm":50}`, "", 50_000},
		{device.PriceFeedConfig{
			PriceSource: source("rtm", 0.001), Currency: device.InUSD,
			RateFrom: device.PriceSource{URL: base + "/btc", Path: "bitcoin.usd"},
		}, `{"rtm":50}`, `{"bitcoin":{"usd":50000}}`, 100_000},
	} {
		price.Store(c.answer)
		btc.Store(c.btc)
		f, err := device.NewPriceFeed(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		q, err := f.Price(t.Context())
		if err != nil || int64(q.Price) != c.want || q.At.IsZero() {
			t.Errorf("%+v: %+v, %v; want %d msat", c.cfg, q, err, c.want)
		}
		btc.Store("")
		if q, err := f.Price(t.Context()); err != nil || int64(q.Price) != c.want {
			t.Errorf("%+v without a rate: %+v, %v", c.cfg, q, err)
		}
		price.Store("")
		_, err = f.Price(t.Context())
		if !errors.Is(err, device.ErrPrice) || !strings.Contains(err.Error(), "503") {
			t.Errorf("no answer gave %v", err)
		}
		f.Close()
	}
}

// Ensure that answers which are no prices are refused by what is wrong with them, that none is read beyond
// its bound, and that no error shows the URL, which may hold a key.
func TestPriceFeed_RefusesWhatIsNoPrice(t *testing.T) {
	base, price, _ := priceServer(t)
	f, err := device.NewPriceFeed(device.PriceFeedConfig{PriceSource: device.PriceSource{
		URL: base + "/price?key=secret", Path: "p",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for answer, want := range map[string]string{
		`{`:             "not a price",
		`{"q":1}`:       `no "p"`,
		`[1]`:           `no "p"`,
		`{"p":{}}`:      "is no number",
		`{"p":"NaN"}`:   "is no number",
		`{"p":1e300}`:   "either way is accepted",
		`{"p":"1e999"}`: "is no number",
		`{"p":` + strings.Repeat(" ", device.MaxPrice) + `1}`: "more than",
	} {
		price.Store(answer)
		_, err := f.Price(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 500 {
			t.Errorf("%.40s: %v", answer, err)
		}
	}
	gone, err := device.NewPriceFeed(device.PriceFeedConfig{PriceSource: device.PriceSource{
		URL: "http://127.0.0.1:1/price?key=secret",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Price(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

// Ensure that every fault of a configuration is named at once.
func TestNewPriceFeed_NamesEveryFault(t *testing.T) {
	good := device.PriceSource{URL: "http://h/p"}
	for _, c := range []struct {
		cfg  device.PriceFeedConfig
		want []string
	}{
		{device.PriceFeedConfig{
			PriceSource: device.PriceSource{URL: "ftp://h", Path: "a..b", Scale: math.NaN()}, Currency: "eur",
			Timeout: -1, RateKept: -1,
		}, []string{"url: http", `path "a..b"`, "scale is NaN", `currency "eur"`, "timeout is", "rate kept"}},
		{device.PriceFeedConfig{PriceSource: good, Currency: device.InUSD}, []string{"needs a rate"}},
		{device.PriceFeedConfig{PriceSource: good, Rate: 5}, []string{"currency is not usd"}},
		{device.PriceFeedConfig{PriceSource: good, Currency: device.InUSD, Rate: 0.5}, []string{"1 to 1e9"}},
		{device.PriceFeedConfig{
			PriceSource: good, Currency: device.InUSD, Rate: 5, RateFrom: good,
		}, []string{"one of the two"}},
		{device.PriceFeedConfig{
			PriceSource: good, Currency: device.InUSD, RateFrom: device.PriceSource{Path: "x"},
		}, []string{"btc_usd_url"}},
	} {
		_, err := device.NewPriceFeed(c.cfg)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("no word about %q in %v", want, err)
			}
		}
	}
}

// FuzzDecodePrice looks for answers that panic, or that give what is no number.
func FuzzDecodePrice(f *testing.F) {
	f.Add([]byte(`{"data":[{"p":"1.5"}]}`), "data.0.p", 2.0)
	f.Add([]byte(`[1,2]`), "-1", 0.0)
	f.Add([]byte(`{"":1}`), "", 1.0)
	f.Fuzz(func(t *testing.T, b []byte, path string, scale float64) {
		v, err := device.DecodePrice(b, &device.PriceSource{Path: path, Scale: scale})
		if err != nil && (v != 0 || !errors.Is(err, device.ErrPrice)) {
			t.Errorf("%v with error %v", v, err)
		}
		_, again := device.DecodePrice(b, &device.PriceSource{Path: path})
		if (again == nil) != (err == nil) {
			t.Errorf("the scale decides what is a price: %v, %v", err, again)
		}
	})
}
