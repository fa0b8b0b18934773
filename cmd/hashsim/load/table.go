package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Markers of the table in a page.
const (
	beginMark = "<!-- begin of the table: make perf writes it -->\n"
	endMark   = "<!-- end of the table -->\n"
)

const others = "other processes meanwhile, cores"

// line is one figure for every row.
type line struct {
	name   string
	goal   string
	format string
	value  func(r *Row) (float64, bool)
}

// of makes the value of a line that needs a part of the row.
func of[P any](part func(*Row) *P, value func(*P) float64) func(*Row) (float64, bool) {
	return func(r *Row) (float64, bool) {
		p := part(r)
		if p == nil {
			return 0, false
		}
		return value(p), true
	}
}

func sharesOf(value func(*Shares) float64) func(*Row) (float64, bool) {
	return of(func(r *Row) *Shares { return r.Shares }, value)
}

func tipOf(value func(*Tip) float64) func(*Row) (float64, bool) {
	return of(func(r *Row) *Tip { return r.Tip }, value)
}

func memoryOf(value func(*Memory) float64) func(*Row) (float64, bool) {
	return of(func(r *Row) *Memory { return r.Memory }, value)
}

func stormOf(value func(*Storm) float64) func(*Row) (float64, bool) {
	return of(func(r *Row) *Storm { return r.Storm }, value)
}

var lines = []line{
	{"shares/s offered", "", "%.0f", sharesOf(func(s *Shares) float64 { return s.Offered })},
	{"server CPU per share, us", "15", "%.1f", sharesOf(func(s *Shares) float64 { return s.CPUPerShare })},
	{"a bare loopback round trip then, CPU us", "", "%.1f", sharesOf(func(s *Shares) float64 {
		return s.Loopback
	})},
	{"share to refusal p50, ms", "", "%.2f", sharesOf(func(s *Shares) float64 { return s.Refusal.P50 })},
	{"share to refusal p99, ms", "", "%.2f", sharesOf(func(s *Shares) float64 { return s.Refusal.P99 })},
	{"share to ack p50 (batched), ms", "", "%.0f", sharesOf(func(s *Shares) float64 { return s.Ack.P50 })},
	{"share to ack p99 (batched), ms", "", "%.0f", sharesOf(func(s *Shares) float64 { return s.Ack.P99 })},
	{"bad shares refused rightly", "all", "%.4g %%", sharesOf(func(s *Shares) float64 {
		return 100 * float64(s.Refused) / max(1, float64(s.Bad))
	})},
	{"wrong answers", "0", "%.0f", sharesOf(func(s *Shares) float64 { return float64(s.Wrong) })},
	{others, "", "%.2f", sharesOf(func(s *Shares) float64 { return s.OthersBusy })},
	{"tip to first connection, ms", "5", "%.1f", tipOf(func(t *Tip) float64 { return t.First })},
	{"tip to last connection, ms", "140 at 10,000", "%.1f", tipOf(func(t *Tip) float64 { return t.Last })},
	{"the same, worst tip, ms", "", "%.1f", tipOf(func(t *Tip) float64 { return t.WorstLast })},
	{"the same, server's own figure, ms", "", "%.1f", tipOf(func(t *Tip) float64 { return t.ServerLast })},
	{"server CPU per connection, us", "", "%.1f", tipOf(func(t *Tip) float64 { return t.CPUPerConn })},
	{others, "", "%.2f", tipOf(func(t *Tip) float64 { return t.OthersBusy })},
	{
		"own block: share to the last connection, ms", "30 at 1,000", "%.1f",
		of(func(r *Row) *Block { return r.Block }, func(b *Block) float64 { return b.Last }),
	},
	{"resident memory per idle connection, KiB", "6", "%.2f", memoryOf(func(m *Memory) float64 {
		return m.Grown / 1024
	})},
	{"the same after FreeOSMemory, KiB", "6", "%.2f", memoryOf(func(m *Memory) float64 {
		return m.Freed / 1024
	})},
	{"of this, stacks, KiB", "", "%.2f", memoryOf(func(m *Memory) float64 { return m.Stacks / 1024 })},
	{"reconnects at once", "", "%.0f", stormOf(func(s *Storm) float64 { return float64(s.Handshakes) })},
	{"keys in stock", "", "%.0f", stormOf(func(s *Storm) float64 { return float64(s.Stock) })},
	{"handshakes/s, both cores", "", "%.0f", stormOf(func(s *Storm) float64 { return s.Rate })},
	{"server CPU per handshake, ms", "", "%.3f", stormOf(func(s *Storm) float64 { return s.CPU })},
	{"last handshake answered after, s", "", "%.2f", stormOf(func(s *Storm) float64 { return s.Seconds })},
	{"had to try again", "", "%.0f", stormOf(func(s *Storm) float64 { return float64(s.Retries) })},
	{"connected miners: share to ack p99 before, ms", "", "%.1f", stormOf(func(s *Storm) float64 {
		return s.ShareBefore.P99
	})},
	{"... during the storm, ms", "50", "%.1f", stormOf(func(s *Storm) float64 { return s.ShareDuring.P99 })},
	{others, "", "%.2f", stormOf(func(s *Storm) float64 { return s.OthersBusy })},
}

