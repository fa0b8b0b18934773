package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says where the script belongs.
func (c *completionCmd) Help() string {
	return "bash: source <(hashlease completion bash), in ~/.bashrc.  zsh: the same with zsh, in ~/.zshrc " +
		"after compinit.  fish: hashlease completion fish | source, in config.fish."
}

// Each asks the program itself what may stand where the cursor is, so that none has to be made anew.
var completionScripts = map[string]string{
	"bash": `_hashlease() {
    local IFS=$'\n'
    COMPREPLY=($(hashlease __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _hashlease hashlease
`,
	"zsh": `_hashlease() {
    local -a found
    found=("${(@f)$(hashlease __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _hashlease hashlease
`,
	"fish": `complete -c hashlease -a '(hashlease __complete -- (commandline -opc)[2..-1] (commandline -ct))'
`,
}

// Run prints a shell's script.
func (c *completionCmd) Run(e *env) error { //nolint:unparam // kong wants an error
	e.printf("%s", completionScripts[c.Shell])
	return nil
}

// completeCmd is what the scripts call: it prints what the last of the words may become, a line each.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints the candidates.
func (c *completeCmd) Run(k *kong.Context, e *env) error { //nolint:unparam // kong wants an error
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, w := range complete(k.Model.Node, words) {
		e.printf("%s\n", w)
	}
	return nil
}

// complete lists what the last word may become below a command, by the words before it. Nothing means that
// the grammar does not say, as of a file or a number.
func complete(at *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	if slices.Contains(before, "--") {
		return nil
	}
	at, wants := walk(at, before)
	var found []string
	switch {
	case wants != nil:
		found = wants.EnumSlice()
	case strings.HasPrefix(last, "-"):
		found = flagsOf(at)
	default:
		found = wordsOf(at)
	}
	found = slices.DeleteFunc(found, func(s string) bool { return s == "" || !strings.HasPrefix(s, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

// walk is the command that words lead to, and the flag whose value is next; nil if none's is.
func walk(at *kong.Node, words []string) (*kong.Node, *kong.Flag) {
	var wants *kong.Flag
	for _, w := range words {
		switch flag := flagNamed(at, w); {
		case wants != nil:
			wants = nil
		case flag != nil && !flag.IsBool() && !strings.Contains(w, "="):
			wants = flag
		case flag == nil:
			if i := slices.IndexFunc(at.Children, func(n *kong.Node) bool { return n.Name == w }); i >= 0 {
				at = at.Children[i]
			}
		}
	}
	return at, wants
}

func flagsOf(at *kong.Node) (found []string) {
	for _, group := range at.AllFlags(true) {
		for _, f := range group {
			found = append(found, "--"+f.Name)
		}
	}
	return found
}

// wordsOf are a command's own commands, and what its first argument may be.
func wordsOf(at *kong.Node) (found []string) {
	for _, n := range at.Children {
		if !n.Hidden {
			found = append(found, n.Name)
		}
	}
	if len(at.Positional) > 0 {
		found = append(found, at.Positional[0].EnumSlice()...)
	}
	return found
}

// flagNamed is the flag that a word names, here or above; nil if it names none.
func flagNamed(at *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	if !strings.HasPrefix(word, "--") || name == "" {
		return nil
	}
	for _, group := range at.AllFlags(false) {
		for _, f := range group {
			if f.Name == name {
				return f
			}
		}
	}
	return nil
}
