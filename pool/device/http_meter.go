package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// MaxReading is the longest answer of a meter that is read, in bytes.
const MaxReading = 4 << 10

// Bounds of what a meter may say.
const (
	maxWatts  = 10_000 * unit.Megawatt
	maxEnergy = unit.Joules(1e18)
	// restNoise is how far below zero a meter may show with nothing behind it: that is no direction.
	restNoise = unit.Watts(50)
)

// Errors of a meter, beside those of the network.
var (
	// ErrReading says that the answer is not a reading as documented.
	ErrReading = errors.New("not a meter reading")
	// ErrStale says that the meter's own time is too far from ours.
	ErrStale = errors.New("reading is out of time")
)

// HTTPMeterConfig is what an HTTPMeter is made from.
type HTTPMeterConfig struct {
	URL     string        // http or https, without a user and a password
	Layout  *JSONLayout   // where the answer has its numbers; nil: the plain layout of DecodeReading
	Header  string        // that Secret is sent in; Authorization if empty
	Secret  string        // the header's value; empty: none is sent. It is never shown
	Timeout time.Duration // for one read, body included; 1 s if 0
	MaxAge  time.Duration // how old a reading may be by its own time; 3 s if 0
}

// HTTPMeter reads one metered branch by plain HTTP: GET of its URL answers
//
//	{"watts": 98000, "energy_joules": 123456789, "time": "2026-03-01T12:00:00.25Z"}
//
// watts is the power now, 0 or more (down to -50 is noise of a meter at rest, and taken for 0); energy_joules
// counts up since the meter was installed and may be left out; time is when it was measured, RFC 3339 with a
// zone. A JSONLayout reads any other JSON. See docs/device.md.
type HTTPMeter struct {
	cfg    HTTPMeterConfig
	client *http.Client
}

var _ fleet.Meter = (*HTTPMeter)(nil)

// Validate lists every fault at once. None shows the secret, nor what a URL may hold of one.
func (c *HTTPMeterConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		fault("url: http://host/path or https://host/path is accepted")
	case u.User != nil:
		fault("url: it has a user or a password: a header from a file of its own is accepted")
	}
	if !validHeader(c.Header) {
		fault("header %.40q: a header's name of up to %d letters, digits and dashes is accepted",
			c.Header, maxHeader)
	}
	if c.Header != "" && c.Secret == "" {
		fault("header: it is accepted only with what to send in it")
	}
	if !validSecret(c.Secret) {
		fault("secret for the header: one line of up to %d printable ASCII characters is accepted", MaxSecret)
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		fault("timeout is %v: above 0, at most 1m is accepted", c.Timeout)
	}
	if c.MaxAge < 0 || c.MaxAge > 10*time.Minute {
		fault("max age is %v: above 0, at most 10m is accepted", c.MaxAge)
	}
	if c.Layout != nil {
		errs = append(errs, c.Layout.Validate())
	}
	return errors.Join(errs...)
}

// NewHTTPMeter checks the configuration; it does not connect.
func NewHTTPMeter(cfg HTTPMeterConfig) (*HTTPMeter, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 3 * time.Second
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Header == "" {
		cfg.Header = "Authorization"
	}
	return &HTTPMeter{cfg: cfg, client: &http.Client{
		Timeout: cfg.Timeout,
		// A meter that sends us elsewhere is not the meter that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			MaxIdleConns:           1,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: MaxReading,
			DisableCompression:     true,
		},
	}}, nil
}

// Read asks the meter once.
func (m *HTTPMeter) Read(ctx context.Context) (fleet.Reading, error) {
	body, err := m.ask(ctx)
	if err != nil {
		return fleet.Reading{}, err
	}
	now, r := time.Now(), fleet.Reading{}
	if m.cfg.Layout == nil {
		r, err = DecodeReading(body)
	} else {
		r, err = m.cfg.Layout.Decode(body, now)
	}
	if err != nil {
		return fleet.Reading{}, err
	}
	if age := now.Sub(r.At); age > m.cfg.MaxAge || age < -m.cfg.MaxAge {
		return fleet.Reading{}, fmt.Errorf("%w: measured %v ago, at most %v is accepted",
			ErrStale, age.Round(time.Millisecond), m.cfg.MaxAge)
	}
	return r, nil
}

