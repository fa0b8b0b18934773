package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a report is checked where no zones may be installed

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type siteReportCmd struct {
	clientFlags
	Site    string  `arg:"" help:"The site's id."`
	Lease   string  `help:"Of a lease: its uid." xor:"about" placeholder:"UID"`
	Event   string  `help:"Of a curtailment: operator/3, or 3." xor:"about" placeholder:"CURTAILMENT"`
	Limit   uint64  `help:"Of a limit from outside: its number." xor:"about" placeholder:"NUMBER"`
	Month   string  `help:"Of a month by the site's clocks, as 2026-11." xor:"about" placeholder:"MONTH"`
	From    *moment `help:"Of a span: from when, RFC 3339." and:"span" placeholder:"TIME"`
	To      *moment `help:"Until when: now, or RFC 3339." and:"span" placeholder:"TIME"`
	Last    span    `help:"Of the span until now, as 24h." xor:"about" placeholder:"DURATION"`
	Out     string  `help:"Save the records behind it too, to check them offline." placeholder:"FILE"`
	CSV     bool    `name:"csv" help:"Print CSV." xor:"form"`
	Trusted string  `help:"The server's evidence key, if you know it from elsewhere." placeholder:"KEY"`
}

// Run asks for a report, checks it, and shows it.
func (c *siteReportCmd) Run(ctx context.Context, e *env) error {
	req, err := c.request(time.Now())
	if err != nil {
		return err
	}
	if err := validHex("--trusted", c.Trusted); err != nil {
		return err
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	stream, err := cl.operator.GetSiteReport(cl.stream(ctx), req)
	if err != nil {
		return fmt.Errorf("asking for the report: %w", err)
	}
	from := io.Reader(&parts{stream: stream})
	var save *os.File
	if c.Out != "" {
		if save, err = os.OpenFile(c.Out+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return fmt.Errorf("saving the records: %w", err)
		}
		from = io.TeeReader(from, save)
	}
	res, err := audit.Verify(from, audit.Trust{Key: c.Trusted})
	if save != nil {
		if err = errors.Join(err, save.Close()); err == nil {
			err = os.Rename(save.Name(), c.Out)
		} else {
			_ = os.Remove(save.Name()) // the error is told
		}
	}
	if err != nil {
		return fmt.Errorf("fetching the report: %w", err)
	}
	if err := showReport(e, res.Report, c.JSON, c.CSV); err != nil {
		return err
	}
	if c.Out != "" {
		e.notef("%s has records %d to %d; check it anywhere with: hashlease site verify %s --trusted %s\n",
			c.Out, res.First, res.Last, c.Out, res.Key)
	}
	return nil
}

// validHex refuses what can be neither a key nor a hash.
func validHex(flag, text string) error {
	b, err := hex.DecodeString(text)
	if text != "" && (err != nil || len(b) != 32 || strings.ToLower(text) != text) {
		return usagef("%s is %q: 64 of 0-9 a-f are accepted, as site verify and site report print them",
			flag, oneLine(text))
	}
	return nil
}

// request is what the flags ask for.
func (c *siteReportCmd) request(now time.Time) (*hashleasev1.GetSiteReportRequest, error) {
	req := &hashleasev1.GetSiteReportRequest{
		Site: siteName(c.Site), Lease: short(c.Lease), Month: c.Month, Records: c.Out != "",
	}
	asked := c.Lease != "" || c.Month != ""
	if c.Event != "" {
		// The claim of a curtailment on one feeder is named operator/3/FEEDER.
		number, _, _ := strings.Cut(strings.TrimPrefix(c.Event, "operator/"), "/")
		req.Curtailment, asked = "operator/"+number, true
	}
	if c.Limit != 0 {
		req.Limit, asked = "limits/"+strconv.FormatUint(c.Limit, 10), true
	}
	if c.Last != 0 {
		end := moment{}.from(now)
		req.StartTime = timestamppb.New(end.Add(-time.Duration(c.Last)))
		req.EndTime, asked = timestamppb.New(end), true
	}
	if c.From != nil && asked {
		return nil, usagef("--from and --to: a span of its own is accepted, " +
			"without a lease, event, limit or month")
	}
	if c.From != nil {
		req.StartTime = timestamppb.New(c.From.from(now))
		req.EndTime = timestamppb.New(c.To.from(now))
		asked = true
	}
	if !asked {
		return nil, usagef("a report of what? One of --lease, --event, --limit, --month, --last, " +
			"and --from with --to is accepted")
	}
	return req, nil
}

// parts reads a stream's parts as one file.
type parts struct {
	stream grpc.ServerStreamingClient[hashleasev1.GetSiteReportResponse]
	rest   []byte
}

// Read implements io.Reader.
func (p *parts) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		r, err := p.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at the end
		}
		p.rest = r.GetPart()
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

