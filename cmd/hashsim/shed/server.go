package shed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum/noise"
)

const (
	network = "signet:51"
	// payout is an address of a private signet, whose coins are worth nothing.
	payout = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
	// startTime is how long a server may take to listen.
	startTime = time.Minute
)

// server is a hashlease process of its own with the files that it was started from.
type server struct {
	program, dir string
	key          string // the operator's
	tenantKey    string
	stratum      string
	grpc         string
	authority    noise.PublicKey

	log *os.File
	cmd *exec.Cmd // nil while it does not run
}

// newServer lets the program write its own files and adds the site to them.
func newServer(
	ctx context.Context, cfg *Config, nodes []*node.Child, plan sim.Plan, s *sim.Sim,
) (*server, error) {
	v := &server{program: cfg.Server, dir: filepath.Join(cfg.Dir, "server")}
	init := exec.CommandContext(ctx, v.program, "init",
		"--dir", v.dir, "--network", network, "--payout", payout)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s init: %w\n%s", v.program, err, out)
	}
	if err := v.configure(nodes, plan, s); err != nil {
		return nil, fmt.Errorf("writing the server's configuration: %w", err)
	}
	var err error
	v.log, err = os.Create(filepath.Join(cfg.Dir, "server.log"))
	return v, err
}

// configure describes the node and the site in the server's file.
func (v *server) configure(nodes []*node.Child, plan sim.Plan, s *sim.Sim) error {
	file := v.file()
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Path(c.Stratum.AuthorityKey))
	if err != nil {
		return err
	}
	a, err := noise.ParseAuthority(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	v.authority = a.Public()
	if v.key, err = leaserpc.NewKey(leaserpc.Admin); err != nil {
		return err
	}
	at, err := sim.FreeAddresses(3)
	if err != nil {
		return err
	}
	v.stratum, v.grpc = at[0], at[1]
	c.Stratum.Listen, c.GRPC.Listen, c.Console.Listen = at[0], at[1], at[2]
	c.Stratum.MinDifficulty = leastDifficulty
	c.Admin.KeyHash = leaserpc.HashKey(v.key).String()
	c.Simulation.HashScale = 1 / s.Scale()
	for i, n := range nodes {
		nc := n.Config()
		c.Nodes = append(c.Nodes[:i], config.Node{
			Name: fmt.Sprintf("btcd-%d", i+1), Kind: config.Btcd, URL: "http://" + nc.Address,
			User: nc.User, Password: nc.Password,
		})
	}
	meters := map[fleet.FeederID][]config.Meter{}
	for _, m := range plan.Meters() {
		meters[m.Feeder] = append(meters[m.Feeder], config.Meter{
			Role: m.Role, Tenant: m.Tenant, URL: "http://" + s.Addr() + m.Path,
		})
	}
	for _, name := range plan.Tenants {
		if v.tenantKey, err = leaserpc.NewKey(name); err != nil {
			return err
		}
		hash := leaserpc.HashKey(v.tenantKey).String()
		c.Tenants = append(c.Tenants, config.Tenant{ID: name, KeyHash: hash})
		c.Lease.Price = unit.Sat // a kWh
	}
	c.Sites, c.Workers = config.FromFleet(plan.Sites, plan.Workers, meters)
	if err := c.AddInterfaces(v.dir, s.Interfaces()); err != nil {
		return err
	}
	out, err := config.Encode(&c)
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o600)
}

func (v *server) file() string { return filepath.Join(v.dir, "hashlease.toml") }

// start runs the program until stop or kill, and waits until it listens.
func (v *server) start(ctx context.Context) error {
	v.cmd = exec.Command(v.program, "serve", "--config", v.file())
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	if err := v.cmd.Start(); err != nil {
		v.cmd = nil
		return fmt.Errorf("starting the server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.grpc)
		if err == nil {
			return conn.Close()
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("waiting for the server to listen: %w\n%s", err, v.tail())
		}
	}
}

// kill ends the process as a power cut does.
func (v *server) kill() error {
	if v.cmd == nil {
		return nil
	}
	err := v.cmd.Process.Kill()
	_ = v.cmd.Wait() // says that it was killed
	v.cmd = nil
	return err
}

// stop asks the process to end.
func (v *server) stop() error {
	if v.cmd == nil {
		return nil
	}
	err := v.cmd.Process.Signal(os.Interrupt)
	cut := time.AfterFunc(30*time.Second, func() { _ = v.cmd.Process.Kill() })
	defer cut.Stop()
	err = errors.Join(err, v.cmd.Wait())
	v.cmd = nil
	return err
}

// tail is the end of the server's log.
func (v *server) tail() string {
	text, _ := os.ReadFile(v.log.Name())
	return string(text[max(0, len(text)-2000):])
}

// operator is a connection with the operator's key.
func (v *server) operator(ctx context.Context) (context.Context, *grpc.ClientConn, error) {
	c, err := config.Load(v.file())
	if err != nil {
		return nil, nil, err
	}
	creds, err := credentials.NewClientTLSFromFile(filepath.Join(c.Path(c.TLS.Dir), "ca.pem"), "")
	if err != nil {
		return nil, nil, fmt.Errorf("reading the server's authority: %w", err)
	}
	conn, err := grpc.NewClient("passthrough:///"+v.grpc, grpc.WithTransportCredentials(creds))
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+v.key), conn, err
}

// curtail orders a site's mining down and hands over what the server says of it, until that ends or the
// connection does.
func (v *server) curtail(
	ctx context.Context, watts unit.Watts, span time.Duration, said func(*hashleasev1.CurtailSiteResponse),
) error {
	ctx, conn, err := v.operator(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written that could be lost
	order := &hashleasev1.CurtailSiteRequest{
		Site: "sites/" + siteName, Watts: int64(watts), Duration: durationpb.New(span),
	}
	stream, err := hashleasev1.NewOperatorServiceClient(conn).CurtailSite(ctx, order)
	for err == nil {
		var r *hashleasev1.CurtailSiteResponse
		if r, err = stream.Recv(); err == nil {
			said(r)
		}
	}
	return err
}

// wait lets time pass unless the context ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
