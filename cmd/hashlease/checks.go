package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/wal"
	"github.com/hashlease/hashlease/stratum/noise"
)

// Bounds of a meter's reading: how long it may take, and how far its clock may be from ours.
const (
	meterFor      = 5 * time.Second
	maxReadingAge = 3 * time.Second
)

// checkPrivate wants a file that only its owner can read.
func checkPrivate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fixf(fmt.Errorf("%s has mode %04o: others can read it", path, mode), "chmod 600 %s", path)
	}
	return fmt.Sprintf("mode %04o", info.Mode().Perm()), nil
}

func checkPayout(cfg *config.Config) (string, error) {
	params, err := node.ParseNetwork(cfg.Network)
	if err != nil {
		return "", err
	}
	if cfg.Payout == "" {
		return "", fixf(errors.New("none is set: found blocks could not be paid"),
			"set payout to an address of %s", cfg.Network)
	}
	script, err := pool.PayoutScript(cfg.Payout, params)
	if err != nil {
		return "", fixf(err, "set payout to an address of %s", cfg.Network)
	}
	return fmt.Sprintf("%v on %s", txscript.GetScriptClass(script), cfg.Network), nil
}

func checkAuthority(cfg *config.Config) (string, error) {
	path := cfg.Path(cfg.Stratum.AuthorityKey)
	text, err := readSmall(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fixf(err, "put the copy back; hashlease init makes a new one in an empty directory")
	}
	if err != nil {
		return "", err
	}
	authority, err := noise.ParseAuthority(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fixf(fmt.Errorf("%s: %w", path, err), "put the copy back")
	}
	if _, err := checkPrivate(path); err != nil {
		return "", err
	}
	return authority.Public().String(), nil
}

func checkTLS(cfg *config.Config, now time.Time) (string, error) {
	dir := cfg.Path(cfg.TLS.Dir)
	ca, err := readCert(filepath.Join(dir, caCertFile))
	if err != nil {
		return "", fixf(err, "put the copy back, or let hashlease init make new ones in an empty directory")
	}
	for _, name := range []string{caKeyFile, serverKeyFile} {
		if _, err := checkPrivate(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if now.After(ca.NotAfter) {
		return "", fmt.Errorf("the authority's certificate ended on %s", ca.NotAfter.Format(time.DateOnly))
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, serverCertFile), filepath.Join(dir, serverKeyFile))
	if err == nil && fresh(pair.Leaf, ca, append(localNames(), cfg.TLS.Hosts...), now) {
		return "server's certificate is good until " + pair.Leaf.NotAfter.Local().Format(time.DateOnly), nil
	}
	if _, err := readKey(filepath.Join(dir, caKeyFile)); err != nil {
		return "", fixf(fmt.Errorf("renewing the server's certificate: %w", err), "put %s back", caKeyFile)
	}
	return "server's certificate will be renewed at the next start", nil
}

// checkStorage writes and removes a file, and looks whether somebody has a journal open.
func checkStorage(cfg *config.Config) (string, error) {
	dir := cfg.Path(cfg.Storage.Dir)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(dir)
		if err := tryWrite(dir); err != nil {
			return "", fixf(err, "make the directory, or make %s writable", dir)
		}
		return "will be made at the first start", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fixf(fmt.Errorf("%s is not a directory", dir), "choose another storage.dir")
	}
	if err := tryWrite(dir); err != nil {
		return "", fixf(err, "make %s writable for this user", dir)
	}
	journals, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil {
		return "", err
	}
	logs, err := filepath.Glob(filepath.Join(dir, sharesDir))
	if err != nil {
		return "", err
	}
	for _, path := range append(journals, logs...) {
		if err := checkJournal(path); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s is writable, %d journals", dir, len(journals)+len(logs)), nil
}

func checkJournal(path string) error {
	if filepath.Base(path) == sharesDir {
		return fixJournal(path, wal.Verify(path))
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 200 * time.Millisecond})
	if err != nil {
		return fixJournal(path, err)
	}
	return db.Close()
}

func fixJournal(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout), errors.Is(err, storage.ErrLocked):
		return fixf(fmt.Errorf("%s is in use by another process", path),
			"stop hashlease serve, if it is meant to be off")
	case err != nil:
		return fixf(fmt.Errorf("opening journal %s: %w", path, err), "put the backup back")
	}
	return nil
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

