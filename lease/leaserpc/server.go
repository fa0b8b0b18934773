package leaserpc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/hashlease/hashlease/lease/service"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// Bounds of a connection and a call.
const (
	unaryDeadline  = 5 * time.Second
	maxRequest     = 64 << 10 // bytes of one request
	maxHeaders     = 16 << 10
	maxStreams     = 256 // of one connection
	connectTimeout = 10 * time.Second
)

// Config is what a server needs.
type Config struct {
	Service *service.Service
	Keys    []Key                            // at least one
	TLS     credentials.TransportCredentials // nil: plaintext, which the caller allows on loopback only
	PageKey []byte                           // secret of page tokens; nil: random, they end with the process
	Rates   Rates                            // zero: DefaultRates
	Log     *slog.Logger                     // nil: silent
}

// NewServer is a gRPC server with LeaseService, CapacityService, health (open) and
// reflection (the operator's). Its interceptors also guard what is registered on it later: a
// service that is not known here needs the admin key. It listens to nothing yet.
func NewServer(cfg Config) (*grpc.Server, error) {
	if cfg.Service == nil {
		return nil, errors.New("configuring the lease server: a lease service is needed")
	}
	keys, err := NewKeyring(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("configuring the lease server: %w", err)
	}
	if cfg.Rates == (Rates{}) {
		cfg.Rates = DefaultRates()
	}
	if r := cfg.Rates; r.Reads <= 0 || r.Writes <= 0 || r.Cancels <= 0 || r.Burst < 1 {
		return nil, fmt.Errorf("configuring the lease server: rates %+v: all above 0 are accepted", r)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	page := pager{key: cfg.PageKey}
	if len(page.key) == 0 {
		page.key = make([]byte, 32)
		if _, err := rand.Read(page.key); err != nil {
			return nil, fmt.Errorf("making a page key: %w", err)
		}
	}
	g := newGuard(keys, cfg.Rates, cfg.Log)
	srv := grpc.NewServer(append(g.options(), transport(cfg.TLS)...)...)
	pb.RegisterLeaseServiceServer(srv, &leaseServer{s: cfg.Service, pages: page})
	pb.RegisterCapacityServiceServer(srv, &capacityServer{s: cfg.Service})
	healthpb.RegisterHealthServer(srv, &healthServer{s: cfg.Service})
	reflection.Register(srv)
	return srv, nil
}

func (g *guard) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream),
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(connectTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 20 * time.Second, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute,
			MaxConnectionAge:  time.Hour, MaxConnectionAgeGrace: 5 * time.Minute,
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
	}
}

func transport(tls credentials.TransportCredentials) []grpc.ServerOption {
	if tls == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(tls)}
}
