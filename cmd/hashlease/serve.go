package main

import (
	"context"
	"errors"
)

type serveCmd struct {
	Config string `help:"Configuration file." default:"hashlease.toml" type:"path" placeholder:"FILE"`
}

// Run serves until the context ends.
func (c *serveCmd) Run(context.Context, *env) error { return errors.New("not built in yet") }
