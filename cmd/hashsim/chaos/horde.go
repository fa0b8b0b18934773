package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// HordeConfig says who the others of a phase are.
type HordeConfig struct {
	Address string
	Peers   int
	Rate    int  // frames a second of each that floods
	Idle    bool // they behave, and do nothing
}

// Validate names the first fault.
func (c *HordeConfig) Validate() error {
	switch {
	case !loopback(c.Address):
		return fmt.Errorf("address %q: HOST:PORT of this machine is accepted", c.Address)
	case c.Peers < 1 || c.Peers > maxPeers:
		return fmt.Errorf("peers is %d: 1 to %d is accepted", c.Peers, maxPeers)
	case c.Rate < 1:
		return fmt.Errorf("rate is %d: 1 or more is accepted", c.Rate)
	}
	return nil
}

// hordeReport is what a horde's process says: once when its peers are there, and once at its end.
type hordeReport struct {
	Error string    `json:"error,omitempty"`
	Kinds []Outcome `json:"kinds,omitempty"`
}

// Horde is the process of the others: they come, and go when r ends. Who measures is not in it, so that
// what they compute is not in the way of the clock.
func Horde(ctx context.Context, cfg HordeConfig, r io.Reader, w io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := descriptors(uint64(cfg.Peers) + 500); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := json.NewEncoder(w)
	said := hordeReport{}
	var over func() hordeReport
	if cfg.Idle {
		k := &crowd{}
		all, err := k.gather(ctx, &server{address: cfg.Address}, cfg.Peers, true)
		if err != nil {
			said.Error = err.Error()
		}
		over = func() hordeReport { return k.disperse(all) }
	} else {
		h := unleash(ctx, &cfg)
		over = func() hordeReport { return hordeReport{Kinds: h.stop()} }
	}
	if err := out.Encode(&said); err != nil {
		return fmt.Errorf("saying that the horde is there: %w", err)
	}
	_, _ = io.Copy(io.Discard, r)
	last := over()
	if err := out.Encode(&last); err != nil {
		return fmt.Errorf("saying what became of the horde: %w", err)
	}
	return nil
}

// disperse ends idle peers; that one was gone already is an error.
func (k *crowd) disperse(all []*miner) (out hordeReport) {
	k.ending.Store(true)
	for _, m := range all {
		_ = m.conn.Close()
	}
	k.wg.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.lost) > 0 {
		out.Error = fmt.Sprintf("%d idle peers were disconnected: %v", len(k.lost), k.lost[0])
	}
	return out
}

// horde is the hostile peers.
type horde struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc
	counts []counts
	peers  []int
}

// unleash lets them come, as many of each kind as of any other.
func unleash(ctx context.Context, c *HordeConfig) *horde {
	ctx, cancel := context.WithCancel(ctx)
	h := &horde{cancel: cancel, counts: make([]counts, len(kinds)), peers: make([]int, len(kinds))}
	for i := range c.Peers {
		n := i % len(kinds)
		h.peers[n]++
		p := &peer{ctx: ctx, address: c.Address, kind: &kinds[n], rate: c.Rate, counts: &h.counts[n]}
		h.wg.Go(func() { // ends with ctx
			if pause(ctx, time.Duration(i)*time.Second/time.Duration(c.Peers)) == nil {
				p.run()
			}
		})
	}
	return h
}

// stop ends them and counts what became of them.
func (h *horde) stop() (all []Outcome) {
	h.cancel()
	h.wg.Wait()
	for i := range kinds {
		c := &h.counts[i]
		all = append(all, Outcome{
			Kind: kinds[i].name, Peers: h.peers[i], Visits: c.visits.Load(), Refused: c.refused.Load(),
			Handshakes: c.handshakes.Load(), Frames: c.frames.Load(), Answers: c.answers.Load(),
			Ended: c.ended.Load(), Left: c.left.Load(), Open: c.open.Load(),
		})
	}
	return all
}

// others is the horde's process, seen from who measures.
type others struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	in     *json.Decoder
}

// send starts the others of a phase, at the priority that the configuration names, and waits until they
// are there.
func (c *Config) send(ctx context.Context, address string, hostile bool) (*others, error) {
	cmd := c.SpawnHorde(ctx, HordeConfig{Address: address, Peers: c.Hostile, Rate: c.Rate, Idle: !hostile})
	// A group of its own, because a priority is set for all threads of a group at once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	orders, err1 := cmd.StdinPipe()
	said, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("starting the others: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the others: %w", err)
	}
	o := &others{cmd: cmd, orders: orders, in: json.NewDecoder(said)}
	err := syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, c.Nice)
	if err == nil {
		_, err = o.hear()
	}
	if err != nil {
		_, ended := o.stop()
		return nil, errors.Join(fmt.Errorf("starting the others: %w", err), ended)
	}
	return o, nil
}

func (o *others) hear() (hordeReport, error) {
	var said hordeReport
	if err := o.in.Decode(&said); err != nil {
		return said, fmt.Errorf("waiting for the others: %w", err)
	}
	if said.Error != "" {
		return said, errors.New(said.Error)
	}
	return said, nil
}

// stop ends the others and returns what became of them.
func (o *others) stop() ([]Outcome, error) {
	err := o.orders.Close()
	cut := time.AfterFunc(2*answerFor, func() { _ = o.cmd.Process.Kill() })
	defer cut.Stop()
	said, heard := o.hear()
	return said.Kinds, errors.Join(err, heard, o.cmd.Wait())
}
