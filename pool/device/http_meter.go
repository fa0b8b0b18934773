package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	URL     string        // http or https
	Timeout time.Duration // for one read, body included; 1 s if 0
	MaxAge  time.Duration // how old a reading may be by its own time; 3 s if 0
}

// HTTPMeter reads one metered branch by plain HTTP: GET of its URL answers
//
//	{"watts": 98000, "energy_joules": 123456789, "time": "2026-03-01T12:00:00.25Z"}
//
// watts is the power now, 0 or more; energy_joules counts up since the meter was installed and may be
// left out; time is when it was measured, RFC 3339 with a zone. See docs/device.md.
type HTTPMeter struct {
	cfg    HTTPMeterConfig
	client *http.Client
}

var _ fleet.Meter = (*HTTPMeter)(nil)

// NewHTTPMeter checks the configuration; it does not connect.
func NewHTTPMeter(cfg HTTPMeterConfig) (*HTTPMeter, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 3 * time.Second
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("meter url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("meter url %q: http://host/path or https://host/path is accepted", cfg.URL)
	case cfg.Timeout < 0 || cfg.Timeout > time.Minute:
		return nil, fmt.Errorf("meter timeout is %v: above 0, at most 1m is accepted", cfg.Timeout)
	case cfg.MaxAge < 0 || cfg.MaxAge > 10*time.Minute:
		return nil, fmt.Errorf("meter max age is %v: above 0, at most 10m is accepted", cfg.MaxAge)
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.cfg.URL, nil)
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("asking the meter: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := m.client.Do(req)
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("asking the meter: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fleet.Reading{}, fmt.Errorf("%w: status %d, 200 is accepted", ErrReading, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxReading+1))
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("reading the meter's answer: %w", err)
	}
	r, err := DecodeReading(body)
	if err != nil {
		return fleet.Reading{}, err
	}
	if age := time.Since(r.At); age > m.cfg.MaxAge || age < -m.cfg.MaxAge {
		return fleet.Reading{}, fmt.Errorf("%w: measured %v ago, at most %v is accepted",
			ErrStale, age.Round(time.Millisecond), m.cfg.MaxAge)
	}
	return r, nil
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
	case *w.Watts < 0 || unit.Watts(*w.Watts) > maxWatts:
		return r, fmt.Errorf("%w: watts is %d: 0 to %d is accepted", ErrReading, *w.Watts, maxWatts)
	case w.Time == nil:
		return r, fmt.Errorf("%w: time is missing", ErrReading)
	case w.Energy != nil && (*w.Energy < 0 || unit.Joules(*w.Energy) > maxEnergy):
		return r, fmt.Errorf("%w: energy_joules is %d: 0 to %d is accepted", ErrReading, *w.Energy, maxEnergy)
	}
	at, err := time.Parse(time.RFC3339Nano, *w.Time)
	if at = at.UTC(); err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return r, fmt.Errorf("%w: time is %.40q: RFC 3339 with a zone is accepted", ErrReading, *w.Time)
	}
	r.Watts, r.At = unit.Watts(*w.Watts), at
	if w.Energy != nil {
		r.Energy = unit.Joules(*w.Energy)
	}
	return r, nil
}

// AppendReading writes a reading as DecodeReading reads it.
func AppendReading(dst []byte, r fleet.Reading) []byte {
	dst = fmt.Appendf(dst, `{"watts":%d,"energy_joules":%d,"time":"`, r.Watts, r.Energy)
	dst = r.At.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}
