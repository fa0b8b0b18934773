package sv2_test

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// powerNames are the fields of the power messages whose name in the struct is another.
var powerNames = map[string]string{
	"min_w": "Min", "max_w": "Max", "idle_w": "Idle", "step_w": "Step", "target_w": "Target",
	"power_w": "Power", "planned_w": "Planned", "pause_ms": "PauseIn", "resume_ms": "ResumeIn",
	"report_period_ms": "ReportPeriod", "dead_man_s": "DeadMan", "start_in_ms": "StartIn", "ramp_ms": "Ramp",
	"valid_for_s": "ValidFor",
	"eta_ms":      "Eta", "age_ms": "Age", "energy_j": "Energy", "hottest_c": "Hottest", "site_ref": "Site",
	"error_code": "Code", "version": "Version",
}

// Ensure the power messages are byte for byte what docs/power-extension.md says.
func TestPower_MatchesVectors(t *testing.T) {
	var file struct {
		Vectors []struct {
			Msg, Note, Header, Payload string
			Fields                     map[string]any
		}
	}
	b, err := os.ReadFile("testdata/power.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/power-extension.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, v := range file.Vectors {
		names[v.Msg] = true
		h := sv2.ParseHeader([sv2.HeaderSize]byte(unhex(t, v.Header)))
		if sv2.Name(h.Extension, h.Type) != v.Msg {
			t.Errorf("%s has the type of %q", v.Msg, sv2.Name(h.Extension, h.Type))
		}
		m, err := sv2.Decode(h, unhex(t, v.Payload))
		if err != nil {
			t.Errorf("%s: %v", v.Note, err)
			continue
		}
		if got := hex.EncodeToString(m.AppendFrame(nil)); got != v.Header+v.Payload {
			t.Errorf("%s: encodes to %s, want %s", v.Note, got, v.Header+v.Payload)
		}
		for name, want := range v.Fields {
			checkPowerField(t, v.Note, reflect.ValueOf(m), name, want)
		}
		for _, s := range []string{v.Header, v.Payload, v.Note} {
			if !strings.Contains(string(doc), s) {
				t.Errorf("the document does not have %q", s)
			}
		}
	}
	if len(names) != 13 {
		t.Errorf("vectors for %d messages of 13", len(names))
	}
}

func checkPowerField(t *testing.T, note string, m reflect.Value, name string, want any) {
	t.Helper()
	var f reflect.Value
	switch name {
	case "term":
		f = m.FieldByName("Command").FieldByName("Term")
	case "command_id":
		f = m.FieldByName("Command").FieldByName("ID")
	default:
		goName := goName(name)
		if n, ok := powerNames[name]; ok {
			goName = n
		}
		f = m.FieldByName(goName)
	}
	if !f.IsValid() {
		t.Errorf("%s: no field for %s", note, name)
		return
	}
	if r, ok := want.(float64); ok && strings.HasSuffix(name, "hash_rate") {
		want = float64(float32(r))
	}
	if got := plain(f); got != want {
		t.Errorf("%s: %s is %v, want %v", note, name, got, want)
	}
}

// Ensure a newer term beats every command of an older one, and that the same is not newer.
func TestPowerCommand_NewestWins(t *testing.T) {
	ordered := []sv2.PowerCommand{
		{}, {0, 1}, {1, 0}, {1, 1}, {1, math.MaxUint32}, {2, 0}, {math.MaxUint32, math.MaxUint32},
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.After(b) != (i > j) {
				t.Errorf("%v after %v: %v", a, b, a.After(b))
			}
		}
	}
}

// Ensure spans are rounded up, so that a dead man never comes early, and stay within their fields.
func TestSpans_RoundUpAndSaturate(t *testing.T) {
	for d, want := range map[time.Duration][2]uint32{
		-time.Hour:              {0, 0},
		0:                       {0, 0},
		1:                       {1, 1},
		time.Millisecond:        {1, 1},
		1500 * time.Millisecond: {1500, 2},
		60 * 24 * time.Hour:     {math.MaxUint32, 5184000},
		math.MaxInt64:           {math.MaxUint32, math.MaxUint32},
	} {
		if ms, s := sv2.MillisOf(d), sv2.SecondsOf(d); uint32(ms) != want[0] || uint32(s) != want[1] {
			t.Errorf("%v: %d ms, %d s, want %v", d, ms, s, want)
		}
	}
	if sv2.Millis(1500).Duration() != 1500*time.Millisecond || sv2.Seconds(2).Duration() != 2*time.Second {
		t.Error("durations differ")
	}
}

// Ensure modes that have no meaning decode, so that the device can answer them.
func TestSetPowerTarget_CarriesUnknownModes(t *testing.T) {
	in := sv2.SetPowerTarget{PowerTarget: sv2.PowerTarget{Mode: 9, FailMode: 9}}
	_, p := split(in.AppendFrame(nil))
	m, _, err := sv2.DecodeSetPowerTarget(p)
	if err != nil || m != in || m.Mode.Known() || m.FailMode.Known() {
		t.Errorf("%+v, %v", m, err)
	}
	if !sv2.PowerPause.Known() || !sv2.FailHold.Known() {
		t.Error("modes of version 1 are unknown")
	}
}
