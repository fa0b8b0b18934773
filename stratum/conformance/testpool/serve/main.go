// Command serve runs the test pool until its standard input ends, and says in one line of JSON where it is.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hashlease/hashlease/stratum/conformance/testpool"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`HOST:PORT` of Stratum V2")
	control := flag.String("control", "127.0.0.1:0", "`HOST:PORT` of the control")
	flag.Parse()
	if err := run(*listen, *control); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(listen, control string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := testpool.Start(context.Background(), testpool.Config(), listen, control, log)
	if err != nil {
		return err
	}
	defer p.Close()
	key := p.Authority()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{
		"address": p.Address(), "authority": key.String(), "control": p.Control(),
	}); err != nil {
		return fmt.Errorf("saying where it is: %w", err)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