type siteVerifyCmd struct {
	File    string `arg:"" help:"A file that site report saved, or with --open one of the log itself."`
	Trusted string `help:"The server's evidence key, if you know it from elsewhere." placeholder:"KEY"`
	Head    string `help:"A record's hash that you noted: the file must have it." placeholder:"HASH"`
	Open    bool   `help:"Accept a file of the log itself, whose end may be missing."`
	CSV     bool   `name:"csv" help:"Print CSV." xor:"form"`
	JSON    bool   `name:"json" help:"Print JSON for programs." xor:"form"`
}

// Run checks a file without any server.
func (c *siteVerifyCmd) Run(_ context.Context, e *env) error {
	if err := errors.Join(validHex("--trusted", c.Trusted), validHex("--head", c.Head)); err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	res, err := audit.Verify(f, audit.Trust{Key: c.Trusted, Head: c.Head, Open: c.Open})
	if err != nil {
		return fmt.Errorf("%s cannot be believed: %w", c.File, err)
	}
	e.notef("%s: records %d to %d, %d of them here, %d left out by the server; the chain is whole.\n",
		c.File, res.First, res.Last, res.Records, res.Skipped)
	switch {
	case !res.Sealed:
		e.notef("It has no seal: what followed record %d may be missing. Its hash is %s.\n",
			res.Last, res.Hash)
	case c.Trusted == "":
		e.notef("It is signed with the key %s. Compare it with the server's, or give it as --trusted.\n",
			res.Key)
	default:
		e.notef("It is signed with the server's key.\n")
	}
	switch {
	case res.Report == nil:
		return nil
	case res.Bare:
		e.notef("It has no records: the figures are the server's word.\n")
	case res.Other:
		e.notef("The figures are what the records come to by this program's rules, %d. The server's "+
			"had rules %d, by which others are: %s.\n", audit.Rules, res.Rules,
			cmp.Or(strings.Join(res.Differs, ", "), "none"))
	default:
		e.notef("The figures are what the records come to.\n")
	}
	return showReport(e, res.Report, c.JSON, c.CSV)
}

func showReport(e *env, r *audit.Report, asJSON, asCSV bool) error {
	switch {
	case asJSON:
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		e.printf("%s\n", b)
		return nil
	case asCSV:
		return reportCSV(e, r)
	}
	return reportTable(e, r)
}

// reportCSV is one row a figure: of all first, then of each subject.
func reportCSV(e *env, r *audit.Report) error {
	w := csv.NewWriter(e.stdout)
	rows := [][]string{{
		"kind", "name", "feeder", "begin", "until", "figure", "known", "value", "unit", "method", "inputs",
	}}
	add := func(s *audit.Subject, list []audit.Figure) {
		for _, f := range list {
			value := ""
			if f.Known {
				value = strconv.FormatInt(f.Value, 10)
			}
			rows = append(rows, []string{
				s.Kind, harmless(s.Name), string(s.Feeder),
				s.Begin.Format(time.RFC3339), s.Until.Format(time.RFC3339),
				f.Name, strconv.FormatBool(f.Known), value, f.Unit, f.Method, inputsText(f.Inputs),
			})
		}
	}
	add(&audit.Subject{Kind: "all", Name: aboutWord(r), Begin: r.Query.From, Until: r.Query.Until}, r.Figures)
	for i := range r.Subjects {
		add(&r.Subjects[i], r.Subjects[i].Figures)
	}
	return errors.Join(w.WriteAll(rows), w.Error())
}

