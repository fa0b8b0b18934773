package config_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/unit"
)

// FuzzDecode: any text gives an error or a configuration that survives being written
// and read, and that can be validated.
func FuzzDecode(f *testing.F) {
	c := full()
	text, err := config.Encode(&c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("network = 1"))
	f.Add([]byte("[[worker]]\nsleep = \"9xW\"\ncurve = [{watts = 1.5, x.y = 2}]"))
	f.Add([]byte("[a.b]\n\"c d\" = 1\n[[a.b.c]]\n= 1"))
	near := cmp.Comparer(func(a, b unit.Hashrate) bool { return math.Abs(float64(a-b)) <= 1e-10*float64(a) })
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Decode("fuzz", text)
		if err != nil {
			return
		}
		_ = c.Validate()
		out, err := config.Encode(&c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := config.Decode("again", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ignore := cmpopts.IgnoreUnexported(config.Config{})
		if diff := cmp.Diff(c, back, ignore, cmpopts.EquateEmpty(), cmpopts.EquateNaNs(), near); diff != "" {
			t.Errorf("written and read (-want +got):\n%s\n%s", diff, out)
		}
	})
}
