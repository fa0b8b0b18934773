package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hashlease/hashlease/pool/device"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type deviceFoundCmd struct {
	clientFlags
	Unclear bool `help:"Only those that are no worker, or not clearly one."`
}

// Run lists the inventory.
func (c *deviceFoundCmd) Run(ctx context.Context, e *env) error {
	list, err := c.foundDevices(ctx)
	if err != nil {
		return err
	}
	all := len(list)
	if c.Unclear {
		list = slices.DeleteFunc(list, func(d *hashleasev1.FoundDevice) bool { return d.GetWorker() != "" })
	}
	if c.JSON {
		return jsonList(e, list)
	}
	switch {
	case len(list) == 0 && all > 0:
		e.notef("None of %s: it is clear which worker each is.\n", plural(all, "machine", "machines"))
		return nil
	case len(list) == 0:
		e.notef("None. hashlease device scan SUBNET looks for machines.\n")
		return nil
	}
	t := newTable(e.stdout, "ADDRESS", "KIND", "MODEL", "FIRMWARE", "MAC", "WORKER", "POOL",
		"BACKUPS", "SEEN")
	for _, d := range list {
		id := d.GetIdentity()
		t.row(orDash(d.GetAddress()), d.GetKind(), id.GetModel(), id.GetFirmware(), id.GetMac(), whose(d),
			orDash(d.GetPool()), orDash(strings.Join(d.GetBackups(), ", ")), clock(d.GetLastTime()))
	}
	return t.flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// foundDevices asks for the whole inventory.
func (f *clientFlags) foundDevices(ctx context.Context) (list []*hashleasev1.FoundDevice, err error) {
	cl, err := f.dial()
	if err != nil {
		return nil, err
	}
	defer cl.close()
	ask := &hashleasev1.ListFoundDevicesRequest{PageSize: devicePage}
	for {
		call, cancel := cl.call(ctx)
		r, err := cl.operator.ListFoundDevices(call, ask)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("asking for machines that were found: %w", err)
		}
		list = append(list, r.GetDevices()...)
		if ask.PageToken = r.GetNextPageToken(); ask.PageToken == "" {
			return list, nil
		}
	}
}

type deviceExportCmd struct {
	clientFlags
	Feeder  string `help:"Write this feeder into each worker." placeholder:"FEEDER"`
	Account string `help:"Call machines that are no worker ACCOUNT.MAC." placeholder:"ACCOUNT"`
	All     bool   `help:"Also those that the configuration names already."`
}

// Run writes the configuration of found machines, or all that is known of them as JSON.
func (c *deviceExportCmd) Run(ctx context.Context, e *env) error {
	list, err := c.foundDevices(ctx)
	if err != nil {
		return err
	}
	all := len(list)
	if !c.All {
		list = slices.DeleteFunc(list, (*hashleasev1.FoundDevice).GetEnrolled)
	}
	if c.JSON {
		return jsonList(e, list)
	}
	switch {
	case all == 0:
		e.notef("None. hashlease device scan SUBNET looks for machines.\n")
		return nil
	case len(list) == 0:
		e.notef("None of %s: the configuration names them already; --all writes them too.\n",
			plural(all, "machine", "machines"))
		return nil
	}
	for _, d := range list {
		c.write(e, d)
	}
	e.notef("%s: add them to the configuration, and see that feeders and models are right.\n",
		plural(len(list), "worker", "workers"))
	return nil
}

// write is one worker as the configuration file takes it. What people have to fill in is a comment, so
// that the file is refused until they did.
func (c *deviceExportCmd) write(e *env, d *hashleasev1.FoundDevice) {
	id := d.GetIdentity()
	who := strings.Fields(id.GetModel() + " " + id.GetFirmware() + " " + id.GetMac() + " " + id.GetSerial())
	e.printf("\n# %s\n[[worker]]\n", oneLine(strings.Join(who, " ")))
	switch mac := strings.ReplaceAll(id.GetMac(), ":", ""); {
	case d.GetWorker() != "":
		e.printf("id = %q # by %s\n", d.GetWorker(), oneLine(d.GetMatchedBy()))
	case c.Account != "" && mac != "":
		e.printf("id = %q\n", c.Account+"."+mac)
	case len(d.GetCandidates()) > 0:
		e.printf("# id = not clear: %s\n", oneLine(strings.Join(d.GetCandidates(), ", ")))
	default:
		e.printf("# id = \"account.worker\"\n")
	}
	if c.Feeder != "" {
		e.printf("feeder = %q\n", c.Feeder)
	} else {
		e.printf("# feeder = \"...\"\n")
	}
	if id.GetModel() != "" {
		e.printf("model = %q\n", id.GetModel())
	} else {
		e.printf("# model = \"...\"\n")
	}
	e.printf("device = %q\naddress = %q\n", d.GetKind(), d.GetAddress())
}

