// Package client leases power from Go programs: it repeats what may be repeated, so that a lease is
// booked once whatever happens to a connection, and follows leases over restarts of the server.
//
//	c, err := client.Dial(client.Config{Address: "site.example:8443", Key: key, TLS: conf})
//	...
//	err = c.Hold(ctx, &hashleasev1.CreateLeaseRequest{Lease: slot}, client.Hold{}, train)
package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// Config says whom a Client talks to, as whom. What is absent has the default that is given.
type Config struct {
	Address   string      // HOST:PORT of the server's gRPC
	Key       string      // hl_TENANT_SECRET
	TLS       *tls.Config // nil: TLS 1.3 and the system's authorities
	Plaintext bool        // no TLS: whoever is on the way reads the key

	Attempt  time.Duration // longest wait for one answer; 15 s
	Patience time.Duration // longest time without any answer until a call gives up; 5 min

	// Lost is called before a call that had no answer waits and tries again; nil: nobody is told.
	Lost func(err error, wait time.Duration)
}

const (
	defaultAttempt  = 15 * time.Second
	defaultPatience = 5 * time.Minute
)

func (c Config) withDefaults() Config {
	if c.Attempt <= 0 {
		c.Attempt = defaultAttempt
	}
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.Lost == nil {
		c.Lost = func(error, time.Duration) {}
	}
	return c
}

// Client leases power. It is safe for concurrent use.
type Client struct {
	cfg    Config
	conn   *grpc.ClientConn // nil: not ours to close
	leases hashleasev1.LeaseServiceClient
}

// Dial makes a client. It connects with the first call.
func Dial(cfg Config) (*Client, error) {
	transport := insecure.NewCredentials()
	if !cfg.Plaintext {
		conf := cfg.TLS
		if conf == nil {
			conf = &tls.Config{MinVersion: tls.VersionTLS13}
		}
		transport = credentials.NewTLS(conf)
	}
	conn, err := grpc.NewClient("dns:///"+cfg.Address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to %s: %w", cfg.Address, err)
	}
	c := New(conn, cfg)
	c.conn = conn
	return c, nil
}

// New makes a client over a connection that somebody else closes. Config's address and TLS are not used.
func New(conn grpc.ClientConnInterface, cfg Config) *Client {
	return &Client{cfg: cfg.withDefaults(), leases: hashleasev1.NewLeaseServiceClient(conn)}
}

// Close ends the connection, if Dial made it. Leases stay as they are.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

// signed is the context of a call, with the key.
func (c *Client) signed(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.cfg.Key)
}

// NewRequestID is a random UUID (RFC 9562 version 4) for a request that may have to be repeated.
func NewRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Create books a lease, once: while there is no answer exactly the same request is sent again, with the
// same request id, which is made if there is none. A refusal is returned as the server's status.
func (c *Client) Create(
	ctx context.Context, r *hashleasev1.CreateLeaseRequest,
) (*hashleasev1.Lease, error) {
	r = proto.CloneOf(r)
	if r.GetRequestId() == "" {
		r.RequestId = NewRequestID()
	}
	return insist(ctx, c, func(ctx context.Context) (*hashleasev1.Lease, error) {
		return c.leases.CreateLease(ctx, r)
	})
}

// Get asks for one lease by its resource name, "tenants/{tenant}/leases/{uid}".
func (c *Client) Get(ctx context.Context, name string) (*hashleasev1.Lease, error) {
	return insist(ctx, c, func(ctx context.Context) (*hashleasev1.Lease, error) {
		return c.leases.GetLease(ctx, &hashleasev1.GetLeaseRequest{Name: name})
	})
}

// Amend changes a lease's watts, start or end, all in one or not at all, and once: what Create says of
// repeats holds here too.
func (c *Client) Amend(
	ctx context.Context, r *hashleasev1.AmendLeaseRequest,
) (*hashleasev1.Lease, error) {
	r = proto.CloneOf(r)
	if r.GetRequestId() == "" {
		r.RequestId = NewRequestID()
	}
	return insist(ctx, c, func(ctx context.Context) (*hashleasev1.Lease, error) {
		return c.leases.AmendLease(ctx, r)
	})
}

// Cancel ends a lease: before its start it is CANCELLED, later its power goes back to mining once its
// tenant's meter shows it off. A lease that is over already is no error.
func (c *Client) Cancel(ctx context.Context, name string) (*hashleasev1.Lease, error) {
	r := &hashleasev1.CancelLeaseRequest{Name: name, RequestId: NewRequestID()}
	l, err := insist(ctx, c, func(ctx context.Context) (*hashleasev1.Lease, error) {
		return c.leases.CancelLease(ctx, r)
	})
	if status.Code(err) == codes.FailedPrecondition {
		return c.Get(ctx, name)
	}
	return l, err
}
