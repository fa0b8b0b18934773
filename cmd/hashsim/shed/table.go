package shed

import (
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/unit"
)

// Text is the result for people, as Markdown.
func Text(r *Result) string {
	var s strings.Builder
	line := func(name, goal, format string, args ...any) {
		fmt.Fprintf(&s, "| %s | %s | %s |\n", name, goal, fmt.Sprintf(format, args...))
	}
	took := func(name string, is *float64, goal string) {
		if is == nil {
			line(name, goal, "never")
			return
		}
		line(name, goal, "%.2f", *is)
	}
	server := "governed"
	if !r.Governed {
		server = "governor switched off"
	}
	if r.KillServer {
		server += ", killed and started again"
	}
	fmt.Fprintf(&s, "%d devices (%s), %d of them faulty, server %s: %v of %v shed.\n\n",
		r.Devices, r.Fleet, r.Faulty, server, unit.Watts(r.Ordered), unit.Watts(r.Baseline))
	s.WriteString("| | goal | is |\n|---|---:|---:|\n")
	g := &r.Goals
	took("order to 50 % freed, s", r.Half, fmt.Sprint(g.Half))
	took("order to 95 % freed, s", r.Most, fmt.Sprint(g.Most))
	took("server's own proof, s", r.Proven, "")
	took("commands at all devices, s", r.Commands, fmt.Sprint(g.Commands))
	line("devices in the first plan, commanded in all", "", "%d, %d", r.Planned, r.Commanded)
	line("steady error, % of mining", fmt.Sprintf("%g or one device", g.Error),
		"%.3f (%+.0f W)", r.Error, r.ErrorW)
	line("overshoot, % of the order", fmt.Sprintf("%g or one device", g.Overshoot), "%.2f", r.Overshoot)
	took("end of the order to 90 % drawn again, s", r.Return, "")
	s.WriteString("\n")
	if r.Refused != "" {
		fmt.Fprintf(&s, "The server said: %s\n", r.Refused)
	}
	for _, m := range r.Missed {
		fmt.Fprintf(&s, "MISSED %s\n", m)
	}
	if len(r.Missed) == 0 {
		s.WriteString("Every goal was reached.\n")
	}
	return s.String()
}
