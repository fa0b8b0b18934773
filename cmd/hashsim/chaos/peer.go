package chaos

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const answerFor = 30 * time.Second // a busy server may have to be waited for

// connect opens a TCP connection that ends without a word and leaves no port behind.
func connect(ctx context.Context, address string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: answerFor}
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("connecting: %T is no TCP connection", raw)
	}
	return tcp, tcp.SetLinger(0)
}

// shake connects and shakes hands. Peers that do not mine do not look who answers.
func shake(ctx context.Context, address string, authority *noise.PublicKey) (*noise.Conn, error) {
	raw, err := connect(ctx, address)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(answerFor))
	conn, err := noise.Connect(raw, authority, time.Now())
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// setup is a good SetupConnection.
func setup(flags uint32) sv2.SetupConnection {
	return sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version, Flags: flags,
		Host: "127.0.0.1", Vendor: "hashsim", HardwareVersion: "chaos",
	}
}

// standard asks for a standard channel.
func standard(name string) sv2.OpenStandardMiningChannel {
	return sv2.OpenStandardMiningChannel{
		RequestID: 1, UserIdentity: "chaos." + name, NominalHashRate: 1, MaxTarget: pool.MaxTarget.Bytes(),
	}
}
