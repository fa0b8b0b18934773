package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
)

// server is the pool of one phase. One goroutine gives its orders.
type server struct {
	address   string
	authority *noise.PublicKey
	pid       int
	cmd       *exec.Cmd // nil: somebody else's
	dir       string    // of its journals
	orders    io.WriteCloser
	out       *json.Encoder
	in        *json.Decoder
}

// answer is the part of load's answers that is of use here.
type answer struct {
	Address   string        `json:"address"`
	Authority string        `json:"authority"`
	At        int64         `json:"at"`
	Stats     stratum.Stats `json:"stats"`
	Error     string        `json:"error"`
}

// serve names the pool that runs, or starts one.
func serve(ctx context.Context, cfg *Config) (*server, error) {
	if cfg.Pool != "" {
		return &server{address: cfg.Pool, authority: cfg.Authority, pid: cfg.PID}, nil
	}
	dir, err := os.MkdirTemp(cfg.Dir, "hashsim-chaos-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for journals: %w", err)
	}
	cmd := cfg.Spawn(ctx, dir)
	s := &server{cmd: cmd, dir: dir}
	orders, err1 := cmd.StdinPipe()
	answers, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the server: %w", err), os.RemoveAll(dir))
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the server: %w", err), os.RemoveAll(dir))
	}
	s.orders, s.out, s.in, s.pid = orders, json.NewEncoder(orders), json.NewDecoder(answers), cmd.Process.Pid
	var first answer
	if err := s.in.Decode(&first); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the server: %w", err), s.stop())
	}
	key, err := noise.ParsePublicKey(first.Authority)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the server's key: %w", err), s.stop())
	}
	s.address, s.authority = first.Address, &key
	return s, nil
}

// ask gives an order and waits for its answer.
func (s *server) ask(op string) (answer, error) {
	var a answer
	if err := s.out.Encode(map[string]string{"op": op}); err != nil {
		return a, fmt.Errorf("asking the server for %q: %w", op, err)
	}
	if err := s.in.Decode(&a); err != nil {
		return a, fmt.Errorf("waiting for the server's answer to %q: %w", op, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("server on %q: %s", op, a.Error)
	}
	return a, nil
}

// stop ends a server that was started here.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	err := s.orders.Close()
	cut := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer cut.Stop()
	return errors.Join(err, s.cmd.Wait(), os.RemoveAll(s.dir))
}

// userHZ is what /proc counts CPU time in, on every Linux that Go runs on.
const userHZ = 10 * time.Millisecond

// cost is the CPU time that the server has used and its resident bytes, zeros if they are not known.
func (s *server) cost() (cpu time.Duration, resident int64) {
	if s.pid == 0 {
		return 0, 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		return 0, 0
	}
	// The second field is a name in parentheses and may hold anything: fields count from its end.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 22 {
		return 0, 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	return time.Duration(user+system) * userHZ, pages * int64(os.Getpagesize())
}

// waited is how long the server's threads could run and had no core, 0 if it is not known.
func (s *server) waited() (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may have ended
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}
