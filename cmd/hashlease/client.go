package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	leaseclient "github.com/hashlease/hashlease/lease/client"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// maxKeyFile bounds a file with a key.
const maxKeyFile = 4096

// clientFlags say how to reach a server; every command that does embeds them.
//
//nolint:revive // tags are one line
type clientFlags struct {
	Server   string        `help:"The server's gRPC address; ${default} if absent." default:"localhost:8443" env:"HASHLEASE_SERVER" placeholder:"HOST:PORT"`
	CA       string        `name:"ca" help:"PEM file with the server's authority; without it the system's are trusted." env:"HASHLEASE_CA" placeholder:"FILE"`
	Key      string        `help:"API key; others on this machine may see it here, so prefer the file or HASHLEASE_KEY." placeholder:"KEY"`
	KeyFile  string        `help:"File with the API key." placeholder:"FILE"`
	Insecure bool          `help:"Plaintext instead of TLS; to this machine only."`
	Timeout  time.Duration `help:"Longest wait for an answer." default:"15s"`
	JSON     bool          `name:"json" help:"Print JSON for programs."`
}

// client is a connection to a server with a key.
type client struct {
	conn    *grpc.ClientConn
	key     string
	timeout time.Duration

	leases   hashleasev1.LeaseServiceClient
	capacity hashleasev1.CapacityServiceClient
	operator hashleasev1.OperatorServiceClient
}

// dial checks the flags and makes a client. It connects with the first call.
func (f *clientFlags) dial() (*client, error) {
	if f.Timeout <= 0 || f.Timeout > time.Hour {
		return nil, usagef("--timeout is %v: above 0 to 1h is accepted", f.Timeout)
	}
	host, port, err := net.SplitHostPort(f.Server)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 {
		return nil, usagef("--server %q: HOST:PORT is accepted, as localhost:8443", f.Server)
	}
	key, err := f.key()
	if err != nil {
		return nil, err
	}
	transport, err := f.transport(host)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("dns:///"+f.Server, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to %s: %w", f.Server, err)
	}
	return &client{
		conn: conn, key: key, timeout: f.Timeout,
		leases:   hashleasev1.NewLeaseServiceClient(conn),
		capacity: hashleasev1.NewCapacityServiceClient(conn),
		operator: hashleasev1.NewOperatorServiceClient(conn),
	}, nil
}

func (f *clientFlags) key() (string, error) {
	from, key := "HASHLEASE_KEY", os.Getenv("HASHLEASE_KEY")
	switch {
	case f.Key != "" && f.KeyFile != "":
		return "", usagef("--key and --key-file: one of the two is accepted")
	case f.Key != "":
		from, key = "--key", f.Key
	case f.KeyFile != "":
		text, err := readSmall(f.KeyFile, maxKeyFile)
		if err != nil {
			return "", fmt.Errorf("reading --key-file: %w", err)
		}
		from, key = "--key-file", string(text)
	}
	if key = strings.TrimSpace(key); key == "" {
		return "", usagef("an API key is needed: --key-file FILE, or HASHLEASE_KEY in the environment")
	}
	if tenantOfKey(key) == "" {
		return "", usagef("%s: that is not a key: hl_NAME_SECRET is accepted, as it was printed, "+
			"the secret with 52 of a-z 2-7", from)
	}
	return key, nil
}

func (f *clientFlags) transport(host string) (credentials.TransportCredentials, error) {
	if f.Insecure {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, usagef("--insecure sends the key in plaintext: only localhost is accepted")
		}
		return insecure.NewCredentials(), nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13}
	if f.CA != "" {
		pem, err := readSmall(f.CA, 1<<20)
		if err != nil {
			return nil, fmt.Errorf("reading --ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--ca %s: a file with certificates in PEM is accepted", f.CA)
		}
	}
	return credentials.NewTLS(conf), nil
}

// readSmall reads a file that must not be larger than limit.
func readSmall(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

func (c *client) close() { c.conn.Close() } //nolint:errcheck // nothing to do about it at the end

// call is the context of one call with one answer.
func (c *client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.stream(ctx), c.timeout)
}

// stream is the context of a call that may last.
func (c *client) stream(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.key)
}

// following is a client of leases over the same connection that insists until there is an answer; lost is
// told before it tries again.
func (c *client) following(lost func(err error, wait time.Duration)) *leaseclient.Client {
	return leaseclient.New(c.conn, leaseclient.Config{Key: c.key, Attempt: c.timeout, Lost: lost})
}

// tenant is whose key it is, as the key itself says; empty if it does not.
func (c *client) tenant() string { return tenantOfKey(c.key) }

// sites asks for all sites.
func (c *client) sites(ctx context.Context) ([]*hashleasev1.Site, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	r, err := c.capacity.ListSites(ctx, &hashleasev1.ListSitesRequest{})
	if err != nil {
		return nil, fmt.Errorf("asking for the sites: %w", err)
	}
	return r.GetSites(), nil
}

// siteName is the resource name of a site that people may give by its id alone.
func siteName(s string) string {
	if strings.HasPrefix(s, "sites/") {
		return s
	}
	return "sites/" + s
}

// feederName finds a feeder's resource name: it may be given in full, as SITE/FEEDER, or alone.
func (c *client) feederName(ctx context.Context, s string) (string, error) {
	switch parts := strings.Split(s, "/"); {
	case len(parts) == 4 && parts[0] == "sites" && parts[2] == "feeders":
		return s, nil
	case len(parts) == 2:
		return "sites/" + parts[0] + "/feeders/" + parts[1], nil
	case len(parts) != 1 || s == "":
		return "", usagef("feeder %q: its id, SITE/FEEDER or sites/SITE/feeders/FEEDER is accepted", s)
	}
	sites, err := c.sites(ctx)
	if err != nil {
		return "", err
	}
	var known []string
	for _, site := range sites {
		for _, f := range site.GetFeeders() {
			if short(f.GetName()) == s {
				return f.GetName(), nil
			}
			known = append(known, oneLine(short(f.GetName())))
		}
	}
	if n := len(known); n > 8 {
		known = append(known[:8], fmt.Sprintf("%d more", n-8))
	}
	return "", usagef("feeder %q: no site has it: there are %s (hashlease capacity lists them)",
		s, strings.Join(known, ", "))
}

// feederWord is SITE/FEEDER of a feeder's resource name.
func feederWord(name string) string {
	return strings.Replace(strings.TrimPrefix(name, "sites/"), "/feeders/", "/", 1)
}

// short is the last part of a resource name.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// ended says whether a stream ended as it should.
func ended(err error) bool { return errors.Is(err, io.EOF) }
