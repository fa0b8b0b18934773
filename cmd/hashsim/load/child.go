package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// Spawner makes the command that runs Target with this configuration in a process of its own.
type Spawner func(ctx context.Context, cfg TargetConfig) *exec.Cmd

// child is the target's process. Its methods are called by one goroutine.
type child struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	out    *json.Encoder
	in     *json.Decoder
	first  answer
}

// start runs a target and waits until it listens.
func start(ctx context.Context, spawn Spawner, cfg TargetConfig) (*child, error) {
	cmd := spawn(ctx, cfg)
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	c := &child{cmd: cmd, orders: orders, out: json.NewEncoder(orders), in: json.NewDecoder(answers)}
	if err := c.in.Decode(&c.first); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the server: %w", err), c.stop())
	}
	return c, nil
}

// ask gives an order and waits for its answer.
func (c *child) ask(op string) (answer, error) { return c.order(order{Op: op}) }

func (c *child) order(o order) (answer, error) {
	var a answer
	if err := c.out.Encode(o); err != nil {
		return a, fmt.Errorf("asking the server for %q: %w", o.Op, err)
	}
	if err := c.in.Decode(&a); err != nil {
		return a, fmt.Errorf("waiting for the server's answer to %q: %w", o.Op, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("server on %q: %s", o.Op, a.Error)
	}
	return a, nil
}

// stocked waits until the stock holds n keys.
func (c *child) stocked(ctx context.Context, n int) error {
	for {
		a, err := c.ask(opState)
		if err != nil || a.Stock >= n {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// pid is the process.
func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process and waits for it.
func (c *child) stop() error {
	err := c.orders.Close()
	cut := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer cut.Stop()
	return errors.Join(err, c.cmd.Wait())
}

// pause waits unless the context ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
