package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Meter is one metered branch, read by one of URL (plain HTTP), Modbus and Devices.
type Meter struct {
	Role   fleet.Role `toml:"role"`
	Tenant string     `toml:"tenant"` // whose branch, for the role tenant
	Label  string     `toml:"name"`   // tells meters of one role apart
	// RedundantWith is the name of another meter of the same feeder, role and tenant that measures the same:
	// the two stand in for each other, and do not add up.
	RedundantWith string `toml:"redundant_with"`

	URL string `toml:"url"`

	JSON       *JSONLayout `toml:"json"`        // what answers at URL look like; nil: the plain layout
	Header     string      `toml:"header"`      // that the secret is sent in; empty: Authorization
	SecretFile string      `toml:"secret_file"` // holds the header's value, for its owner's eyes alone

	Modbus string     `toml:"modbus"` // HOST or HOST:PORT of a Modbus TCP device or gateway
	Unit   uint8      `toml:"unit"`   // of the meter behind it
	Map    string     `toml:"map"`    // a known make's registers; or Power and Energy
	Power  []Register `toml:"power"`  // summed
	Energy *Register  `toml:"energy"`

	// Devices says that the sum of what the machines say of themselves stands for the branch mining. It is a
	// last resort: their words are 5 to 20 % off.
	Devices bool `toml:"devices"`
	// DevicesSuffice sells the feeder's watts by their words alone, without a meter of the whole.
	DevicesSuffice bool `toml:"devices_suffice"`
}

// JSONLayout says where a meter's JSON has its numbers.
type JSONLayout struct {
	Watts      Paths   `toml:"watts"`
	WattsUnit  string  `toml:"watts_unit"`
	Energy     Paths   `toml:"energy"`
	EnergyUnit string  `toml:"energy_unit"`
	Scale      float64 `toml:"scale"` // of both; 0: 1
	Time       string  `toml:"time"`  // path; empty: measured when the answer came
}

// Paths are ways to numbers that are summed. One alone may be written without a list.
type Paths []string

// UnmarshalTOML reads a string, or a list of strings.
func (p *Paths) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*p = Paths{v}
		return nil
	case []any:
		all := make(Paths, len(v))
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return errors.New("a path, or a list of paths, is accepted")
			}
			all[i] = text
		}
		*p = all
		return nil
	}
	return errors.New("a path, or a list of paths, is accepted")
}

// Register is where a meter keeps one number.
type Register struct {
	Function uint8               `toml:"function"` // 3 or 4
	Address  uint16              `toml:"address"`  // as on the wire, from 0
	Type     device.RegisterType `toml:"type"`
	Swapped  bool                `toml:"swapped"` // least significant register first
	Scale    float64             `toml:"scale"`   // watts, or joules, a unit
}

// Name is the meter for people.
func (m *Meter) Name(on string) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %v %s %s", on, m.Role, m.Tenant, m.Label)), " ")
}

// Group is what meters that stand in for each other have in common; empty for one that none stands in for.
func (m *Meter) Group(beside []Meter) string {
	if m.RedundantWith != "" || m.Label == "" {
		return m.RedundantWith
	}
	for i := range beside {
		if beside[i].RedundantWith == m.Label {
			return m.Label
		}
	}
	return ""
}

// branchMeters checks the meters of a PDU, a transformer or an import.
func (v *validation) branchMeters(b *Branch) {
	v.meters += len(b.Meters)
	for i := range b.Meters {
		m := &b.Meters[i]
		name := fmt.Sprintf("branch %q meter %d", b.ID, i+1)
		v.meterAt(name, m)
		if m.Role != fleet.Total || m.Tenant != "" || m.Devices {
			v.faultf("%s: a branch is metered as a whole: role total, without tenant and devices, is "+
				"accepted", name)
		}
	}
	v.redundant(fmt.Sprintf("branch %q", b.ID), b.Meters)
}

