package audit

import (
	"os"
	"strings"
	"testing"
)

// Ensure that the test vector of docs/audit.md verifies, and that its records are written as it says.
func TestVector_OfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	file, records := "", 0
	for line := range strings.Lines(string(page)) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented || strings.Contains(text, "HASH") || !strings.HasPrefix(text, `{"`) {
			continue
		}
		file += text
		if !isRecord([]byte(text)) {
			continue
		}
		records++
		_, record, err := splitLine([]byte(strings.TrimSpace(text)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRecord(record)
		if err != nil || string(r.Append(nil)) != string(record) {
			t.Errorf("%s\nis written as\n%s (%v)", record, r.Append(nil), err)
		}
	}
	res, err := Verify(strings.NewReader(file), Trust{Open: true})
	if err != nil || records != 3 || res.Last != 3 {
		t.Errorf("%d records, %+v %v\n%s", records, res, err, file)
	}
}
