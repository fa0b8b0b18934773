package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	leaseclient "github.com/hashlease/hashlease/lease/client"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// maxGrace bounds how long before the end of its slot a command is asked to stop.
const maxGrace = time.Hour

//nolint:revive // tags are one line
type leaseRunCmd struct {
	clientFlags
	slotFlags
	Grace   time.Duration `help:"How long before the end of the slot the command is sent SIGTERM; at the end it is killed." default:"30s"`
	Command []string      `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Help says more than one line does.
func (c *leaseRunCmd) Help() string {
	return "Books the slot, waits until a meter shows the power free, runs the command, and gives the " +
		"power back as soon as it ends. Its exit status is the command's. The command finds " +
		"HASHLEASE_LEASE, HASHLEASE_FEEDER, HASHLEASE_WATTS and HASHLEASE_END (RFC 3339) in its " +
		"environment. If this program is killed the lease runs until its end: hashlease lease cancel ends it."
}

// Run holds a lease while a command runs.
func (c *leaseRunCmd) Run(ctx context.Context, e *env) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return usagef("a command is needed, as in: hashlease lease run --site north --watts 1MW --for 2h " +
			"-- python train.py")
	}
	if c.Grace < 0 || c.Grace > maxGrace {
		return usagef("--grace is %v: 0 to %v is accepted", c.Grace, maxGrace)
	}
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return usagef("%w: a program that is in PATH is accepted", err) // before any power is booked
	}
	req, err := c.request(time.Now())
	if err != nil {
		return err
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	e = &env{stdin: e.stdin, stdout: e.stdout, stderr: shared(e.stderr)}
	follow := cl.following(func(err error, wait time.Duration) {
		e.notef("no answer from the server, trying again in %v\n", wait.Round(10*time.Millisecond))
	})
	hold := leaseclient.Hold{Grace: c.Grace, Changed: func(l *hashleasev1.Lease) { c.tell(e, cl, l) }}
	var ran *ranError
	err = follow.Hold(ctx, req, hold, func(ctx context.Context, l *hashleasev1.Lease) error {
		ran = c.run(ctx, e, path, l)
		return nil
	})
	if ran == nil {
		return err
	}
	ran.error = errors.Join(ran.error, err)
	return ran
}

// shared is a stream that a command writes to as well as we do. A file is the command's own.
func shared(w io.Writer) io.Writer {
	if _, ok := w.(*os.File); ok {
		return w
	}
	return &sharedWriter{w: w}
}

type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (s *sharedWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// tell says on standard error how the lease is: standard output is the command's.
func (c *leaseRunCmd) tell(e *env, cl *client, l *hashleasev1.Lease) {
	if c.JSON {
		_ = (&env{stdout: e.stderr}).jsonLine(l) // as notef
		return
	}
	e.notef("%s  %-9s  %s  %s at %s until %s%s\n", time.Now().Format("15:04:05"), stateWord(l.GetState()),
		cl.shortLease(oneLine(l.GetName())), unit.Watts(l.GetWatts()), feederWord(oneLine(l.GetFeeder())),
		clock(l.GetEndTime()), oneLine(reasonOf(l)))
}

// run runs the command until it ends by itself, or ctx does: then it and what it has started are sent
// SIGTERM, and SIGKILL after the grace.
func (c *leaseRunCmd) run(ctx context.Context, e *env, path string, l *hashleasev1.Lease) *ranError {
	cmd := exec.CommandContext(ctx, path, c.Command[1:]...)
	cmd.Args[0] = c.Command[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	cmd.Env = append(os.Environ(), "HASHLEASE_LEASE="+l.GetName(), "HASHLEASE_FEEDER="+l.GetFeeder(),
		fmt.Sprintf("HASHLEASE_WATTS=%d", l.GetWatts()),
		"HASHLEASE_END="+l.GetEndTime().AsTime().Format(time.RFC3339))
	// A group of its own is ended as a whole. At a terminal it would be stopped when it reads.
	group := !isTerminal(e.stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: group}
	signal := func(s syscall.Signal) error {
		if pid := cmd.Process.Pid; group {
			return syscall.Kill(-pid, s)
		}
		return cmd.Process.Signal(s)
	}
	cmd.WaitDelay = max(c.Grace, time.Millisecond)
	cmd.Cancel = func() error {
		e.notef("%v: the command is told to stop\n", context.Cause(ctx))
		return signal(syscall.SIGTERM)
	}
	err := cmd.Run()
	if cmd.Process != nil && group {
		_ = signal(syscall.SIGKILL) // who stays would draw power that is given back
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return &ranError{}
	case !exited && cmd.ProcessState == nil:
		return &ranError{fmt.Errorf("running %s: %w", c.Command[0], err), exitFailed}
	case exited:
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return &ranError{status: 128 + int(s.Signal())}
		}
	}
	return &ranError{status: cmd.ProcessState.ExitCode()}
}
