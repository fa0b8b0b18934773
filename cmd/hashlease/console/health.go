package console

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/hashlease/hashlease/pool/node"
)

// troubles says in words why something that the business needs is not there; nothing if all is well.
// They hold no names of hosts: /healthz shows them to everybody.
func troubles(f *figures) []string {
	list := []string{}
	add := func(bad bool, format string, args ...any) {
		if bad {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(f.work.Phase != node.Ready, "node: %s", f.work.Phase)
	add(f.bookError != nil, "leases: %v", f.bookError)
	add(f.book.ClockSuspect, "leases: the clock jumped, timers are stopped: "+
		"set it right, or hashlease clock accept")
	add(!f.power.Ready, "power: waiting to hear what tenants hold")
	over, stale := 0, 0
	for _, s := range f.power.Sites {
		for i := range s.Feeders {
			switch fs := &s.Feeders[i]; {
			case !fs.Fresh:
				stale++
			case fs.Total > fs.Limit:
				over++
			}
		}
	}
	add(over == 1, "power: 1 feeder over its limit")
	add(over > 1, "power: %d feeders over their limits", over)
	add(stale == 1, "power: 1 feeder without a fresh reading")
	add(stale > 1, "power: %d feeders without a fresh reading", stale)
	return list
}

// healthz answers load balancers and watchdogs: 200 if all is well, else 503 and why.
func (c *Console) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	list := troubles(c.frame().figures)
	if len(list) == 0 {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(strings.Join(list, "\n") + "\n"))
}
