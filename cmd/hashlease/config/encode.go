package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/template"

	"github.com/hashlease/hashlease/pool/unit"
)

//go:embed config.toml.tmpl
var layout string

var encoder = template.Must(template.New("config.toml").Funcs(template.FuncMap{
	"q":     quote,
	"watts": writeWatts,
	"hash":  writeHashrate,
	"num":   writeNumber,
	"list":  writeList,
	"days":  writeDays,
	"hex":   writeHex,

	"register": writeRegister,
	"socket":   writeSocket,
	"json":     writeJSON,
}).Parse(layout))

// Encode writes the configuration with comments. Decode reads the same back.
func Encode(c *Config) ([]byte, error) {
	var b bytes.Buffer
	if err := encoder.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("writing configuration: %w", err)
	}
	return b.Bytes(), nil
}

// quote writes a basic string of TOML.
func quote(v any) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(fmt.Sprint(v), "\ufffd") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// writeRegister writes an inline table. It takes a register or a pointer to one.
func writeRegister(v any) string {
	r, ok := v.(Register)
	if p, is := v.(*Register); is {
		r, ok = *p, true
	}
	if !ok {
		return "{}"
	}
	return fmt.Sprintf("{function = %d, address = %d, type = %s, swapped = %v, scale = %s}",
		r.Function, r.Address, quote(r.Type), r.Swapped, writeNumber(r.Scale))
}

// writeJSON writes an inline table with what is set of a layout.
func writeJSON(l *JSONLayout) string {
	var parts []string
	for _, p := range []struct {
		key, text string
		list      []string
	}{
		{key: "watts", list: l.Watts},
		{key: "watts_unit", text: l.WattsUnit},
		{key: "energy", list: l.Energy},
		{key: "energy_unit", text: l.EnergyUnit},
		{key: "time", text: l.Time},
	} {
		switch {
		case len(p.list) == 1:
			parts = append(parts, p.key+" = "+quote(p.list[0]))
		case len(p.list) > 1:
			parts = append(parts, p.key+" = "+writeList(p.list))
		case p.text != "":
			parts = append(parts, p.key+" = "+quote(p.text))
		}
	}
	if l.Scale != 0 {
		parts = append(parts, "scale = "+writeNumber(l.Scale))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// writeSocket writes an inline table with what is set of it.
func writeSocket(s *Socket) string {
	parts := []string{fmt.Sprintf("inverted = %v", s.Inverted)}
	if s.Unit != 0 || s.Coil != 0 {
		parts = append(parts, fmt.Sprintf("unit = %d, coil = %d", s.Unit, s.Coil))
	}
	for _, p := range []struct{ key, text string }{
		{"device", s.Device},
		{"address", s.Address},
		{"on", s.On},
		{"off", s.Off},
		{"state", s.State},
		{"path", s.Path},
		{"is", s.Is},
	} {
		if p.text != "" {
			parts = append(parts, p.key+" = "+quote(p.text))
		}
	}
	if s.After != 0 {
		parts = append(parts, "after = "+quote(s.After))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// writeWatts writes power exactly, with the largest unit that leaves at most three decimals.
func writeWatts(w unit.Watts) string {
	switch {
	case w >= unit.Megawatt && w%unit.Kilowatt == 0:
		return `"` + writeNumber(float64(w)/float64(unit.Megawatt)) + `MW"`
	case w >= 10*unit.Kilowatt && w%10 == 0:
		return `"` + writeNumber(float64(w)/float64(unit.Kilowatt)) + `kW"`
	}
	return fmt.Sprintf(`"%dW"`, int64(w))
}

func writeHashrate(h unit.Hashrate) string {
	text := writeNumber(float64(h/unit.TeraHash)) + "TH/s"
	if back, err := unit.ParseHashrate(text); err == nil && back == h {
		return `"` + text + `"`
	}
	return `"` + strconv.FormatFloat(float64(h), 'f', -1, 64) + `H/s"`
}

// writeNumber writes a float of TOML that reads back as the same.
func writeNumber(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+"))
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if math.Abs(f) >= 1e15 && !strings.Contains(text, ".") {
		text += ".0" // as an integer it could be out of range
	}
	return text
}

func writeList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func writeDays(days []Weekday) string {
	names := make([]string, len(days))
	for i, d := range days {
		names[i] = d.String()
	}
	return writeList(names)
}

// writeHex writes extensions as their specifications do.
func writeHex(items []uint16) string {
	list := make([]string, len(items))
	for i, n := range items {
		list[i] = fmt.Sprintf("0x%04x", n)
	}
	return "[" + strings.Join(list, ", ") + "]"
}
