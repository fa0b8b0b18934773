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
	took := func(name string, is *float64, wanted float64) {
		goal := ""
		if wanted > 0 {
			goal = fmt.Sprint(wanted)
		}
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
	if r.Blip != nil {
		return blipText(r, server)
	}
	fmt.Fprintf(&s, "%d devices (%s), %d of them faulty, server %s: %v of %v shed.\n\n",
		r.Devices, r.Fleet, r.Faulty, server, unit.Watts(r.Ordered), unit.Watts(r.Baseline))
	s.WriteString("| | goal | is |\n|---|---:|---:|\n")
	g := &r.Goals
	took("order to 50 % freed, s", r.Half, g.Half)
	took("order to 95 % freed, s", r.Most, g.Most)
	took("order to 99 % freed, s", r.Nearly, g.Nearly)
	took("server's own proof, s", r.Proven, 0)
	took("commands at all devices, s", r.Commands, g.Commands)
	line("devices in the first plan, commanded in all", "", "%d, %d", r.Planned, r.Commanded)
	line("steady error, % of mining", fmt.Sprintf("%g or one device", g.Error),
		"%.3f (%+.0f W)", r.Error, r.ErrorW)
	line("overshoot, % of the order", fmt.Sprintf("%g or one device", g.Overshoot), "%.2f", r.Overshoot)
	took("end of the order to 90 % drawn again, s", r.Return, 0)
	s.WriteString("\n")
	s.WriteString(timesText(r.Times))
	if r.Refused != "" {
		fmt.Fprintf(&s, "The server said: %s\n", r.Refused)
	}
	return s.String() + missedText(r.Missed)
}

func missedText(missed []string) string {
	if len(missed) == 0 {
		return "Every goal was reached.\n"
	}
	return "MISSED " + strings.Join(missed, "\nMISSED ") + "\n"
}

// blipText is a blip for people, as Markdown.
func blipText(r *Result, server string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d devices (%s) lose their power for an instant while a tenant draws %v beside %v "+
		"of mining, server %s.\n\n",
		r.Devices, r.Fleet, unit.Watts(r.Blip.Tenant), unit.Watts(r.Baseline), server)
	s.WriteString("| | goal | is |\n|---|---:|---:|\n")
	fmt.Fprintf(&s, "| seconds outside an overload allowance (%d %% for %v), all feeders | 0 | %.2f |\n",
		blipOver, blipFor, r.Blip.Outside)
	fmt.Fprintf(&s, "| seconds above a limit and within it | | %.2f |\n", r.Blip.Over-r.Blip.Outside)
	fmt.Fprintf(&s, "| highest draw above a limit, %% | | %.2f |\n", r.Blip.Most)
	back := "never"
	if r.Blip.Back != nil {
		back = fmt.Sprintf("%.0f", *r.Blip.Back)
	}
	fmt.Fprintf(&s, "| until mining draws what it did, s | | %s |\n\n", back)
	return s.String() + missedText(r.Missed)
}

// timesText is the table of times by firmware: medians, 95th percentiles and the slowest.
func timesText(list []Times) string {
	var s strings.Builder
	s.WriteString("| seconds, median / 95 % / slowest | devices | order to told " +
		"| told to down | told to back |\n")
	s.WriteString("|---|---:|---:|---:|---:|\n")
	spread := func(d Spread) string {
		if d.N == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f / %.1f / %.1f", d.Median, d.Most, d.Last)
	}
	for _, t := range list {
		fmt.Fprintf(&s, "| %s | %d | %s | %s | %s |\n",
			t.Firmware, t.Devices, spread(t.Told), spread(t.Shed), spread(t.Return))
	}
	s.WriteString("\n")
	return s.String()
}