// redundant checks which meters of a feeder or a branch stand in for which.
func (v *validation) redundant(on string, meters []Meter) {
	named := map[string]*Meter{}
	for i := range meters {
		m := &meters[i]
		if m.Label == "" {
			continue
		}
		if err := ValidTenant(m.Label); err != nil {
			v.faultf("%s meter %d: name: %w", on, i+1, err)
		}
		if named[m.Label] != nil {
			v.faultf("%s meter %d: name: %q is there twice", on, i+1, m.Label)
		}
		named[m.Label] = m
	}
	for i := range meters {
		m := &meters[i]
		other := named[m.RedundantWith]
		switch {
		case m.RedundantWith == "":
		case m.Label == "":
			v.faultf("%s meter %d: redundant_with needs a name of its own, by which events call it",
				on, i+1)
		case other == nil || other == m:
			v.faultf("%s meter %d: redundant_with: %.40q is the name of no other meter here", on, i+1,
				m.RedundantWith)
		case other.RedundantWith != "":
			v.faultf("%s meter %d: redundant_with: %q stands in for %q itself: name that one", on, i+1,
				m.RedundantWith, other.RedundantWith)
		case other.Role != m.Role || other.Tenant != m.Tenant:
			v.faultf("%s meter %d: redundant_with: %q has another role or tenant: the same are accepted",
				on, i+1, m.RedundantWith)
		}
	}
}

// RegisterMap is the known map, or the meter's own.
func (m *Meter) RegisterMap() (device.RegisterMap, error) {
	if m.Map != "" {
		known, ok := device.RegisterMapNamed(m.Map)
		switch {
		case !ok:
			return known, fmt.Errorf("map: %q: one of %s, or power and energy in place of it, is accepted",
				m.Map, strings.Join(device.RegisterMaps(), ", "))
		case len(m.Power) > 0 || m.Energy != nil:
			return known, fmt.Errorf("map: %q: power and energy are accepted only without it", m.Map)
		}
		return known, nil
	}
	own := device.RegisterMap{Name: "own"}
	for _, r := range m.Power {
		own.Power = append(own.Power, device.Register(r))
	}
	if m.Energy != nil {
		own.Energy = device.Register(*m.Energy)
	}
	return own, own.Validate()
}

// meterAt checks one meter.
func (v *validation) meterAt(name string, m *Meter) {
	kinds := 0
	for _, set := range []bool{m.URL != "", m.Modbus != "", m.Devices} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		v.faultf("%s: %d of url, modbus and devices are there: exactly one is accepted", name, kinds)
	}
	v.meterURL(name, m)
	if m.DevicesSuffice && !m.Devices {
		v.faultf("%s: devices_suffice is accepted only with devices", name)
	}
	if m.Devices && m.Role != fleet.Mining {
		v.faultf("%s: devices: their sum is accepted for the role mining alone", name)
	}
	v.meterRegisters(name, m)
}

// HTTP is the meter as pool/device takes it, without the secret.
func (m *Meter) HTTP() device.HTTPMeterConfig {
	c := device.HTTPMeterConfig{URL: m.URL, Header: m.Header}
	if m.JSON != nil {
		c.Layout = &device.JSONLayout{
			Watts: m.JSON.Watts, WattsUnit: m.JSON.WattsUnit, Energy: m.JSON.Energy,
			EnergyUnit: m.JSON.EnergyUnit, Scale: m.JSON.Scale, Time: m.JSON.Time,
		}
	}
	return c
}

// MeterSecret is what a meter is sent in its header; empty if it is sent none.
func (c *Config) MeterSecret(m *Meter) (string, error) {
	if m.SecretFile == "" {
		return "", nil
	}
	text, err := readPrivate(c.Path(m.SecretFile))
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("secret_file: %s is empty: the header's value is accepted",
			c.Path(m.SecretFile))
	}
	return text, nil
}

func (v *validation) meterURL(name string, m *Meter) {
	if m.URL == "" {
		if m.JSON != nil || m.Header != "" || m.SecretFile != "" {
			v.faultf("%s: json, header and secret_file are accepted only with url", name)
		}
		return
	}
	c := m.HTTP()
	if m.SecretFile != "" {
		c.Secret = "read at the start"
	}
	if err := c.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			v.faultf("%s: %s", name, line)
		}
	}
}

func (v *validation) meterRegisters(name string, m *Meter) {
	if m.Modbus == "" {
		if m.Unit != 0 || m.Map != "" || len(m.Power) > 0 || m.Energy != nil {
			v.faultf("%s: unit, map, power and energy are accepted only with modbus", name)
		}
		return
	}
	registers, err := m.RegisterMap()
	if err != nil {
		v.faultf("%s: %w", name, err)
		return
	}
	if _, err := device.NewModbusMeter(device.ModbusMeterConfig{
		Address: m.Modbus, Unit: m.Unit, Map: registers,
	}); err != nil {
		v.faultf("%s: %w", name, err)
	}
}
