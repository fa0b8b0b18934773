package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// day is what a test's feeder does: 46 quiet days, then a lease of 20 kW from noon on, ordered a minute
// before.
type day struct {
	readings []Record
	claim    Record
}

const (
	price  = 4.9e-13
	stable = 1e15
)

// write notes the days in a log. Mining draws 100 kW and some noise; during the lease 75 kW.
func (d *day) write(t *testing.T, l *Log, length time.Duration) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	note := func(r Record) {
		r.Site, r.Feeder = "north", "n1"
		l.Note(r)
		if r.Kind == Reading {
			d.readings = append(d.readings, r)
		}
	}
	for at := noon.AddDate(0, 0, -46).Truncate(24 * time.Hour); at.Before(noon); at = at.Add(quarter) {
		w := unit.Watts(98_000 + rng.Int64N(4000))
		note(Record{
			At: at.Add(quarter), Kind: Interval, From: at, Until: at.Add(quarter), Mining: w, Millis: 900_000,
			Busy: at.Format(time.DateOnly) == "2026-11-20", // a Friday that does not count
		})
		flushEvery(t, l, 1000)
	}
	d.claim = Record{
		At: noon.Add(-time.Minute), Kind: Claim, Claim: "l1", Tenant: "acme", State: "set", Watts: 20_000,
		Order: noon.Add(-time.Minute), From: noon, Until: noon.Add(length),
	}
	step := time.Minute
	for at := noon.Add(-10 * time.Minute); at.Before(noon.Add(length + 5*time.Minute)); at = at.Add(step) {
		r := Record{
			At: at, Kind: Reading, Mining: unit.Watts(99_000 + rng.Int64N(2000)), Limit: 150_000,
			Bound: 120_000, Fresh: true, Price: price, Tariff: 50_000, Ordered: 100_000,
		}
		if !at.Before(d.claim.Order) && at.Before(noon.Add(length)) {
			if step > time.Second {
				note(d.claim)
				note(Record{
					At: at, Kind: Order, Worker: "a.1", State: "paused", Number: 1, Stable: stable,
					Before: 25_000,
				})
			}
			if step = time.Second; at.Equal(noon.Add(length - time.Second)) {
				note(Record{At: at, Kind: Proof, Claim: "l1", Tenant: "acme", Delivered: 4242, Gone: true})
			}
			r.Mining = unit.Watts(74_000 + rng.Int64N(2000))
			r.Watts, r.Bound, r.Ordered, r.Reduced, r.Faulty = 40_000, 76_000, 75_000, 8, 1
			r.Due, r.Done = stable*(0.9+rng.Float64()/5), stable*rng.Float64()/100
			if at.Second() == 30 {
				r.Total = 151_000
			}
		}
		note(r)
		flushEvery(t, l, 1000)
	}
	flush(t, l)
}

func flushEvery(t *testing.T, l *Log, n int) {
	t.Helper()
	if waiting, _ := l.queue.waiting(); waiting >= n {
		flush(t, l)
	}
}

// figure is a figure's value, which has to be known.
func figure(t *testing.T, list []Figure, name string) int64 {
	t.Helper()
	for _, f := range list {
		if f.Name == name && f.Known {
			return f.Value
		}
	}
	t.Errorf("%s is not known: %+v", name, list)
	return 0
}

