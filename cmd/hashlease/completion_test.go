package main

import (
	"bytes"
	"strings"
	"testing"
)

// Ensure that a shell is told what may stand where the cursor is: commands, flags, values of flags that
// are known, and nothing where the grammar does not say.
func TestComplete_SaysWhatMayFollow(t *testing.T) {
	for line, want := range map[string]string{
		"lea|":                         "lease",
		"lease c|":                     "cancel confirm-off create",
		"lease cancel --req|":          "--request-id",
		"lease create --site n --wat|": "--watts",
		"--key-file k lease wa|":       "watch",
		"lease create --watts |":       "",
		"lease cancel l1 |":            "",
		"lease run -- --si|":           "",
		"completion |":                 "bash fish zsh",
		"no-such-thing li|":            "",
		"__com|":                       "",
	} {
		words := strings.Split(strings.TrimSuffix(line, "|"), " ")
		var out, errs bytes.Buffer
		args := append([]string{"__complete", "--"}, words...)
		if code := Main(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitOK {
			t.Errorf("%s: exit status %d\n%s", line, code, &errs)
		}
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
