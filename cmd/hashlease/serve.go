package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

type serveCmd struct {
	Config string `help:"Configuration file." default:"hashlease.toml" type:"path" placeholder:"FILE"`
	Debug  bool   `help:"Log each session too."`

	TakeOver bool          `help:"Wait until the running server drains, then take its ports and miners."`
	Within   time.Duration `help:"With --take-over: how long to wait." default:"10m" placeholder:"DURATION"`
}

// Run serves until the context ends, then drains.
func (c *serveCmd) Run(ctx context.Context, e *env) error {
	cfg, err := config.Load(c.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w\nhashlease init writes one; --config FILE names another", err)
	case err != nil:
		return err
	}
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
	t, err := c.takeover(e)
	if err != nil {
		return err
	}
	s, err := openServer(ctx, &cfg, log, t)
	if err != nil {
		return err
	}
	e.printf("hashlease %s\n%s", programVersion(), s.banner())
	defer e.notef("stopped\n")
	return s.run(ctx)
}

// takeover is nil if no other server is to be waited for.
func (c *serveCmd) takeover(e *env) (*takeover, error) {
	switch {
	case !c.TakeOver:
		return nil, nil
	case c.Within <= 0 || c.Within > longestWait:
		return nil, usagef("--within is %v: above 0 to %v is accepted, as 10m", c.Within, longestWait)
	}
	return &takeover{within: c.Within, say: e.notef, began: time.Now()}, nil
}

// banner tells where everything is.
func (s *server) banner() string {
	return fmt.Sprintf("stratum   %s\ngrpc      %s\nconsole   %s\nCA        SHA-256 %s\n"+
		"log in    %s (works once)\n",
		s.stratumURL(), reachable(s.grpcAt), s.consoleURL(), fingerprint(s.tls.CA), s.loginURL())
}

// stratumURL is what miners are pointed at: with the key that vouches for the server.
func (s *server) stratumURL() string {
	return fmt.Sprintf("stratum2+tcp://%s/%s", reachable(s.stratumAt), s.keys.authority.Public())
}

func (s *server) consoleURL() string { return "https://" + reachable(s.consoleAt) }

// reachable is an address that somebody on this machine can use: a listener on every
// interface is shown as localhost.
func reachable(ln net.Listener) string {
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return ln.Addr().String()
}

// loginURL is a link that logs the operator in, once.
func (s *server) loginURL() string { return s.console.LoginURL(s.consoleURL()) }

// port is a listener's port number.
func port(ln net.Listener) int32 {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return int32(a.Port)
	}
	return 0
}
