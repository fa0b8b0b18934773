// Command hashlease is a bitcoin-mining pool server that also sells the site's electric power.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// env is what a command may touch of the outside world besides files and the network.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// printf writes to standard output. A reader that went away is not the command's failure.
func (e *env) printf(format string, args ...any) {
	fmt.Fprintf(e.stdout, format, args...) //nolint:errcheck // see above
}

// notef writes what is not the result, such as progress, to standard error.
func (e *env) notef(format string, args ...any) {
	fmt.Fprintf(e.stderr, format, args...) //nolint:errcheck // as printf
}

// Main is the whole program: it runs one command and returns the exit status (see errors.go).
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr}
	var grammar cli
	helped, status := false, 0
	parser, err := kong.New(&grammar,
		kong.Name("hashlease"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		// --help prints and calls Exit, and parsing goes on: what it returns then does not matter.
		kong.Exit(func(code int) { helped, status = true, code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(e),
	)
	if err != nil {
		e.notef("hashlease: %v\n", err)
		return exitFailed
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "--version": // what everybody tries
		args = []string{"version"}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return status
	}
	if err == nil {
		err = parsed.Run()
	} else {
		err = usageOf(err)
	}
	return report(e, err)
}

// usageOf makes a parser's error say where help is.
func usageOf(err error) error {
	words := []string{"Try: hashlease"}
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context != nil {
		for _, p := range pe.Context.Path {
			if p.Command != nil {
				words = append(words, p.Command.Name)
			}
		}
	}
	return &usageError{fmt.Errorf("%w\n%s --help", err, strings.Join(words, " "))}
}
