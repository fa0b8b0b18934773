package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() {
	openers["socket-modbus"] = opener{port: 502, open: openModbusSocket}
	openers["socket-http"] = opener{port: 80, open: openHTTPSocket}
}

// socket is the last actuator: it cuts a machine's power. The machine knows nothing of it and boots when
// power returns, so what it is doing is told by power alone: on means that it may draw all it can.
type socket struct {
	on   func(ctx context.Context) (bool, error)
	turn func(ctx context.Context, on bool) error
	full unit.Watts
}

func (s *socket) identify(ctx context.Context) (Identity, error) {
	_, err := s.on(ctx)
	return Identity{Model: "switched socket", Firmware: "none"}, err
}

func (s *socket) see(ctx context.Context) (fleet.Sighting, error) {
	on, err := s.on(ctx)
	if err != nil || !on {
		return fleet.Sighting{Activity: fleet.ActivityAsleep, Wattage: fleet.WattsEstimated}, err
	}
	return fleet.Sighting{Activity: fleet.ActivityMining, Watts: s.full, Wattage: fleet.WattsEstimated}, nil
}

func (s *socket) set(ctx context.Context, to fleet.Setpoint) error {
	if to.Mode == fleet.Capped {
		return fmt.Errorf("%w: a socket is on or off", ErrCannot)
	}
	return s.turn(ctx, to.Mode == fleet.Free)
}

// capability: a machine boots for up to ten minutes when its power returns (power.md, 6).
func (s *socket) capability() fleet.Capability {
	return fleet.Capability{
		Max: s.full, CanPause: true, HoldsAlone: true, ShedIn: time.Second, ReturnIn: 10 * time.Minute,
	}
}

func (s *socket) close() {}

func openModbusSocket(cfg Config) (Driver, error) {
	conn := openGateway(gateway{cfg.Address, cfg.Gate}, cfg.Timeout)
	so := cfg.Socket
	ask := func(ctx context.Context, function uint8, n uint16) ([]byte, error) {
		b, err := conn.read(ctx, modbusRead{so.Unit, function, so.Coil, n})
		switch {
		case errors.As(err, new(modbusException)):
			return nil, fmt.Errorf("%w: coil %d of unit %d: %w", ErrRefused, so.Coil, so.Unit, err)
		case errors.Is(err, ErrModbus):
			return nil, fmt.Errorf("%w: coil %d of unit %d: %w", ErrAnswer, so.Coil, so.Unit, err)
		}
		return b, err
	}
	return newMachine("socket-modbus", cfg, &socket{
		full: fullOf(cfg),
		on: func(ctx context.Context) (bool, error) {
			b, err := ask(ctx, 1, 1)
			return err == nil && (b[0]&1 == 1) != so.Inverted, err
		},
		turn: func(ctx context.Context, on bool) error {
			value := uint16(0)
			if on != so.Inverted {
				value = 0xff00
			}
			_, err := ask(ctx, 5, value)
			return err
		},
	}), nil
}

func fullOf(cfg Config) unit.Watts {
	if len(cfg.Curve) == 0 {
		return 0
	}
	return cfg.Curve.Full().Watts
}

func openHTTPSocket(cfg Config) (Driver, error) {
	so := cfg.Socket
	for _, p := range []struct{ name, path string }{{"on", so.On}, {"off", so.Off}, {"state", so.State}} {
		if !strings.HasPrefix(p.path, "/") {
			return nil, fmt.Errorf("socket's %s: %q: a path that begins with / is accepted", p.name, p.path)
		}
	}
	if so.Is == "" {
		return nil, errors.New("socket's is: the text of its state when it is on is needed")
	}
	w := newWeb(cfg)
	w.sign = func(r *http.Request) {
		if cfg.Login != (Login{}) {
			r.SetBasicAuth(cfg.Login.User, cfg.Login.Password)
		}
	}
	return newMachine("socket-http", cfg, &socket{
		full: fullOf(cfg),
		on: func(ctx context.Context) (bool, error) {
			b, err := w.exchange(ctx, http.MethodGet, so.State, nil)
			if err != nil {
				return false, err
			}
			is, err := textAt(b, so.Path)
			return err == nil && is == so.Is, err
		},
		turn: func(ctx context.Context, on bool) error {
			path := so.Off
			if on {
				path = so.On
			}
			_, err := w.exchange(ctx, http.MethodPost, path, nil)
			return err
		},
	}), nil
}

// textAt is a string, a number or a boolean in JSON, as text.
func textAt(b []byte, path string) (string, error) {
	v, err := decodeJSON(b)
	if err == nil {
		v, err = follow(v, path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("%w: what is at path %q is no text, number or boolean", ErrAnswer, path)
}
