package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/audit"
)

// report runs `hashlease site report --json` and saves the records behind it, if file is not empty.
func (s *site) report(file string, args ...string) (r audit.Report) {
	s.t.Helper()
	args = append([]string{"site", "report", "north", "--json"}, args...)
	if file != "" {
		args = append(args, "--out", file)
	}
	s.decode(&r, args...)
	return r
}

// offline runs `hashlease site verify` as on a machine that knows no server, and says what it answers.
func offline(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"site", "verify"}, args...)
	code = Main(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// checkEvidence checks that the files of the evidence log are one chain, when no server runs.
func (s *site) checkEvidence() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "data", auditDir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no evidence log in %s: %v", s.dir, err)
	}
	last := uint64(0)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			s.t.Fatal(err)
		}
		res, err := audit.Verify(f, audit.Trust{Open: true})
		f.Close()
		if err != nil || res.First != last+1 {
			s.t.Errorf("%s begins with record %d after %d: %v", name, res.First, last, err)
		}
		last = res.Last
	}
}

// checkReports takes reports of a curtailment in every form, and checks them once no server runs any more.
func (s *site) checkReports(event string) {
	s.t.Helper()
	dir := s.t.TempDir()
	file, whole := filepath.Join(dir, "event.jsonl"), filepath.Join(dir, "month.jsonl")
	r := s.report(file, "--event", event)
	freed, ok := r.Figure(audit.FreedMeter)
	if !ok || !freed.Known || freed.Value <= 0 || len(r.Workers) < 2 || len(r.Subjects) == 0 {
		s.t.Errorf("the report of %s: %+v", event, r)
	}
	month := s.report(whole, "--month", time.Now().UTC().Format("2006-01"))
	if over, ok := month.Figure(audit.OverLimit); !ok || over.Value != 0 || len(month.Subjects) < 4 {
		s.t.Errorf("the report of the month: %+v", month)
	}
	for form, want := range map[string]string{
		"--csv": "\nall," + event + ",,", "": audit.FreedMeter,
	} {
		args := []string{"site", "report", "north", "--event", event}
		if form != "" {
			args = append(args, form)
		}
		if out := s.command(args...); !strings.Contains(out, want) {
			s.t.Errorf("the report %s says\n%s", form, out)
		}
	}
	s.stop()
	s.checkEvidence()
	code, _, said := offline(s.t, file)
	key := said[strings.Index(said, "with the key ")+len("with the key ") : strings.Index(said, ". Compare")]
	if code != exitOK || !strings.Contains(said, "The figures are what the records come to.") {
		s.t.Fatalf("exit status %d: %s", code, said)
	}
	for name, want := range map[string]*audit.Report{file: &r, whole: &month} {
		var got audit.Report
		code, out, said := offline(s.t, name, "--json", "--trusted", key)
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK ||
			!strings.Contains(said, "signed with the server's key") {
			s.t.Fatalf("exit status %d, %v: %s", code, err, said)
		}
		for _, f := range want.Figures {
			if again, _ := got.Figure(f.Name); again.Value != f.Value || again.Known != f.Known {
				s.t.Errorf("%s: %s is %d, and offline %d", name, f.Name, f.Value, again.Value)
			}
		}
	}
	other := strings.Repeat("0", 64)
	if code, _, said := offline(s.t, file, "--trusted", other); code != exitFailed ||
		!strings.Contains(said, "not with the server's") {
		s.t.Errorf("with another key: exit status %d, %s", code, said)
	}
}
