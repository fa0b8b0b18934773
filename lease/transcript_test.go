package lease_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/unit"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts' output anew")

// Ensure that the book does what the transcripts say: a command with its words, "----", and
// what happened. Times are seconds after the start; words are key=value.
func TestBook_Transcripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			old, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, old)
			if *rewrite {
				if err := os.WriteFile(f, got, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(old), string(got)); diff != "" {
				t.Errorf("%s (-file +book):\n%s", f, diff)
			}
		})
	}
}

// play runs a transcript and returns it with the output that it has now.
func play(t *testing.T, script []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	b := newBook(t, lease.Limits{Live: 4, Retained: 8, Requests: 8})
	skipping := false
	for sc := bufio.NewScanner(bytes.NewReader(script)); sc.Scan(); {
		line := sc.Text()
		switch {
		case line == "----":
			skipping = true
		case line == "":
			skipping = false
			fmt.Fprintln(&out)
		case skipping:
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		default:
			fmt.Fprintf(&out, "%s\n----\n", line)
			do(t, &out, b, line)
		}
	}
	return out.Bytes()
}

// do does one line, "at <second> command word=value ...", and writes what happened.
func do(t *testing.T, out *bytes.Buffer, b *lease.Book, line string) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "at" {
		t.Fatalf("line %q: at <second> <command> is accepted", line)
	}
	sec, err := strconv.ParseFloat(words[1], 64)
	if err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	now := t0.Add(time.Duration(sec * float64(time.Second)))
	args := arguments{t, map[string]string{}}
	for _, w := range words[3:] {
		k, v, _ := strings.Cut(w, "=")
		args.words[k] = v
	}
	if words[2] == "free" {
		slot := lease.Slot{Start: args.time("from"), End: args.time("to")}
		f := lease.FeederID(args.words["feeder"])
		b.Availability(f, slot, func(from time.Time, free unit.Watts) bool {
			fmt.Fprintf(out, "%s %d W\n", clock(from), int64(free))
			return true
		})
		return
	}
	events, err := b.Step(args.command(words[2]), now)
	for _, e := range events {
		fmt.Fprintln(out, describe(e))
	}
	if r, ok := errors.AsType[*lease.Refusal](err); ok {
		fmt.Fprintf(out, "refused %v: %v\n", r.Kind, r)
		if r.Kind == lease.NoCapacity {
			fmt.Fprintf(out, "  feeder %s free %d conflict %s earliest %s\n",
				r.Feeder, int64(r.MaxFree), clock(r.FirstConflict), clock(r.EarliestStart))
		}
	}
	if len(events) == 0 && err == nil {
		fmt.Fprintln(out, "nothing")
	}
}

// arguments are a line's words.
type arguments struct {
	t     *testing.T
	words map[string]string
}

func (a arguments) time(key string) time.Time {
	if a.words[key] == "" {
		return time.Time{}
	}
	return t0.Add(time.Duration(a.number(key)) * time.Second)
}

func (a arguments) number(key string) int64 {
	if a.words[key] == "" {
		return 0
	}
	n, err := strconv.ParseInt(a.words[key], 10, 64)
	if err != nil {
		a.t.Fatalf("%s=%s: %v", key, a.words[key], err)
	}
	return n
}

func (a arguments) command(name string) lease.Command {
	w := a.words
	uid, tenant := lease.UID(w["lease"]), lease.TenantID(w["tenant"])
	switch name {
	case "create":
		return lease.Create{
			UID: uid, Tenant: tenant, RequestID: w["id"], Site: "yard", Feeder: lease.FeederID(w["feeder"]),
			Watts: unit.Watts(a.number("watts")), Start: a.time("from"), End: a.time("to"),
			Price: unit.Msat(a.number("price")), Penalty: unit.Msat(a.number("penalty")),
		}
	case "cancel":
		return lease.Cancel{UID: uid, Tenant: tenant, RequestID: w["id"]}
	case "amend":
		return lease.Amend{
			UID: uid, Tenant: tenant, RequestID: w["id"], Watts: unit.Watts(a.number("watts")),
			Start: a.time("from"), End: a.time("to"),
		}
	case "capacity":
		from := a.time("from")
		return lease.SetCapacity{
			Feeder: lease.FeederID(w["feeder"]), Basis: "test",
			Steps: []lease.CapacityStep{{From: from, Watts: unit.Watts(a.number("watts"))}},
		}
	case "tick":
		return lease.Tick{}
	case "mark":
		return lease.Tick{Mark: true}
	case "proof":
		return lease.Prove{
			UID: uid, At: a.time("read"), FirstOrder: a.time("ordered"), Free: w["free"] == "yes",
			Gone: w["gone"] == "yes", Drawn: unit.Watts(a.number("drawn")),
			Delivered: unit.Joules(a.number("joules")), Freed: unit.Watts(a.number("freed")),
			Overrun: unit.Joules(a.number("overrun")), Reason: w["reason"], Watts: unit.Watts(a.number("of")),
		}
	case "confirm":
		return lease.Confirm{UID: uid}
	case "restart":
		return lease.Restart{}
	case "settle":
		return lease.Settle{UID: uid}
	}
	a.t.Fatalf("command %q is unknown", name)
	return nil
}

// clock is a time in seconds after the start.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return strconv.FormatFloat(t.Sub(t0).Seconds(), 'f', -1, 64)
}

func describe(e lease.Event) string {
	l := e.Lease
	if l == nil {
		s := fmt.Sprintf("%d %s %s", e.Revision, e.Kind, e.Feeder)
		for _, st := range e.Steps {
			s += fmt.Sprintf(" %d W from %s", int64(st.Watts), clock(st.From))
		}
		if e.Shortfall != nil {
			s += fmt.Sprintf(" %d W missing from %s", int64(e.Shortfall.Watts), clock(e.Shortfall.From))
		}
		return strings.TrimSpace(s)
	}
	s := fmt.Sprintf("%d %s %s %v [%s, %s) %d W on %s", e.Revision, e.Kind, l.UID, l.State,
		clock(l.Slot.Start), clock(l.Slot.End), int64(l.Watts), l.Feeder)
	if e.From != 0 {
		s += " from " + e.From.String()
	}
	for _, x := range []struct {
		name string
		at   time.Time
	}{{"ordered", l.OrderedAt}, {"active", l.ActiveAt}, {"gone", l.GoneAt}} {
		if !x.at.IsZero() {
			s += " " + x.name + " " + clock(x.at)
		}
	}
	if short := l.ShortfallAt(e.At); short > 0 {
		s += fmt.Sprintf(" short %v", short)
	}
	if l.Delivered > 0 {
		s += fmt.Sprintf(" delivered %d J", int64(l.Delivered))
	}
	if l.Overrun > 0 {
		s += fmt.Sprintf(" overrun %d J", int64(l.Overrun))
	}
	if l.Charge > 0 {
		s += fmt.Sprintf(" charge %d msat", int64(l.Charge))
	}
	return s + " (" + l.Reason + ")"
}
