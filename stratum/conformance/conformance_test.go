package conformance_test

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/hashlease/hashlease/stratum/conformance"
	"github.com/hashlease/hashlease/stratum/conformance/testpool"
)

// excused are rules that our test pool gives no occasion for.
var excused = map[int]string{
	110: "it forbids no version rolling",
	233: "it requires no extension",
}

// Ensure our server keeps every rule that can be asked from outside. A rule may be run by itself:
// -run 'TestSV2/SV2-045'.
func TestSV2(t *testing.T) {
	p, err := testpool.Start(t.Context(), testpool.Config(), "127.0.0.1:0", "127.0.0.1:0",
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	key := p.Authority()
	at := conformance.Pool{
		Address: p.Address(), Authority: &key, User: "conformance.rig", Control: p.Control(),
	}
	results := sync.OnceValues(func() (map[string]conformance.Result, error) {
		list, err := conformance.Run(t.Context(), at, conformance.Options{})
		byID := map[string]conformance.Result{}
		for _, r := range list {
			byID[r.Rule.ID()] = r
		}
		return byID, err
	})
	for _, rule := range conformance.Rules() {
		t.Run(rule.ID(), func(t *testing.T) {
			all, err := results()
			if err != nil {
				t.Fatal(err)
			}
			switch r := all[rule.ID()]; r.Status {
			case conformance.Pass:
			case conformance.Fail:
				t.Errorf("%s: %s", rule.Sentence, r.Detail)
			case conformance.NotApplicable:
				if (rule.Check != nil || rule.Frame != nil) && excused[rule.Number] == "" {
					t.Errorf("our test pool must let the rule be asked, but: %s", r.Detail)
				}
			}
		})
	}
}
