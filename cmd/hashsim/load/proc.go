package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is what /proc counts CPU time in: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPUOf is the CPU time that a process has used, in user and kernel mode, to 10 ms.
func CPUOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU time: %w", err)
	}
	// The second field is a name in parentheses and may hold anything: fields count from its end.
	_, rest, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')'):], []byte(" "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading CPU time: /proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("reading CPU time: /proc/%d/stat has %q and %q", pid, fields[11], fields[12])
	}
	return time.Duration(user+system) * tick, nil
}

// waitedOf is how long the threads of a process could run and had no core: what it shares the machine with
// does to it, not what it does itself. 0 where the kernel does not count it.
func waitedOf(pid int) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may have ended
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

// residentOf is the resident memory of a process in bytes.
func residentOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("reading resident memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("reading resident memory: /proc/%d/statm has %d fields", pid, len(fields))
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading resident memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// busy is the CPU time that the whole machine has used.
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // name, idle, waiting for a disk; guests are counted as user
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the machine's CPU time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// Window is what the processes did during a measurement.
type Window struct {
	Seconds    float64 `json:"seconds"`
	ServerCPU  float64 `json:"server_cpu_s"`
	LoadCPU    float64 `json:"load_cpu_s"`      // of this process, on the same cores
	OthersBusy float64 `json:"others_busy"`     // cores that other processes used meanwhile
	Waited     float64 `json:"server_waited_s"` // its threads could run and had no core
}

// window is one that is open.
type window struct {
	pid                int // 0: the server is somewhere else
	at                 time.Time
	server, load, busy time.Duration
	waited             time.Duration
}

func openWindow(pid int) (w window, err error) {
	w = window{pid: pid, at: time.Now()}
	if pid != 0 {
		if w.server, err = CPUOf(pid); err != nil {
			return w, err
		}
		w.waited = waitedOf(pid)
	}
	if w.load, err = CPUOf(os.Getpid()); err != nil {
		return w, err
	}
	w.busy, err = busy()
	return w, err
}

// close is what happened since the window was opened.
func (w window) close() (Window, error) {
	now, err := openWindow(w.pid)
	if err != nil {
		return Window{}, err
	}
	server, load := now.server-w.server, now.load-w.load
	took := now.at.Sub(w.at).Seconds()
	return Window{
		Seconds: took, ServerCPU: server.Seconds(), LoadCPU: load.Seconds(),
		OthersBusy: max(0, (now.busy-w.busy-server-load).Seconds()/took),
		Waited:     max(0, now.waited-w.waited).Seconds(),
	}, nil
}

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// String is the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %d GiB, Linux %s, %s",
		m.CPU, m.Cores, (m.Memory+1<<29)>>30, m.Kernel, m.Go)
}

// describe looks at this machine; what it cannot learn stays empty.
func describe() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	return m
}

// descriptors raises the limit of open files as far as it goes and checks that it is enough.
func descriptors(need uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			return fmt.Errorf("raising the limit of open files: %w", err)
		}
	}
	if l.Cur < need {
		return fmt.Errorf("%d open files are needed, %d are allowed: raise the hard limit (ulimit -Hn) "+
			"or lower --connections", need, l.Cur)
	}
	return nil
}
