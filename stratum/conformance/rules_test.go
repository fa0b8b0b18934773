package conformance_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/stratum/conformance"
)

var rewrite = flag.Bool("rewrite", false, "write the table of docs/sv2-conformance.md anew")

// numbers are those that the checklist has, by section of conformance.Sections.
var numbers = map[string][2]int{
	"Transport and Noise":   {1, 17},
	"Framing and decoding":  {20, 34},
	"Connection setup":      {40, 55},
	"Opening channels":      {60, 76},
	"Groups, close, update": {80, 93},
	"Jobs":                  {100, 120},
	"Difficulty":            {130, 138},
	"Shares":                {150, 166},
	"Extensions":            {230, 241},
	"Reconnect":             {250, 254},
}

// Ensure that every number of the checklist is a rule, once, in its section, and that every rule has a
// check, a test that there is, or a reason.
func TestRules_AreComplete(t *testing.T) {
	for _, s := range conformance.Sections() {
		span := numbers[s.Title]
		next := span[0]
		for _, r := range s.Rules {
			if r.Number != next {
				t.Errorf("%s: got %s where %03d is expected", s.Title, r.ID(), next)
			}
			next = r.Number + 1
			complete(t, &r)
		}
		if next != span[1]+1 {
			t.Errorf("%s ends before %03d, want up to %03d", s.Title, next, span[1])
		}
	}
}

// complete looks at one rule.
func complete(t *testing.T, r *conformance.Rule) {
	t.Helper()
	if r.Mark == "" || r.Sentence == "" || r.Source == "" {
		t.Errorf("%s lacks its mark, sentence or source", r.ID())
	}
	asked := r.Check != nil || r.Frame != nil
	if !asked && r.Reason == "" && len(r.Tests) == 0 {
		t.Errorf("%s has no check, no test and no reason", r.ID())
	}
	if asked && r.Reason != "" {
		t.Errorf("%s has a check and a reason why there is none", r.ID())
	}
	for _, test := range r.Tests {
		dir, name, _ := strings.Cut(test, " ")
		if !testsOf(t, dir)[name] {
			t.Errorf("%s: there is no test %s in %s", r.ID(), name, dir)
		}
	}
}

var testNames = map[string]map[string]bool{} // by directory from the root

// testsOf is the names of the tests in a directory.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	if names := testNames[dir]; names != nil {
		return names
	}
	names := map[string]bool{}
	testNames[dir] = names
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// Ensure that the table in the documents is that of the rules; -rewrite makes it so.
func TestDocs_HaveTheTableOfRules(t *testing.T) {
	const page, begin = root + "/docs/sv2-conformance.md", "\n## Rules\n"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(b), begin)
	want := head + begin + table()
	switch {
	case !found:
		t.Fatalf("%s has no heading %q", page, strings.TrimSpace(begin))
	case string(b) == want:
	case *rewrite:
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s differs from the rules: go test ./stratum/conformance -run Docs -rewrite", page)
	}
}

// table is the rules for people.
func table() string {
	var b strings.Builder
	for _, s := range conformance.Sections() {
		fmt.Fprintf(&b, "\n### %s\n\n| Rule | Mark | A pool... | Source | Shown by |\n", s.Title)
		b.WriteString("|---|---|---|---|---|\n")
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.ID(), r.Mark, r.Sentence, r.Source, shownBy(&r))
		}
	}
	return b.String()
}

// shownBy is how a rule is shown, in a few words.
func shownBy(r *conformance.Rule) string {
	var by []string
	if r.Check != nil || r.Frame != nil {
		how := "`sv2conform`"
		if len(r.Needs) > 0 {
			how += " with control: " + strings.Join(r.Needs, ", ")
		}
		by = append(by, how)
	}
	if r.Reason != "" {
		by = append(by, r.Reason)
	}
	for _, test := range r.Tests {
		dir, name, _ := strings.Cut(test, " ")
		by = append(by, fmt.Sprintf("`%s` in %s", name, dir))
	}
	return strings.Join(by, "; ")
}