// harmless keeps a name from being a formula in a spreadsheet.
func harmless(s string) string {
	if strings.ContainsAny(s[:min(1, len(s))], "=+-@") {
		return "'" + s
	}
	return s
}

func inputsText(list []audit.Input) string {
	var words []string
	for _, in := range list {
		words = append(words, in.Name+"="+in.Value)
	}
	return strings.Join(words, "; ")
}

func aboutWord(r *audit.Report) string {
	return cmp.Or(r.Query.Claim, limitWord(r.Query.Limit), string(r.Query.Site))
}

func limitWord(n uint64) string {
	if n == 0 {
		return ""
	}
	return "limit " + strconv.FormatUint(n, 10)
}

func reportTable(e *env, r *audit.Report) error {
	if one := aboutWord(r); one == string(r.Query.Site) {
		e.printf("%s, %s to %s\n\n", one, clock(timestamppb.New(r.Query.From)),
			clock(timestamppb.New(r.Query.Until)))
	} else { // its own window is below
		e.printf("%s at site %s\n\n", oneLine(one), r.Query.Site)
	}
	figures := r.Figures
	if len(r.Subjects) == 1 && r.Subjects[0].Kind != "span" {
		figures = r.Subjects[0].Figures // they say more of what they are from
	}
	if err := printFigures(e, figures); err != nil {
		return err
	}
	if len(r.Subjects) > 1 || len(r.Subjects) == 1 && r.Subjects[0].Kind != "span" {
		e.printf("\n")
		if err := printSubjects(e, r.Subjects); err != nil {
			return err
		}
	}
	e.printf("\n%s ordered something, from %s; ",
		plural(len(r.Workers)+r.More, "worker was", "workers were"),
		plural(r.Readings, "reading", "readings"))
	e.printf("%s could not be kept, %s.\n\nHow they are found:\n",
		plural(int(r.Missing), "record", "records"), plural(r.Restarts, "restart", "restarts"))
	for i := 0; i < len(figures); {
		names, method := figures[i].Name, figures[i].Method
		for i++; i < len(figures) && figures[i].Method == method; i++ {
			names += ", " + figures[i].Name
		}
		e.printf("  %s: %s\n", oneLine(names), oneLine(method))
	}
	return nil
}

func printFigures(e *env, list []audit.Figure) error {
	t := newTable(e.stdout, "FIGURE", "VALUE", "FROM")
	for _, f := range list {
		t.row(f.Name, figureText(&f), inputsText(f.Inputs))
	}
	return t.flush()
}

func printSubjects(e *env, list []audit.Subject) error {
	t := newTable(e.stdout, "WHAT", "FEEDER", "FROM", "UNTIL", "POWER", "FREED", "FREED (10 DAYS)",
		"INCOME FOREGONE", "COMPLIANCE", "OVER LIMIT")
	for i := range list {
		s := &list[i]
		cell := func(name string) string {
			for _, f := range s.Figures {
				if f.Name == name {
					return figureText(&f)
				}
			}
			return "-"
		}
		t.row(s.Kind+" "+s.Name, string(s.Feeder), clock(timestamppb.New(s.From)),
			clock(timestamppb.New(s.Until)), s.Watts.String(), cell(audit.FreedMeter), cell(audit.FreedDays),
			cell(audit.Foregone), cell(audit.Compliance), cell(audit.OverLimit))
	}
	return t.flush()
}

// figureText is a figure for people.
func figureText(f *audit.Figure) string {
	if !f.Known {
		return "cannot be told"
	}
	switch f.Unit {
	case "J":
		return unit.Joules(f.Value).String()
	case "msat":
		return income(unit.Msat(f.Value))
	case "ppm":
		return strconv.FormatFloat(float64(f.Value)/1e4, 'f', 2, 64) + " %"
	case "W":
		return strconv.FormatInt(f.Value, 10) + " W"
	}
	return strconv.FormatInt(f.Value, 10) + " " + f.Unit
}