// ask is the body of an answer with status 200, of any length up to a byte more than is accepted.
func (m *HTTPMeter) ask(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.cfg.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the meter: %w", bare(err))
	}
	req.Header.Set("Accept", "application/json")
	if m.cfg.Secret != "" {
		req.Header.Set(m.cfg.Header, m.cfg.Secret)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the meter: %w", bare(err))
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: status %d: the meter wants another credential",
			ErrReading, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d, 200 is accepted", ErrReading, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, m.most()+1))
	if err != nil {
		return nil, fmt.Errorf("reading the meter's answer: %w", err)
	}
	return body, nil
}

// most is how long an answer may be.
func (m *HTTPMeter) most() int64 {
	if m.cfg.Layout == nil {
		return MaxReading
	}
	return MaxMeterJSON
}

// Close lets go of idle connections.
func (m *HTTPMeter) Close() { m.client.CloseIdleConnections() }

// wireReading is a reading as it is written. Pointers tell a missing field from a zero.
type wireReading struct {
	Watts  *int64  `json:"watts"`
	Energy *int64  `json:"energy_joules"`
	Time   *string `json:"time"`
}

// DecodeReading reads a meter's answer. Fields that are not known are passed over; whatever else
// is not as documented is refused with its name.
func DecodeReading(b []byte) (fleet.Reading, error) {
	if len(b) > MaxReading {
		return fleet.Reading{}, fmt.Errorf("%w: more than %d bytes", ErrReading, MaxReading)
	}
	var w wireReading
	if err := json.Unmarshal(b, &w); err != nil {
		return fleet.Reading{}, fmt.Errorf("%w: %w", ErrReading, err)
	}
	var r fleet.Reading
	switch {
	case w.Watts == nil:
		return r, fmt.Errorf("%w: watts is missing", ErrReading)
	case w.Time == nil:
		return r, fmt.Errorf("%w: time is missing", ErrReading)
	case w.Energy != nil && (*w.Energy < 0 || unit.Joules(*w.Energy) > maxEnergy):
		return r, fmt.Errorf("%w: energy_joules is %d: 0 to %d is accepted", ErrReading, *w.Energy, maxEnergy)
	}
	at, err := time.Parse(time.RFC3339Nano, *w.Time)
	if at = at.UTC(); err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return r, fmt.Errorf("%w: time is %.40q: RFC 3339 with a zone is accepted", ErrReading, *w.Time)
	}
	r.At = at
	if r.Watts, err = shownWatts(float64(*w.Watts)); err != nil {
		return fleet.Reading{}, err
	}
	if w.Energy != nil {
		r.Energy = unit.Joules(*w.Energy)
	}
	return r, nil
}

// shownWatts is what a meter shows as a reading has it. Power that flows the other way is none.
func shownWatts(watts float64) (unit.Watts, error) {
	watts = math.Round(watts)
	switch {
	case watts < -float64(restNoise) && watts >= -float64(maxWatts):
		return 0, fmt.Errorf("%w: %w: it shows %.0f W: turn its current transformers round, or change the "+
			"sign, or the word order, that it is read with", ErrReading, fleet.ErrReversed, watts)
	case !(math.Abs(watts) <= float64(maxWatts)):
		return 0, fmt.Errorf("%w: it shows %.0f W: 0 to %d W is accepted; look at units, scale and the "+
			"order of registers", ErrReading, watts, maxWatts)
	}
	return unit.Watts(max(0, watts)), nil
}

// AppendReading writes a reading as DecodeReading reads it.
func AppendReading(dst []byte, r fleet.Reading) []byte {
	dst = fmt.Appendf(dst, `{"watts":%d,"energy_joules":%d,"time":"`, r.Watts, r.Energy)
	dst = r.At.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}
