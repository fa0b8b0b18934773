package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var documented = regexp.MustCompile("(?m)(?:^ {4}|`|`go run ./cmd/)(hashlease [a-z][^`#\n]*)")

// Ensure that every command line in the documents is accepted by the grammar.
func TestDocs_NameCommandsThatExist(t *testing.T) {
	for _, page := range []string{"../../README.md", "../../docs/operator.md", "../../docs/tenant.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		lines := documented.FindAllStringSubmatch(string(text), -1)
		if len(lines) < 5 {
			t.Errorf("%s names only %d commands", page, len(lines))
		}
		for _, m := range lines {
			args := strings.Fields(m[1])[1:]
			if len(args) == 2 && args[1] == "--help" {
				continue
			}
			helped := false
			parser, err := kong.New(new(cli),
				kong.Exit(func(int) { helped = true }), kong.Writers(t.Output(), t.Output()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err != nil && !helped && !onlyGroup(err) {
				t.Errorf("%s: %q: %v", page, m[1], err)
			}
		}
	}
}

// onlyGroup accepts a mention such as `hashlease lease`, which names a group of commands.
func onlyGroup(err error) bool { return strings.Contains(err.Error(), "expected one of") }
