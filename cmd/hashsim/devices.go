package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/hashlease/hashlease/cmd/hashsim/vendors"
)

// devicesCmd serves emulated machines.
type devicesCmd struct {
	First string `default:"127.0.9.1" placeholder:"IP" help:"Loopback address of the first; the rest follow."`
	JSON  bool   `help:"Print one JSON object, nothing for people."`
}

// Run serves one machine of every interface until it is interrupted.
func (c *devicesCmd) Run(ctx context.Context, e *env) error {
	first, err := netip.ParseAddr(c.First)
	if err != nil || !first.Is4() || !first.IsLoopback() {
		return &usageError{fmt.Errorf("first is %q: an address of 127.0.0.0/8 is accepted", c.First)}
	}
	s, err := vendors.Serve(ctx, first)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(map[string]any{"devices": s.Interfaces})
	} else {
		err = c.print(e, s.Interfaces)
	}
	if err == nil {
		<-ctx.Done()
	}
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// print is the table for people.
func (c *devicesCmd) print(e *env, list []vendors.Interface) error {
	var text strings.Builder // takes everything
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(columns ...string) { _, _ = fmt.Fprintln(t, strings.Join(columns, "\t")) }
	row("KIND", "MODEL", "ADDRESS", "ALSO", "USER", "PASSWORD")
	usual := true
	for _, i := range list {
		usual = usual && i.WellKnown
		also := strings.Join(i.Addresses[1:], " ")
		row(i.Kind, i.Model, i.Addresses[0], or(also), or(i.User), or(i.Password))
	}
	_ = t.Flush()
	if !usual {
		text.WriteString("Not all ports are the vendors': this user may not bind those, or they are taken.\n")
	}
	text.WriteString("They answer until interrupted (ctrl-c).\n")
	_, err := io.WriteString(e.stdout, text.String())
	return err
}

// or is a dash for what is not there.
func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
