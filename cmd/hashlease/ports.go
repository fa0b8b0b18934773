package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum"
)

// certificateEvery is how often certificate files are looked at.
const certificateEvery = time.Second

// certificateFiles is a certificate that follows its files: whoever connects is shown the newest good one,
// and who is connected stays.
type certificateFiles struct {
	cert, key string // paths
	log       *slog.Logger
	newest    atomic.Pointer[tls.Certificate]
	seen      [2]fileState // owned by run, once it runs
}

// fileState tells whether a file was written since.
type fileState struct {
	modified time.Time
	size     int64
}

// openCertificate reads the files for the first time.
func openCertificate(cert, key string, log *slog.Logger) (*certificateFiles, error) {
	c := &certificateFiles{cert: cert, key: key, log: log}
	c.seen = c.look()
	return c, c.read()
}

func (c *certificateFiles) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("reading certificate %s and key %s: %w", c.cert, c.key, err)
	}
	c.newest.Store(&pair)
	return nil
}

// look is the state of both files. One that cannot be seen has none.
func (c *certificateFiles) look() (s [2]fileState) {
	for i, path := range []string{c.cert, c.key} {
		var info fs.FileInfo
		if info, _ = os.Stat(path); info != nil {
			s[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return s
}

// run follows the files until ctx ends. Files that do not fit are logged, and the certificate before stays:
// the other file may be on its way.
func (c *certificateFiles) run(ctx context.Context) error {
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.follow()
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *certificateFiles) follow() {
	now := c.look()
	if now == c.seen {
		return
	}
	c.seen = now
	if err := c.read(); err != nil {
		c.log.Warn("a new certificate cannot be used; the one before stays", slog.Any("error", err))
		return
	}
	c.log.Info("showing a new certificate", slog.String("file", c.cert),
		slog.Time("until", c.newest.Load().Leaf.NotAfter))
}

// config is how a port shows the certificate.
func (c *certificateFiles) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.newest.Load(), nil },
	}
}

// certificatePaths are the files that a port shows: its own, or the server's.
func certificatePaths(cfg *config.Config, p *config.Port) (cert, key string) {
	if p.Certificate != "" {
		return cfg.Path(p.Certificate), cfg.Path(p.Key)
	}
	dir := cfg.Path(cfg.TLS.Dir)
	return filepath.Join(dir, serverCertFile), filepath.Join(dir, serverKeyFile)
}

// minerPort is a further port for miners.
type minerPort struct {
	stratum.Port
	at net.Listener
}

// mainPort is the port that every server has.
func (s *server) mainPort() stratum.Port {
	return stratum.Port{Name: s.cfg.Stratum.Listen, MinDifficulty: s.cfg.Stratum.MinDifficulty}
}

// portMessages shows every port for miners, with its figures.
func (s *server) portMessages(figures []stratum.PortStats) []*hashleasev1.StratumPort {
	out := []*hashleasev1.StratumPort{portMessage(s.mainPort(), s.stratumAt, figures)}
	for _, p := range s.ports {
		out = append(out, portMessage(p.Port, p.at, figures))
	}
	return out
}

func portMessage(p stratum.Port, at net.Listener, figures []stratum.PortStats) *hashleasev1.StratumPort {
	out := &hashleasev1.StratumPort{
		Listen: p.Name, Port: port(at), Tls: p.TLS != nil, Proxied: len(p.Proxies) > 0,
		MinDifficulty: p.MinDifficulty,
		Connections:   map[string]int64{}, ConnectionsOpened: map[string]uint64{},
	}
	for _, d := range []stratum.Dialect{stratum.V1, stratum.V2} {
		if p.Only == nil || *p.Only == d {
			out.Dialects = append(out.Dialects, d.String())
		}
	}
	for i := range figures {
		if figures[i].Address != at.Addr().String() {
			continue // names may be the same
		}
		out.ConnectionsFailed = figures[i].Failed
		for d, n := range figures[i].Live {
			out.Connections[d.String()], out.ConnectionsOpened[d.String()] = n, figures[i].Opened[d]
		}
	}
	return out
}

// openPort makes a further port.
func (s *server) openPort(p *config.Port) (stratum.Port, error) {
	out := stratum.Port{
		Name: p.Listen, MinDifficulty: s.cfg.Stratum.Least(p), PowersOfTwo: p.PowersOfTwo,
	}
	v1, v2 := stratum.V1, stratum.V2
	switch p.Dialect {
	case "v1":
		out.Only = &v1
	case "v2":
		out.Only = &v2
	}
	var err error
	if out.Proxies, err = p.Proxies(); err != nil || !p.TLS {
		return out, err
	}
	cert, key := certificatePaths(s.cfg, p)
	files, err := openCertificate(cert, key, s.log)
	if err != nil {
		return out, err
	}
	s.certificates = append(s.certificates, files)
	out.TLS = files.config()
	return out, nil
}
