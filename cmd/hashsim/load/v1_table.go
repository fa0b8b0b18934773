package load

import (
	"fmt"
	"strings"
)

// Markers of the table of Stratum V1 in a page.
const (
	v1BeginMark = "<!-- begin of the table of Stratum V1: make perf writes it -->\n"
	v1EndMark   = "<!-- end of the table of Stratum V1 -->\n"
)

// v1Line is one figure for every row.
type v1Line struct {
	name, goal, format string
	value              func(r *V1Row) (float64, bool)
}

// v1Of makes the value of a line that needs a part of the row.
func v1Of[P any](part func(*V1Row) *P, value func(*P) float64) func(*V1Row) (float64, bool) {
	return func(r *V1Row) (float64, bool) {
		p := part(r)
		if p == nil {
			return 0, false
		}
		return value(p), true
	}
}

func v1Connects(value func(*V1Connect) float64) func(*V1Row) (float64, bool) {
	return v1Of(func(r *V1Row) *V1Connect { return &r.Connect }, value)
}

func v1Memory(value func(*Memory) float64) func(*V1Row) (float64, bool) {
	return v1Of(func(r *V1Row) *Memory { return r.Memory }, value)
}

func v1Tips(value func(*V1Tip) float64) func(*V1Row) (float64, bool) {
	return v1Of(func(r *V1Row) *V1Tip { return r.Tip }, value)
}

func v1Shares(value func(*Shares) float64) func(*V1Row) (float64, bool) {
	return v1Of(func(r *V1Row) *Shares { return r.Shares }, value)
}

func v1Depths(value func(*V1Closed) float64) func(*V1Row) (float64, bool) {
	return v1Of(func(r *V1Row) *V1Closed { return r.Depth }, value)
}

// v1Lines have their goals, and in brackets what was measured of ckpool on such a machine at another time.
// Where there are two, the second is at 5,000 connections.
var v1Lines = []v1Line{
	{"acknowledged submits/s, 4 in flight on each", "75,000 at 1,000 (24,000 to 26,000)", "%.0f", v1Depths(
		func(d *V1Closed) float64 { return d.Answered },
	)},
	{"server CPU per share then, us", "(50 to 55 at 1,000)", "%.1f", v1Depths(func(d *V1Closed) float64 {
		return d.CPUPerShare
	})},
	{"generator CPU per share then, us", "", "%.1f", v1Depths(func(d *V1Closed) float64 {
		return d.LoadPer
	})},
	{"share to reply p50 then, ms", "", "%.1f", v1Depths(func(d *V1Closed) float64 { return d.Reply.P50 })},
	{"share to reply p99 then, ms", "", "%.1f", v1Depths(func(d *V1Closed) float64 { return d.Reply.P99 })},
	{"wrong answers then", "0", "%.0f", v1Depths(func(d *V1Closed) float64 { return float64(d.Wrong) })},
	{others, "", "%.2f", v1Depths(func(d *V1Closed) float64 { return d.OthersBusy })},
	{"shares/s offered", "", "%.0f", v1Shares(func(s *Shares) float64 { return s.Offered })},
	{"server CPU per share, us", "54 at 1,000 (120 to 138)", "%.1f", v1Shares(func(s *Shares) float64 {
		return s.CPUPerShare
	})},
	{"a bare loopback round trip then, CPU us", "", "%.1f", v1Shares(func(s *Shares) float64 {
		return s.Loopback
	})},
	{"share to reply p50 (durable), ms", "(0.27 to 0.38, not durable)", "%.2f", v1Shares(
		func(s *Shares) float64 { return s.Ack.P50 },
	)},
	{"share to reply p99 (durable), ms", "12 at 1,000 (2.3 to 3.1, not durable)", "%.2f", v1Shares(
		func(s *Shares) float64 { return s.Ack.P99 },
	)},
	{"share to refusal p50, ms", "", "%.2f", v1Shares(func(s *Shares) float64 { return s.Refusal.P50 })},
	{"share to refusal p99, ms", "", "%.2f", v1Shares(func(s *Shares) float64 { return s.Refusal.P99 })},
	{"bad shares refused rightly", "all", "%.4g %%", v1Shares(func(s *Shares) float64 {
		return 100 * float64(s.Refused) / max(1, float64(s.Bad))
	})},
	{"wrong answers", "0", "%.0f", v1Shares(func(s *Shares) float64 { return float64(s.Wrong) })},
	{others, "", "%.2f", v1Shares(func(s *Shares) float64 { return s.OthersBusy })},
	{"connects/s: subscribe, authorize, first job", "5,500 at 5,000 (2,100 to 3,300)", "%.0f", v1Connects(
		func(c *V1Connect) float64 { return c.Rate },
	)},
	{"dial to first job p99, ms", "(23 to 285, 130 to 273)", "%.1f", v1Connects(
		func(c *V1Connect) float64 { return c.Took.P99 },
	)},
	{"server CPU per connect, us", "(150 to 240, 290 to 330)", "%.0f", v1Connects(
		func(c *V1Connect) float64 { return c.CPU },
	)},
	{"tip to first connection, ms", "(61 to 264, 81 to 264)", "%.1f", v1Tips(
		func(t *V1Tip) float64 { return t.First },
	)},
	{"tip to p99 of connections, ms", "27 at 1,000, 150 at 5,000 (90 to 310, 224 to 545)", "%.1f", v1Tips(
		func(t *V1Tip) float64 { return t.P99 },
	)},
	{"tip to last connection, ms", "", "%.1f", v1Tips(func(t *V1Tip) float64 { return t.Last })},
	{"the same, worst tip, ms", "", "%.1f", v1Tips(func(t *V1Tip) float64 { return t.WorstLast })},
	{"messages for it", "", "%.1f", v1Tips(func(t *V1Tip) float64 { return t.Messages })},
	{others, "", "%.2f", v1Tips(func(t *V1Tip) float64 { return t.OthersBusy })},
	{"resident memory per idle connection, KiB", "8 (4.4 to 4.6, 4.0)", "%.2f", v1Memory(
		func(m *Memory) float64 { return m.Grown / 1024 },
	)},
	{"the same after FreeOSMemory, KiB", "8", "%.2f", v1Memory(func(m *Memory) float64 {
		return m.Freed / 1024
	})},
	{"of this, stacks, KiB", "", "%.2f", v1Memory(func(m *Memory) float64 { return m.Stacks / 1024 })},
}

// v1Text is the table of Stratum V1, as Markdown; empty without rows.
func v1Text(res *Result) string {
	if len(res.V1) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| Stratum V1, connections | goal (ckpool) |")
	for i := range res.V1 {
		fmt.Fprintf(&b, " %d |", res.V1[i].Connections)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(res.V1)) + "\n")
	for i := range v1Lines {
		b.WriteString(v1Lines[i].text(res.V1))
	}
	return b.String() + "\n"
}

// text is the line of the table, nothing if no row has the figure.
func (l *v1Line) text(rows []V1Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |", l.name, l.goal)
	some := false
	for i := range rows {
		v, ok := l.value(&rows[i])
		if !ok {
			b.WriteString(" |")
			continue
		}
		some = true
		fmt.Fprintf(&b, " "+l.format+" |", v)
	}
	if !some {
		return ""
	}
	return b.String() + "\n"
}
