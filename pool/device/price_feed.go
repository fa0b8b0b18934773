package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of a price feed.
const (
	MaxPrice   = 1 << 20 // bytes of an answer that are read
	msatPerBTC = 1e11
)

// ErrPrice says that an answer is no price as configured.
var ErrPrice = errors.New("not a price")

// Currency is what a price is in.
type Currency string

// Currencies of prices.
const (
	InMsat Currency = "msat"
	InUSD  Currency = "usd"
)

// PriceSource is a number in a JSON document behind a URL.
type PriceSource struct {
	URL   string
	Path  string  // to the number: names and places from 0, with dots between, as "data.0.price"
	Scale float64 // what the number is multiplied by; 0: 1
}

// PriceFeedConfig is what a PriceFeed is made from.
type PriceFeedConfig struct {
	PriceSource          // scaled: a kWh in Currency
	Currency    Currency // empty: msat
	Rate        float64  // USD that a bitcoin costs; 0: RateFrom tells
	RateFrom    PriceSource
	RateKept    time.Duration // how long the last rate counts while there is no newer one; 0: an hour
	Timeout     time.Duration // for one question, body included; 0: 10 s
}

// PriceFeed reads what a kWh costs over HTTP.
type PriceFeed struct {
	cfg    PriceFeedConfig
	client *http.Client

	mu     sync.Mutex
	rate   float64
	rateAt time.Time
}

var _ fleet.PriceFeed = (*PriceFeed)(nil)

// Validate lists every fault at once.
func (c *PriceFeedConfig) Validate() error {
	errs := []error{c.PriceSource.validate("")}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Currency != "" && c.Currency != InMsat && c.Currency != InUSD {
		fault("currency %q: msat or usd is accepted", c.Currency)
	}
	errs = append(errs, c.validateRate())
	if c.RateKept < 0 || c.RateKept > 24*time.Hour {
		fault("rate kept is %v: 0 to 24h is accepted", c.RateKept)
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		fault("timeout is %v: above 0, at most 1m is accepted", c.Timeout)
	}
	return errors.Join(errs...)
}

func (c *PriceFeedConfig) validateRate() error {
	fixed, read := c.Rate != 0, c.RateFrom != PriceSource{}
	switch {
	case c.Currency != InUSD && (fixed || read):
		return errors.New("a rate is given, but the currency is not usd: leave it out")
	case c.Currency != InUSD:
		return nil
	case fixed && read:
		return errors.New("btc_usd and btc_usd_url are given: one of the two is accepted")
	case read:
		return c.RateFrom.validate("btc_usd_")
	case !fixed:
		return errors.New("currency usd needs a rate: btc_usd, or btc_usd_url and btc_usd_path, is accepted")
	case !plausibleRate(c.Rate):
		return fmt.Errorf("btc_usd is %v: 1 to 1e9 is accepted", c.Rate)
	}
	return nil
}

func plausibleRate(r float64) bool { return r >= 1 && r <= 1e9 }

func (s *PriceSource) validate(prefix string) error {
	var errs []error
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("%surl: http://host/path or https://host/path is accepted", prefix))
	}
	if !validPath(s.Path) {
		errs = append(errs, fmt.Errorf("%spath %.40q: up to %d bytes of names and places with single dots "+
			"between are accepted, as data.0.price", prefix, s.Path, maxPath))
	}
	if math.IsNaN(s.Scale) || math.Abs(s.Scale) > 1e12 {
		errs = append(errs, fmt.Errorf("%sscale is %v: up to 1e12 is accepted", prefix, s.Scale))
	}
	return errors.Join(errs...)
}

// NewPriceFeed checks the configuration; it does not connect.
func NewPriceFeed(cfg PriceFeedConfig) (*PriceFeed, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.RateKept == 0 {
		cfg.RateKept = time.Hour
	}
	return &PriceFeed{cfg: cfg, client: &http.Client{
		Timeout: cfg.Timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			MaxIdleConns:           2,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}, nil
}

// Price asks once.
func (f *PriceFeed) Price(ctx context.Context) (fleet.Quote, error) {
	v, err := f.ask(ctx, &f.cfg.PriceSource)
	if err != nil {
		return fleet.Quote{}, err
	}
	if f.cfg.Currency == InUSD {
		rate, err := f.bitcoin(ctx)
		if err != nil {
			return fleet.Quote{}, fmt.Errorf("price of a bitcoin: %w", err)
		}
		v *= msatPerBTC / rate
	}
	if !(math.Abs(v) <= float64(fleet.MaxTariff)) {
		return fleet.Quote{}, fmt.Errorf("%w: %v msat a kWh, up to %d either way is accepted",
			ErrPrice, v, int64(fleet.MaxTariff))
	}
	return fleet.Quote{Price: unit.Msat(math.Round(v)), At: time.Now()}, nil
}

// bitcoin is what one costs in USD: as configured, as its feed says, or as it said not long ago.
func (f *PriceFeed) bitcoin(ctx context.Context) (float64, error) {
	if f.cfg.Rate != 0 {
		return f.cfg.Rate, nil
	}
	rate, err := f.ask(ctx, &f.cfg.RateFrom)
	if err == nil && !plausibleRate(rate) {
		err = fmt.Errorf("%w: %v USD, 1 to 1e9 is accepted", ErrPrice, rate)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.rate, f.rateAt = rate, time.Now()
		return rate, nil
	}
	if f.rate > 0 && time.Since(f.rateAt) <= f.cfg.RateKept {
		return f.rate, nil
	}
	return 0, err
}

func (f *PriceFeed) ask(ctx context.Context, s *PriceSource) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return 0, fmt.Errorf("asking for a price: %w", bare(err))
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking for a price: %w", bare(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%w: status %d, 200 is accepted", ErrPrice, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxPrice+1))
	if err != nil {
		return 0, fmt.Errorf("reading a price: %w", err)
	}
	return DecodePrice(body, s)
}

// bare leaves out the URL: keys of feeds are often part of it.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Close lets go of idle connections.
func (f *PriceFeed) Close() { f.client.CloseIdleConnections() }

// DecodePrice finds the number that a source means in an answer, and scales it. A number may be written as
// a string, as exchanges do.
func DecodePrice(b []byte, s *PriceSource) (float64, error) {
	if len(b) > MaxPrice {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrPrice, MaxPrice)
	}
	v, err := decodeJSON(b)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrPrice, err)
	}
	f, err := numberAt(v, s.Path)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrPrice, err)
	}
	if s.Scale != 0 {
		f *= s.Scale
	}
	return f, nil
}
