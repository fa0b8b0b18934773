package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// Ensure that a meter's secret is read from a file that only its owner may read, and from no other, and that
// nothing of it shows when it is refused.
func TestConfig_ReadsAMetersSecretFromAPrivateFile(t *testing.T) {
	var c config.Config
	c.SetDir(t.TempDir())
	m := config.Meter{URL: "http://x/", SecretFile: "meter.key"}
	path := c.Path(m.SecretFile)
	if _, err := c.MeterSecret(&m); err == nil || !strings.Contains(err.Error(), "meter.key") {
		t.Errorf("without a file: error %v", err)
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604} {
		write(t, path, "Bearer hidden\n", mode)
		text, err := c.MeterSecret(&m)
		if err == nil || text != "" || strings.Contains(err.Error(), "hidden") ||
			!strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %q, error %v", mode, text, err)
		}
	}
	write(t, path, "Bearer hidden\n", 0o600)
	if text, err := c.MeterSecret(&m); err != nil || text != "Bearer hidden" {
		t.Errorf("%q, error %v", text, err)
	}
	write(t, path, "\n", 0o600)
	if _, err := c.MeterSecret(&m); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("empty: error %v", err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(path), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// Ensure that one path of a layout may be written alone or in a list, and nothing else.
func TestDecode_ReadsPathsAloneAndInLists(t *testing.T) {
	const head = "[[site]]\n[[site.feeder]]\n[[site.feeder.meter]]\njson = {watts = "
	for text, want := range map[string]string{`"a"`: "a", `["a", "b"]`: "a,b"} {
		c, err := config.Decode("x", []byte(head+text+"}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Sites[0].Feeder[0].Meters[0].JSON.Watts, ","); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, text := range []string{`1`, `["a", 1]`, `{a = 1}`} {
		if _, err := config.Decode("x", []byte(head+text+"}")); err == nil ||
			!strings.Contains(err.Error(), "a path, or a list of paths, is accepted") {
			t.Errorf("%s: error %v", text, err)
		}
	}
	if _, err := config.Decode("x", []byte(head+`"a", power = "b"}`)); err == nil ||
		!strings.Contains(err.Error(), "accepted here: watts, watts_unit") {
		t.Errorf("error %v", err)
	}
}