// Ensure that the figures of a lease are what counting second by second over its readings comes to.
func TestReport_IsWhatAddingUpComesTo(t *testing.T) {
	l := open(t, t.TempDir(), func(c *Config) { c.Segment = 64 << 10 })
	var d day
	const length = 40 * time.Minute
	d.write(t, l, length)
	var file bytes.Buffer
	r, err := l.Report(t.Context(), Query{Site: "north", Claim: "l1"}, false, &file)
	if err != nil {
		t.Fatal(err)
	}
	var base, baseN, freed, mined, msat, over, within, judged, offset float64
	watts := func(at time.Time) float64 { // straight between two readings
		for i := 1; i < len(d.readings); i++ {
			if p, q := &d.readings[i-1], &d.readings[i]; !q.At.Before(at) {
				return float64(p.Mining+q.Mining) / 2
			}
		}
		return 0
	}
	for sec := range 300 {
		base += watts(d.claim.Order.Add(-time.Duration(sec) * time.Second))
		baseN++
	}
	base /= baseN
	days := 0.0 // the baseline by days: recomputed from the quarters
	for i := range d.readings {
		q := &d.readings[i]
		if !q.At.After(d.claim.Order) || q.At.After(noon.Add(length)) {
			continue
		}
		w := watts(q.At)
		freed += base - w
		mined += w
		msat += (q.Due - q.Done) * 0.5 * price
		if q.Total > q.Limit {
			over++
		}
		if q.At.After(noon) {
			judged++
			offset += float64(q.Mining - q.Ordered)
			if float64(q.Mining) <= float64(q.Bound)+750 {
				within++
			}
		}
	}
	got := r.Subjects[0].Figures
	for name, want := range map[string]float64{
		FreedMeter: freed, Mined: mined, Foregone: msat, OverLimit: over, Delivered: 4242,
		Compliance: 1e6 * within / judged, NotBought: freed / 3.6e6 * 50_000, SetpointMean: offset / judged,
	} {
		if v := figure(t, got, name); math.Abs(float64(v)-want) > 1 {
			t.Errorf("%s is %d, adding up comes to %f", name, v, want)
		}
	}
	days = bruteDays(t, l, &d, base)
	if v := figure(t, got, FreedDays); math.Abs(float64(v)-days) > 1 {
		t.Errorf("%s is %d, adding up comes to %f", FreedDays, v, days)
	}
	if len(r.Workers) != 1 || r.Workers[0].Stable != stable || r.Subjects[0].Tenant != "acme" {
		t.Errorf("workers %+v, subject %+v", r.Workers, r.Subjects[0])
	}
	res, err := Verify(bytes.NewReader(file.Bytes()), Trust{})
	if err != nil || !res.Sealed || res.Skipped == 0 || res.Report.Figures[0].Value != r.Figures[0].Value {
		t.Errorf("verified: %+v %v", res, err)
	}
}

// bruteDays is the baseline by days without any of the code that is tested: ten working days before Monday
// the 23rd without Friday the 20th are the 19th, 18th, 17th, 16th, 13th, 12th, 11th, 10th, 9th, 6th.
func bruteDays(t *testing.T, l *Log, d *day, _ float64) float64 {
	t.Helper()
	quarters := map[time.Time]float64{}
	for _, r := range all(t, l.cfg.Dir) {
		if r.Kind == Interval {
			quarters[r.From] = float64(r.Mining)
		}
	}
	mean := func(at time.Time) (sum float64) {
		for _, n := range []int{19, 18, 17, 16, 13, 12, 11, 10, 9, 6} {
			sum += quarters[at.AddDate(0, 0, n-23)]
		}
		return sum / 10
	}
	var own, usual float64
	begin := noon.Add(-4*time.Hour - quarter)
	for at := begin; at.Before(begin.Add(3 * time.Hour)); at = at.Add(quarter) {
		own += quarters[at]
		usual += mean(at)
	}
	ratio := min(max(own/usual, 0.8), 1.2)
	freed := 0.0
	for i := 1; i < len(d.readings); i++ {
		p, q := &d.readings[i-1], &d.readings[i]
		if q.At.After(d.claim.Order) && !q.At.After(d.claim.Until) {
			freed += ratio*mean(p.At.Truncate(quarter)) - float64(p.Mining+q.Mining)/2
		}
	}
	return freed
}

