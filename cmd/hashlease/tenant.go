package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

type tenantCmd struct {
	Add tenantAddCmd `cmd:"" help:"Add a tenant to the configuration; prints its key once."`
}

//nolint:revive // tags are one line
type tenantAddCmd struct {
	Name   string `arg:"" help:"The tenant's name: a-z 0-9 - _."`
	Config string `help:"Configuration file; hashlease.toml if absent." default:"hashlease.toml" type:"path" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON for programs."`
}

// Run adds a tenant. Only the key's hash is kept; what else the file says stays as it is.
func (c *tenantAddCmd) Run(e *env) error {
	if err := config.ValidTenant(c.Name); err != nil {
		return usagef("name: %w", err)
	}
	cfg, err := config.Read(c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: hashlease init writes one, --config names another", err)
	}
	if err != nil {
		return err
	}
	for _, t := range cfg.Tenants {
		if t.ID == c.Name {
			return fmt.Errorf("tenant %q is in %s already: to give it a new key, remove it there first",
				c.Name, c.Config)
		}
	}
	key, hash, err := newKey(c.Name)
	if err != nil {
		return err
	}
	if err := appendTenant(c.Config, config.Tenant{ID: c.Name, KeyHash: hash}); err != nil {
		return err
	}
	if c.JSON {
		e.printf("{\"tenant\":%q,\"key\":%q}\n", c.Name, key)
		return nil
	}
	e.printf("Tenant %s is in %s.\nIts key, shown only now: %s\n", c.Name, c.Config, key)
	e.printf("It is accepted from the next start of hashlease serve on.\n")
	return nil
}

// appendTenant adds a table at the end of the file, which is always its own in TOML.
func appendTenant(path string, t config.Tenant) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at the configuration: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	text = fmt.Appendf(text, "\n[[tenant]]\nid = %q\nkey_hash = %q\n", t.ID, t.KeyHash)
	if _, err := config.Decode(path, text); err != nil {
		return fmt.Errorf("adding the tenant would break the configuration: %w", err)
	}
	return replaceFile(path, text, info.Mode().Perm())
}