type deviceImportCmd struct {
	clientFlags
	File string `arg:"" help:"JSON of export --json, or CSV: address, kind, model, mac, serial; - is stdin."`
}

// maxImport bounds a file that is imported.
const maxImport = 64 << 20

// Run remembers the machines of a file.
func (c *deviceImportCmd) Run(ctx context.Context, e *env) error {
	list, err := c.read(e)
	if err != nil {
		return fixf(err, "see hashlease device import --help for what a file holds")
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	done := 0
	for part := range slices.Chunk(list, devicePage) {
		call, cancel := cl.call(ctx)
		r, err := cl.operator.ImportDevices(call, &hashleasev1.ImportDevicesRequest{Devices: part})
		cancel()
		if err != nil {
			return fmt.Errorf("importing machines, after %d of %d: %w", done, len(list), err)
		}
		done += int(r.GetImported())
	}
	if c.JSON {
		return e.jsonLine(&hashleasev1.ImportDevicesResponse{Imported: int32(done)})
	}
	e.printf("Remembered: %s.\n", plural(done, "machine", "machines"))
	return nil
}

func (c *deviceImportCmd) read(e *env) ([]*hashleasev1.FoundDevice, error) {
	in := e.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxImport {
		return nil, fmt.Errorf("%s is larger than %d bytes", c.File, maxImport)
	}
	parse := importCSV
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		parse = importJSON
	}
	found, err := parse(b)
	if err != nil {
		return nil, err
	}
	return found, addPorts(found)
}

// addPorts gives addresses without a port that of their interface.
func addPorts(list []*hashleasev1.FoundDevice) error {
	for i, d := range list {
		if d.GetAddress() == "" {
			continue // nobody knows where it is
		}
		at, err := device.Address(d.GetKind(), d.GetAddress())
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		if _, err := netip.ParseAddrPort(at); err != nil {
			return fmt.Errorf("entry %d: address %q: IP or IP:PORT is accepted", i+1, d.GetAddress())
		}
		d.Address = at
	}
	return nil
}

func importJSON(b []byte) (list []*hashleasev1.FoundDevice, err error) {
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for i, one := range all {
		d := &hashleasev1.FoundDevice{}
		if err := protojson.Unmarshal(one, d); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, errors.New("the file has no machine")
	}
	return list, nil
}

func importCSV(b []byte) (list []*hashleasev1.FoundDevice, err error) {
	r := csv.NewReader(bytes.NewReader(b))
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line: a header with address and kind is accepted: %w", err)
	}
	columns := map[string]int{}
	for i, name := range head {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, needed := range []string{"address", "kind"} {
		if _, ok := columns[needed]; !ok {
			return nil, fmt.Errorf("the first line has no column %q: address and kind are needed", needed)
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		of := func(name string) string {
			if i, ok := columns[name]; ok {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		list = append(list, &hashleasev1.FoundDevice{
			Address: of("address"), Kind: of("kind"),
			Identity: &hashleasev1.DeviceIdentity{Model: of("model"), Mac: of("mac"), Serial: of("serial")},
		})
	}
	if len(list) == 0 {
		return nil, errors.New("the file has no machine")
	}
	return list, nil
}

type deviceForgetCmd struct {
	clientFlags
	Keys []string `arg:"" help:"As found --json gives them: \"mac aa:bb:cc:dd:ee:ff\"."`
}

// Run forgets machines.
func (c *deviceForgetCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	for _, key := range c.Keys {
		call, cancel := cl.call(ctx)
		_, err := cl.operator.ForgetDevice(call, &hashleasev1.ForgetDeviceRequest{Key: key})
		cancel()
		if err != nil {
			return fmt.Errorf("forgetting %s: %w", oneLine(key), err)
		}
		if !c.JSON {
			e.printf("%s is forgotten.\n", oneLine(key))
		}
	}
	return nil
}