// Ensure that a span of the site counts energy once where claims overlap, lists what was in force, and
// that a report without records has the same figures.
func TestReport_OfASpan(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	var d day
	d.write(t, l, 20*time.Minute)
	q := Query{
		Site: "north", Zone: "Europe/Oslo",
		From: noon.Add(-8 * time.Minute), Until: noon.Add(24 * time.Minute),
	}
	var file, bare bytes.Buffer
	r, err := l.Report(t.Context(), q, false, &file)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range r.Subjects {
		kinds = append(kinds, s.Kind+" "+s.Name)
	}
	if got := strings.Join(kinds, ", "); got != "span n1, claim l1, episode 1" {
		t.Errorf("subjects %s", got)
	}
	v := figure(t, r.Figures, FreedMeter)
	if want := figure(t, r.Subjects[2].Figures, FreedMeter); v != want || v < 25_000*1100 {
		t.Errorf("freed %d, by its episode %d", v, want)
	}
	again, err := l.Report(t.Context(), q, true, &bare)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(r) || bytes.Count(bare.Bytes(), []byte("\n")) != 3 {
		t.Errorf("without records: %v, %d bytes", err, bare.Len())
	}
	if res, err := Verify(&bare, Trust{}); err != nil || !res.Bare {
		t.Errorf("without records: %+v %v", res, err)
	}
	_, err = l.Report(t.Context(), Query{Site: "south", Claim: "l1"}, true, &bare)
	if !errors.Is(err, ErrNone) {
		t.Errorf("of another site: %v", err)
	}
	for _, bad := range []Query{
		{Site: "north"},
		{Site: "north", From: noon, Until: noon},
		{From: noon, Until: noon.Add(1)},
		{Site: "north", From: noon, Until: noon.Add(1), Zone: "Local"},
		{Site: "north", From: noon, Until: noon.Add(1), Claim: "a", Limit: 1},
	} {
		if _, err := l.Report(t.Context(), bad, true, &bare); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// Ensure that what branches' meters showed is in a bundle, under its seal, and changes no figure.
func TestReport_BringsBranchesAlong(t *testing.T) {
	var reports [2]Report
	for i := range reports {
		l := open(t, t.TempDir(), nil)
		for k := range 6 {
			r := reading(k)
			l.Note(r)
			r.Kind, r.Branch, r.Feeder, r.Mining, r.Warn = OnBranch, "grid", "", 2*r.Mining, true
			if i == 1 {
				l.Note(r)
			}
		}
		var file bytes.Buffer
		q := Query{Site: "north", From: noon, Until: noon.Add(10 * time.Second)}
		r, err := l.Report(t.Context(), q, false, &file)
		if err != nil {
			t.Fatal(err)
		}
		reports[i] = r
		n := bytes.Count(file.Bytes(), []byte(`"kind":"branch","site":"north","branch":"grid"`))
		if _, err := Verify(bytes.NewReader(file.Bytes()), Trust{}); err != nil || n != 6*i {
			t.Errorf("%d records of branches, verified: %v", n, err)
		}
		bad := bytes.Replace(file.Bytes(), []byte(`"branch":"grid"`), []byte(`"branch":"gris"`), 1)
		if _, err := Verify(bytes.NewReader(bad), Trust{}); i == 1 && err == nil {
			t.Error("a changed record of a branch verifies")
		}
	}
	if a, b := fmt.Sprint(reports[0]), fmt.Sprint(reports[1]); a != b {
		t.Errorf("without branches:\n%s\nwith them:\n%s", a, b)
	}
}

// small is a bundle of a few records.
func small(t *testing.T) []byte {
	t.Helper()
	l := open(t, t.TempDir(), nil)
	for i := range 6 {
		l.Note(reading(i))
	}
	var file bytes.Buffer
	q := Query{Site: "north", From: noon, Until: noon.Add(10 * time.Second)}
	if _, err := l.Report(t.Context(), q, false, &file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// Ensure that no byte of a bundle can be another without being found, and that the record is named.
func TestVerify_FindsEveryByteThatWasChanged(t *testing.T) {
	file := small(t)
	key, err := Verify(bytes.NewReader(file), Trust{})
	if err != nil {
		t.Fatal(err)
	}
	line, at := 1, 0 // the line of a byte, and where it begins
	for i := range file {
		for _, bit := range []byte{1, 0x20} {
			bad := bytes.Clone(file)
			bad[i] ^= bit
			_, err := Verify(bytes.NewReader(bad), Trust{Key: key.Key})
			var f *Fault
			if !errors.As(err, &f) {
				t.Fatalf("byte %d (line %d, %d) is %q and nobody sees it: %v", i, line, i-at, bad[i], err)
			}
			near := f.Seq == uint64(line-1) || f.Seq == uint64(line)
			if line >= 2 && line <= 9 && !near {
				t.Errorf("line %d is changed and %v is said", line, f)
			}
		}
		if file[i] == '\n' {
			line, at = line+1, i+1
		}
	}
}

// Ensure that records that were dropped, moved or cut off are found, and which.
func TestVerify_FindsWhatIsMissingOrMoved(t *testing.T) {
	lines := strings.SplitAfter(string(small(t)), "\n")
	lines = lines[:len(lines)-1]
	join := func(parts ...[]string) string {
		all := ""
		for _, p := range parts {
			all += strings.Join(p, "")
		}
		return all
	}
	n := len(lines)
	for _, c := range []struct {
		name, file, want string
	}{
		{"record 4 dropped", join(lines[:4], lines[5:]), "record 4 (line 5): record 5 is in its place"},
		{
			"two swapped", join(lines[:3], lines[4:5], lines[3:4], lines[5:]),
			"record 3 (line 4): record 4 is in",
		},
		{"one twice", join(lines[:4], lines[3:]), "record 4 (line 5): record 3 is in its place"},
		{"the end cut off", join(lines[:6]), "record 6 (line 6): the file ends without its seal"},
		{"cut in a line", join(lines[:5], []string{lines[5][:40]}), "ends within this line"},
		{"the last dropped", join(lines[:n-3], lines[n-2:]), "the figures are not what the records come to"},
		{"no report", join(lines[:n-2], lines[n-1:]), "neither a record"},
		{"something added", join(lines, []string{"x\n"}), "something follows the seal"},
		{"the head gone", join(lines[1:]), "line 1: the first line is not the head"},
		{"empty", "", "the file is empty"},
	} {
		_, err := Verify(strings.NewReader(c.file), Trust{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	whole := join(lines)
	if _, err := Verify(strings.NewReader(whole), Trust{Key: strings.Repeat("0", 64)}); err == nil {
		t.Error("another key's seal is accepted")
	}
	if _, err := Verify(strings.NewReader(whole), Trust{Head: strings.Repeat("0", 64)}); err == nil {
		t.Error("a head that is not there is accepted")
	}
}

// Ensure that a file of the log itself can be checked, if its end may be open.
func TestVerify_TakesAFileOfTheLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	l.Note(reading(1))
	flush(t, l)
	b, err := os.ReadFile(filepath.Join(dir, l.newest().name()))
	if err != nil {
		t.Fatal(err)
	}
	res, err := Verify(bytes.NewReader(b), Trust{Open: true, Head: l.Head().Hash.String()})
	if err != nil || res.Last != 3 || res.Sealed {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := Verify(bytes.NewReader(b), Trust{}); err == nil {
		t.Error("it is taken for a bundle")
	}
}

// Ensure that no file makes the check panic or take long.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"audit":1,"first":1,"prev":"` + strings.Repeat("0", 64) + `"}` + "\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = Verify(bytes.NewReader(b), Trust{Open: true})
		_, _ = Verify(bytes.NewReader(b), Trust{})
	})
}

// Ensure that the time in which machines are on their way is not laid to those who have their power already:
// the watts of a claim are asked of mining from when they have to be free, at its start, or a notice after it
// was set.
func TestReport_JudgesFromWhenPowerHasToBeFree(t *testing.T) {
	for name, claim := range map[string]Record{
		"ordered ahead": {Order: noon.Add(20 * time.Second), From: noon.Add(50 * time.Second)},
		"at once":       {From: noon.Add(20 * time.Second), Millis: 30_000},
	} {
		l := open(t, t.TempDir(), nil)
		note := func(r Record) {
			r.Site, r.Feeder = "north", "n1"
			l.Note(r)
		}
		note(Record{
			At: noon, Kind: Claim, Claim: "first", State: "set", Watts: 10_000,
			From: noon, Until: noon.Add(time.Hour),
		})
		claim.At, claim.Kind, claim.Claim, claim.State = noon.Add(time.Second), Claim, "second", "set"
		claim.Watts, claim.Until = 20_000, noon.Add(10*time.Minute)
		note(claim)
		const late = 70 // second at which mining has yielded to the second claim: 20 s late
		for sec := range 120 {
			r := Record{
				At: noon.Add(time.Duration(sec) * time.Second), Kind: Reading, Mining: 90_000, Limit: 100_000,
				Bound: 90_000, Fresh: true, Watts: 10_000,
			}
			if sec >= 20 {
				r.Bound, r.Watts = 70_000, 30_000
			}
			if sec >= late {
				r.Mining = 70_000
			}
			note(r)
		}
		flush(t, l)
		ppm := func(q Query) int64 {
			q.Site = "north"
			r, err := l.Report(t.Context(), q, true, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			return figure(t, r.Figures, Compliance)
		}
		if got := ppm(Query{Claim: "first"}); got != 831_933 { // 99 of 119 s
			t.Errorf("%s: the first claim's is %d", name, got)
		}
		if got := ppm(Query{Claim: "second"}); got < 705_000 || got > 725_000 { // 49 of 69 s
			t.Errorf("%s: the second claim's is %d", name, got)
		}
		if got := ppm(Query{From: noon, Until: noon.Add(2 * time.Minute)}); got != 831_933 {
			t.Errorf("%s: the whole's is %d", name, got)
		}
	}
}

// Ensure that an episode which goes on ends where the readings do, and that nothing is told of a window
// without any.
func TestReport_SaysHowFarItIsKnown(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	for sec := range 30 {
		l.Note(Record{
			At: noon.Add(time.Duration(sec) * time.Second), Kind: Reading, Site: "north", Feeder: "n1",
			Mining: 9000, Limit: 10_000, Bound: 9500, Fresh: true, Reduced: 1, Watts: 500,
		})
	}
	l.Note(Record{
		At: noon, Kind: LimitSet, Site: "north", Feeder: "n1", Number: 3, State: "set", Watts: 5000,
		Order: noon.Add(40 * time.Second), From: noon.Add(time.Minute), Until: noon.Add(time.Hour),
	})
	flush(t, l)
	r, err := l.Report(t.Context(), Query{
		Site: "north", From: noon, Until: noon.AddDate(0, 0, 7),
	}, true, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range r.Subjects {
		if s.Kind == "episode" {
			found = s.Until.Equal(noon.Add(29 * time.Second))
		}
	}
	if !found {
		t.Errorf("%+v", r.Subjects)
	}
	if r, err = l.Report(t.Context(), Query{Site: "north", Limit: 3}, true, io.Discard); err != nil {
		t.Fatal(err)
	}
	if s := r.Subjects[0]; !s.Begin.Equal(noon.Add(40*time.Second)) || !s.From.Equal(noon.Add(time.Minute)) {
		t.Errorf("ordered from %v for %v", s.Begin, s.From)
	}
	for _, f := range r.Figures {
		if (f.Name == Foregone || f.Name == HashesLost) && f.Known {
			t.Errorf("%+v is known", f)
		}
	}
}

// Ensure that a bundle of a program whose rules came to other figures verifies, shown by the rules of this
// one with the figures named that differ, and that one which only says so does not.
func TestVerify_TakesFiguresByOtherRules(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	for i := range 6 {
		l.Note(reading(i))
	}
	var file bytes.Buffer
	q := Query{Site: "north", From: noon, Until: noon.Add(10 * time.Second)}
	if _, err := l.Report(t.Context(), q, false, &file); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(file.String(), "\n")
	lines = lines[:len(lines)-1]
	at := len(lines) - 2
	lines[at] = strings.Replace(lines[at], `"rules":2`, `"rules":1`, 1)
	lines[at] = strings.Replace(lines[at], `"energy_mining","known":true,"value":`,
		`"energy_mining","known":true,"value":7`, 1)
	unsealed := strings.Join(lines[:at+1], "")
	if _, err := Verify(strings.NewReader(unsealed+lines[at+1]), Trust{}); err == nil {
		t.Error("a report that somebody else has changed is believed")
	}
	head := l.Head()
	s := seal{Head: head.Hash.String(), Seq: head.Seq, Key: fmt.Sprintf("%x", l.key.Public())}
	sum := sha256.Sum256([]byte(unsealed))
	s.Signature = hex.EncodeToString(ed25519.Sign(l.key, s.message(sum[:])))
	res, err := Verify(strings.NewReader(unsealed+string(appendJSON(nil, s))), Trust{})
	if err != nil || !res.Other || res.Rules != 1 || !slices.Equal(res.Differs, []string{Mined}) {
		t.Fatalf("%+v %v", res, err)
	}
	if got := figure(t, res.Report.Figures, Mined); got != 5000 {
		t.Errorf("%d J are shown", got)
	}
}
