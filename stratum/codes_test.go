package stratum_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that every error code which the server sends is explained in a document (sv2-spec 03 §3.5).
func TestSV2_033_PublishesItsCodes(t *testing.T) {
	values := map[string]string{} // of the constants of package sv2
	for _, file := range parsed(t, "sv2") {
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.BasicLit); ok && strings.HasPrefix(v.Names[0].Name, "Code") {
					values[v.Names[0].Name], _ = strconv.Unquote(lit.Value)
				}
			}
			return true
		})
	}
	sent := map[string]bool{}
	for _, file := range parsed(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Code") {
				if code := values[s.Sel.Name]; code != "" {
					sent[code] = true
				}
			}
			return true
		})
	}
	for r := range pool.Reject(pool.Rejects) {
		if r != pool.RejectNone {
			sent[r.Code()] = true
		}
	}
	var text []byte
	for _, page := range []string{"../docs/stratum.md", "../docs/power-extension.md"} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	for code := range sent {
		if !strings.Contains(string(text), code) {
			t.Errorf("docs do not explain the code %q", code)
		}
	}
	if len(sent) < 15 {
		t.Errorf("found only %d codes: %v", len(sent), sent)
	}
}

// parsed is the code of a directory, without tests.
func parsed(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
