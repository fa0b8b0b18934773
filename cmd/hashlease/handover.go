package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// handoverName is the socket in the storage directory over which a running server gives its
// listening sockets to the one that takes over. They are the same sockets, not new ones on the same port:
// a miner that connects between the two waits in the kernel's queue and is never refused.
const handoverName = "handover.sock"

const (
	handoverLimit = time.Second // one exchange
	handoverBytes = 16 << 10    // its text
	handoverPorts = 3 + config.MaxPorts
)

// estate is the text beside the sockets, in their order.
type estate struct {
	PID   int          `json:"pid"`
	Ports []estatePort `json:"ports"`
}

type estatePort struct {
	Name   string `json:"name"`
	Listen string `json:"listen"` // as configured: only for the same words the socket is the right one
}

// giver hands a server's ports to whoever may read its storage directory.
type giver struct {
	ln    *net.UnixListener
	path  string
	text  []byte
	ports []net.Listener
	log   *slog.Logger
}

// newGiver opens the socket in dir. The caller has the journals open, so one left there is nobody's.
func newGiver(dir string, e estate, ports []net.Listener, log *slog.Logger) (*giver, error) {
	e.PID = os.Getpid()
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	g := &giver{path: filepath.Join(dir, handoverName), text: text, ports: ports, log: log}
	if err := os.Remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = withUnixAddr(dir, func(a *net.UnixAddr) (err error) {
		g.ln, err = net.ListenUnix("unix", a)
		return err
	})
	if err != nil {
		return nil, err
	}
	g.ln.SetUnlinkOnClose(false) // its address may be a short form that is gone by then
	return g, errors.Join(os.Chmod(g.path, 0o600))
}

// run gives until close.
func (g *giver) run() error {
	for {
		conn, err := g.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err == nil {
			err = g.give(conn)
		}
		if err != nil {
			g.log.Warn("ports could not be handed over", slog.Any("error", err))
			time.Sleep(10 * time.Millisecond) // out of descriptors, perhaps
		}
	}
}

func (g *giver) give(conn *net.UnixConn) error {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(handoverLimit))
	return withDescriptors(g.ports, nil, func(fds []int) error {
		_, _, err := conn.WriteMsgUnix(g.text, syscall.UnixRights(fds...), nil)
		return err
	})
}

// close ends giving. The next server makes a socket of its own at the same place, so this comes
// before the journals are closed.
func (g *giver) close() error {
	return errors.Join(os.Remove(g.path), g.ln.Close())
}

// withDescriptors lends the descriptors of listeners while they cannot be closed.
func withDescriptors(lns []net.Listener, fds []int, use func([]int) error) (err error) {
	if len(lns) == 0 {
		return use(fds)
	}
	sc, ok := lns[0].(syscall.Conn)
	if !ok {
		return fmt.Errorf("listener on %s has no descriptor", lns[0].Addr())
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	lent := raw.Control(func(fd uintptr) { err = withDescriptors(lns[1:], append(fds, int(fd)), use) })
	return errors.Join(lent, err)
}

// unixPathLimit is what every system takes as a socket's address, less one for its end.
const unixPathLimit = 103

// withUnixAddr lends the address of the socket in dir; where its path is too long for an address, a
// shorter one of the same file.
func withUnixAddr(dir string, use func(*net.UnixAddr) error) error {
	path := filepath.Join(dir, handoverName)
	if len(path) > unixPathLimit {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		path = filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), handoverName)
	}
	return use(&net.UnixAddr{Name: path, Net: "unix"})
}

// heir is what a server that takes over got from the running one.
type heir struct {
	pid   int
	ports map[estatePort][]net.Listener // several may be configured by the same words, as :0
}

// inherit asks the server that runs on dir for its ports. It returns nil if there is none that gives them.
func inherit(dir string) (*heir, error) {
	var conn *net.UnixConn
	err := withUnixAddr(dir, func(a *net.UnixAddr) (err error) {
		conn, err = net.DialUnix("unix", nil, a)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("asking the running server for its ports: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(handoverLimit))
	text, oob := make([]byte, handoverBytes), make([]byte, syscall.CmsgSpace(4*handoverPorts))
	n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
	if err != nil {
		return nil, fmt.Errorf("taking the running server's ports: %w", err)
	}
	h, err := openEstate(text[:n], oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("taking the running server's ports: %w", err)
	}
	return h, nil
}

// openEstate makes listeners of what came. Descriptors that are of no use are closed.
func openEstate(text, oob []byte) (*heir, error) {
	var fds []int
	messages, err := syscall.ParseSocketControlMessage(oob)
	for i := range messages {
		got, perr := syscall.ParseUnixRights(&messages[i])
		fds, err = append(fds, got...), errors.Join(err, perr)
	}
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), "inherited port")
	}
	defer func() {
		for _, f := range files { // the listeners have descriptors of their own
			_ = f.Close()
		}
	}()
	var e estate
	if err = errors.Join(err, json.Unmarshal(text, &e)); err != nil {
		return nil, err
	}
	if len(e.Ports) != len(files) {
		return nil, fmt.Errorf("%d ports are announced and %d came", len(e.Ports), len(files))
	}
	h := &heir{pid: e.PID, ports: map[estatePort][]net.Listener{}}
	for i, p := range e.Ports {
		ln, err := net.FileListener(files[i])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("port %s: %w", p.Name, err), h.close())
		}
		h.ports[p] = append(h.ports[p], ln)
	}
	return h, nil
}

// take is the inherited listener for a port, nil if there is none for its address.
func (h *heir) take(p estatePort) net.Listener {
	if h == nil || len(h.ports[p]) == 0 {
		return nil
	}
	ln := h.ports[p][0]
	h.ports[p] = h.ports[p][1:]
	return ln
}

// close closes what was not taken.
func (h *heir) close() error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, all := range h.ports {
		for _, ln := range all {
			errs = append(errs, ln.Close())
		}
	}
	clear(h.ports)
	return errors.Join(errs...)
}
