package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool/device"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// defaultScanRate is that of the flag.
const defaultScanRate = 50

//nolint:revive // tags are one line
type deviceScanCmd struct {
	clientFlags
	Subnet string   `arg:"" help:"As 10.0.0.0/24: at most a /16, within the subnets that the configuration allows."`
	From   string   `help:"Begin here: what a scan that was broken off says." placeholder:"IP"`
	Ports  []string `name:"port" help:"Ask this port, or range of ports, for every kind of machine too." placeholder:"8000-8010"`
	Rate   int      `help:"Addresses begun a second, 1 to 1000." default:"50"`
}

// Run scans until all is visited, or until Ctrl-C, and says then where to go on.
func (c *deviceScanCmd) Run(ctx context.Context, e *env) error {
	if c.Rate < 1 || c.Rate > device.MaxScanRate {
		return usagef("rate is %d: 1 to %d is accepted", c.Rate, device.MaxScanRate)
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	s, err := cl.operator.ScanDevices(cl.stream(ctx), &hashleasev1.ScanDevicesRequest{
		Subnet: c.Subnet, From: c.From, Ports: c.Ports, PerSecond: int32(c.Rate),
	})
	if err != nil {
		return fmt.Errorf("asking for a scan: %w", err)
	}
	bar := newProgressBar(e.stderr)
	defer bar.end()
	var last *hashleasev1.ScanDevicesResponse
	found := 0
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			bar.end()
			return c.brokenOff(e, last, found, err)
		}
		last = r
		if r.GetFound() != nil {
			found++
			bar.clear()
			if err := c.print(e, r.GetFound()); err != nil {
				return err
			}
		}
		bar.show(int(r.GetDone()), int(r.GetTotal()), found)
	}
	bar.end()
	e.notef("%s visited, %s found. hashlease device found shows which worker each is.\n",
		plural(int(last.GetTotal()), "address", "addresses"), plural(found, "machine", "machines"))
	return nil
}

// again is the command line that goes on from an address.
func (c *deviceScanCmd) again(from string) string {
	words := []string{c.Subnet, "--from", from}
	for _, p := range c.Ports {
		words = append(words, "--port", p)
	}
	if c.Rate != defaultScanRate {
		words = append(words, "--rate", strconv.Itoa(c.Rate))
	}
	return strings.Join(words, " ")
}

// brokenOff says how to go on.
func (c *deviceScanCmd) brokenOff(
	e *env, last *hashleasev1.ScanDevicesResponse, found int, err error,
) error {
	if next := last.GetNext(); next != "" {
		e.notef("%d of %s visited, %s found. Go on with: hashlease device scan %s\n", last.GetDone(),
			plural(int(last.GetTotal()), "address", "addresses"), plural(found, "machine", "machines"),
			oneLine(c.again(next)))
	}
	if status.Code(err) == codes.Canceled {
		return errors.New("the scan was broken off")
	}
	return fmt.Errorf("scanning %s: %w", oneLine(c.Subnet), err)
}

func (c *deviceScanCmd) print(e *env, d *hashleasev1.FoundDevice) error {
	if c.JSON {
		return e.jsonLine(d)
	}
	id := d.GetIdentity()
	who := strings.Join(strings.Fields(oneLine(id.GetModel()+" "+id.GetFirmware())), " ")
	if who == "" {
		who = "says not who it is: " + oneLine(d.GetProblem())
	}
	e.printf("%-22s %-14s %s: %s\n", oneLine(d.GetAddress()), oneLine(d.GetKind()), who, whose(d))
	return nil
}

// whose says in words which worker a machine is.
func whose(d *hashleasev1.FoundDevice) string {
	text := "no worker of ours"
	switch {
	case d.GetWorker() != "":
		text = fmt.Sprintf("%s by %s", oneLine(d.GetWorker()), oneLine(d.GetMatchedBy()))
		if d.GetEnrolled() {
			text += ", enrolled"
		}
	case len(d.GetCandidates()) > 0:
		text = "not clear: " + oneLine(strings.Join(d.GetCandidates(), ", "))
	}
	if d.GetElsewhere() {
		text += ", mines at " + oneLine(d.GetPool())
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// progressBar is one line on a terminal, and nothing elsewhere.
type progressBar struct {
	out  io.Writer // nil: no terminal
	last time.Time
	on   bool
}

func newProgressBar(w io.Writer) *progressBar {
	if !isTerminal(w) {
		return &progressBar{}
	}
	return &progressBar{out: w}
}

// isTerminal says that somebody sits at the other end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// barWidth is in characters.
const barWidth = 30

// show draws the bar, ten times a second at most.
func (b *progressBar) show(done, total, found int) {
	if b.out == nil || total == 0 || time.Since(b.last) < 100*time.Millisecond && done < total {
		return
	}
	b.last, b.on = time.Now(), true
	full := barWidth * done / total
	_, _ = fmt.Fprintf(b.out, "\r[%s%s] %d of %d addresses, %d found ", strings.Repeat("#", full),
		strings.Repeat(".", barWidth-full), done, total, found)
}

// clear takes the bar away for a line of results.
func (b *progressBar) clear() {
	if b.on {
		_, _ = fmt.Fprintf(b.out, "\r%s\r", strings.Repeat(" ", barWidth+50))
		b.on, b.last = false, time.Time{}
	}
}

// end leaves the bar as it is.
func (b *progressBar) end() {
	if b.on {
		_, _ = fmt.Fprintln(b.out)
		b.on = false
	}
}