func portProbes(cfg *config.Config) []probe {
	var out []probe
	type listener struct{ what, address string }
	all := []listener{
		{"stratum port", cfg.Stratum.Listen},
		{"grpc port", cfg.GRPC.Listen},
		{"console port", cfg.Console.Listen},
	}
	for i := range cfg.Stratum.Ports {
		p := &cfg.Stratum.Ports[i]
		all = append(all, listener{"stratum port " + p.Listen, p.Listen})
		if p.TLS && p.Certificate != "" {
			out = append(out, probe{"certificate of " + p.Listen, func(context.Context) (string, error) {
				return checkCertificate(certificatePaths(cfg, p))
			}})
		}
	}
	for _, l := range all {
		out = append(out, probe{l.what, func(ctx context.Context) (string, error) {
			return checkPort(ctx, l.address)
		}})
	}
	return out
}

// checkCertificate reads the files that a port is to show.
func checkCertificate(cert, key string) (string, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return "", fixf(err, "give a certificate with its chain and the key that belongs to it, in PEM")
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return "", fixf(fmt.Errorf("it ended on %s", end.Format(time.DateOnly)), "renew it")
	}
	return "good until " + pair.Leaf.NotAfter.Format(time.DateOnly), nil
}

func checkPort(ctx context.Context, address string) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "", fixf(err, "stop what uses it (is hashlease serve running?), or choose another port")
	case errors.Is(err, syscall.EACCES):
		return "", fixf(err, "choose a port above 1023, or allow the binary CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "", fixf(err, "choose an address of this machine, or none for all of them")
	case err != nil:
		return "", fixf(err, "write it as :3333 or ADDRESS:3333, with an address of this machine")
	}
	return "can be bound: " + address, l.Close()
}

func nodeProbes(cfg *config.Config) []probe {
	configs, err := cfg.NodeConfigs()
	if err != nil {
		return []probe{{"node", func(context.Context) (string, error) {
			return "", fixf(err, "write the node's RPC password into that file, with mode 0600")
		}}}
	}
	out := make([]probe, 0, len(configs))
	for i, nc := range configs {
		kind := cfg.Nodes[i].Kind
		out = append(out, probe{"node " + nc.Address, func(ctx context.Context) (string, error) {
			return checkNode(ctx, kind, nc)
		}})
	}
	return out
}

// prober is what both kinds of nodes can do.
type prober interface {
	Probe(ctx context.Context) error
}

func checkNode(ctx context.Context, kind config.NodeKind, nc node.Config) (string, error) {
	var p prober
	var err error
	if kind == config.Core {
		p, err = node.NewCore(nc)
	} else {
		p, err = node.NewBtcd(nc)
	}
	if err == nil {
		err = p.Probe(ctx)
	}
	if err != nil {
		return "", fixf(err, "start the node, let it catch up, compare url, user, password and network")
	}
	return fmt.Sprintf("ready on %s, gives templates", nc.Network.Name), nil
}

func meterProbes(cfg *config.Config) (out []probe) {
	add := func(on string, meters []config.Meter) {
		for _, m := range meters {
			if m.Devices {
				continue // there is nothing to ask before miners are connected
			}
			out = append(out, probe{"meter " + m.Name(on), func(ctx context.Context) (string, error) {
				return checkMeter(ctx, cfg, &m)
			}})
		}
	}
	for i := range cfg.Sites {
		for _, b := range cfg.Sites[i].Branch {
			add(string(b.ID), b.Meters)
		}
		for _, f := range cfg.Sites[i].Feeder {
			add(string(f.ID), f.Meters)
		}
	}
	return out
}

// checkMeter reads once.
func checkMeter(ctx context.Context, cfg *config.Config, m *config.Meter) (string, error) {
	meter, err := openMeter(cfg, m, meterFor, maxReadingAge)
	if err != nil {
		return "", err
	}
	r, err := meter.Read(ctx)
	switch {
	case err != nil && m.Modbus != "":
		return "", fixf(err, "start the gateway, and compare address, unit and map with the meter's manual")
	case errors.Is(err, device.ErrStale):
		return "", fixf(err, "set the clocks of meter and server (NTP)")
	case err != nil:
		return "", fixf(err, "start the meter's interface, and compare url, paths and secret with its own")
	}
	found := r.Watts.String()
	if m.Modbus != "" || m.JSON != nil {
		found += ", compare with the meter's display"
	}
	if r.Energy == 0 && (m.Modbus != "" || m.JSON != nil && m.JSON.Time == "") {
		found += "; it has no time and no counter: its machines' words alone would show that it stands still"
	}
	return found, nil
}