// Text is the result for people, as Markdown.
func Text(res *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s on %s, server and load on the same cores, in %.0f s, by `%s`.\n\n",
		res.Time.Format("2006-01-02 15:04 UTC"), res.Machine, res.Seconds, res.Command)
	if b.WriteString(v1Text(res)); len(res.V1) == 0 {
		writeV2(&b, res)
	}
	for i := range res.Profiles {
		writeProfile(&b, &res.Profiles[i])
	}
	return b.String()
}

// writeV2 is what was measured of Stratum V2.
func writeV2(b *strings.Builder, res *Result) {
	b.WriteString("| connections | goal |")
	for i := range res.Rows {
		fmt.Fprintf(b, " %d |", res.Rows[i].Connections)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(res.Rows)) + "\n")
	for i := range lines {
		b.WriteString(lines[i].text(res.Rows))
	}
	b.WriteString("\n")
	if s := res.Sustained; s != nil {
		fmt.Fprintf(b, "Without a stock, key generation counted: %.3f ms of server CPU per handshake, "+
			"%.0f/s per core (floor 1,540 to 1,750); %.0f/s on both cores shared with the load; "+
			"connected miners' share to ack p99 %.1f ms.\n\n",
			s.CPU, s.PerCore, s.Rate, s.ShareDuring.P99)
	}
	if len(res.Extended) > 0 {
		fmt.Fprintf(b, "Extended channels, whose miners roll the extranonce (%d levels of the merkle tree "+
			"are hashed for each share), %d connections, acknowledging every %d:\n\n",
			res.Extended[0].Levels, res.Extended[0].Connections, res.Extended[0].AckEvery)
		writeSteps(b, res.Extended)
	}
	for i := range res.Knees {
		writeKnee(b, &res.Knees[i])
	}
	for _, c := range res.Channels {
		fmt.Fprintf(b, "%d connections of %d channels each: %.2f KiB of resident memory per further "+
			"channel (goal 1), %.2f after FreeOSMemory; a tip in %.1f messages per connection, first after "+
			"%.1f ms, last after %.1f ms.\n\n",
			c.Connections, c.Channels, c.Grown/1024, c.Freed/1024, c.Tip.Messages, c.Tip.First, c.Tip.Last)
	}
}

func writeKnee(b *strings.Builder, k *Knee) {
	fmt.Fprintf(b, "Acknowledging every %d, the server keeps up with %.0f shares/s; what ended the ladder "+
		"is %s.\n\n", k.AckEvery, k.Rate, k.Limited)
	writeSteps(b, k.Steps)
}

// writeSteps is a table of rates.
func writeSteps(b *strings.Builder, steps []Shares) {
	b.WriteString("| offered/s | sent/s | server CPU per share, us | loopback, us | refusal p50, ms | " +
		"refusal p99, ms | ack p99, ms | generator late p99, ms | others, cores |\n|" +
		strings.Repeat("---:|", 9) + "\n")
	for i := range steps {
		s := &steps[i]
		fmt.Fprintf(b, "| %.0f | %.0f | %.1f | %.1f | %.2f | %.2f | %.1f | %.2f | %.2f |\n", s.Offered,
			s.Sent, s.CPUPerShare, s.Loopback, s.Refusal.P50, s.Refusal.P99, s.Ack.P99, s.Late.P99,
			s.OthersBusy)
	}
	b.WriteString("\n")
}

// text is the line of the table, nothing if no row has the figure.
func (l *line) text(rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |", l.name, l.goal)
	any := false
	for i := range rows {
		v, ok := l.value(&rows[i])
		if !ok {
			b.WriteString(" |")
			continue
		}
		any = true
		fmt.Fprintf(&b, " "+l.format+" |", v)
	}
	if !any {
		return ""
	}
	return b.String() + "\n"
}

// Rewrite replaces what is between the markers of a page.
func Rewrite(file string, res *Result) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	begin, end := beginMark, endMark
	if len(res.V1) > 0 {
		begin, end = v1BeginMark, v1EndMark
	}
	head, rest, ok1 := bytes.Cut(page, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		return errors.New("page " + file + " lacks the lines " + begin + "and " + end)
	}
	out := string(head) + begin + "\n" + Text(res) + end + string(tail)
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil { //nolint:gosec // a page of the repository
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
