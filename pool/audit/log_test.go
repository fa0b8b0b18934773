package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// open opens a log in dir that is closed without a word, as by a kill, at the end of the test.
func open(t *testing.T, dir string, change func(*Config)) *Log {
	t.Helper()
	cfg := DefaultConfig(dir)
	cfg.Version = "test"
	if change != nil {
		change(&cfg)
	}
	l, err := Open(cfg, noon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.file.Close() })
	return l
}

func flush(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

// all reads every record of a directory and checks that the segments are one chain.
func all(t *testing.T, dir string) []Record {
	t.Helper()
	list, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []Record
	var last Hash
	var seq uint64
	for i := range list {
		b, err := os.ReadFile(filepath.Join(dir, list[i].name()))
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
			if n == 0 {
				h, prev, err := readHead([]byte(line))
				if err != nil || len(out) > 0 && (prev != last || h.First != seq+1) {
					t.Fatalf("%s begins with %s after %d: %v", list[i].name(), line, seq, err)
				}
				last, seq = prev, h.First-1
				continue
			}
			h, record, err := splitLine([]byte(line))
			if err != nil || next(last, record) != h {
				t.Fatalf("%s line %d: %v %s", list[i].name(), n+1, err, line)
			}
			r, err := ParseRecord(record)
			if err != nil || r.Seq != seq+1 {
				t.Fatalf("record %d after %d: %v", r.Seq, seq, err)
			}
			last, seq = h, r.Seq
			out = append(out, r)
		}
	}
	return out
}

func reading(i int) Record {
	return Record{
		At: noon.Add(time.Duration(i) * time.Second), Kind: Reading, Site: "north", Feeder: "n1",
		Mining: 1000, Text: fmt.Sprint(i), Fresh: true,
	}
}

// Ensure that what was noted is there after a kill and a start, as one chain, and that the log says so.
func TestLog_GoesOnAfterAKill(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	l.Note(reading(1))
	flush(t, l)
	l.Note(reading(2)) // never written
	again := open(t, dir, nil)
	again.Note(reading(3))
	if err := again.Close(noon); err != nil {
		t.Fatal(err)
	}
	third := open(t, dir, nil)
	flush(t, third)
	var said []string
	for _, r := range all(t, dir) {
		said = append(said, string(r.Kind)+" "+r.Text)
	}
	got := strings.Join(said, "\n")
	for _, want := range []string{
		"reading 1\nstarted version test; the log before it was not closed",
		"reading 3\nstopped \nstarted version test\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log is\n%s\nwithout %q", got, want)
		}
	}
	if h := third.Head(); h.Seq != uint64(len(said)) {
		t.Errorf("head is %d of %d", h.Seq, len(said))
	}
}

// Ensure that whatever a crash leaves of a log, it opens, every record that was whole before the cut is
// there, and what was cut is counted.
func TestLog_CutsATornEnd(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	for i := range 5 {
		l.Note(reading(i))
	}
	flush(t, l)
	path := filepath.Join(dir, l.newest().name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]uint64{} // bytes of a whole file: its last record
	for i, n := 0, uint64(0); i < len(whole); i++ {
		if whole[i] == '\n' {
			ends[i+1] = n
			n++
		}
	}
	last := uint64(0)
	for size := strings.IndexByte(string(whole), '\n') + 1; size <= len(whole); size++ {
		if _, exact := ends[size]; !exact && size%9 != 0 {
			continue
		}
		if n, ok := ends[size]; ok {
			last = n
		}
		for _, rest := range []string{"", "\x00\x00\x00\x00"} {
			if err := os.WriteFile(path, []byte(string(whole[:size])+rest), 0o600); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir, nil)
			flush(t, again)
			rs := all(t, dir)
			r := rs[last]
			if r.Kind != Started || uint64(len(rs)) < last+1 {
				t.Fatalf("cut at %d: record %d is %+v", size, last+1, r)
			}
			_, exact := ends[size]
			if torn := r.Missing > 0; torn == (exact && rest == "") {
				t.Fatalf("cut at %d with %q: %d bytes are missing: %s", size, rest, r.Missing, r.Text)
			}
			_ = again.file.Close()
		}
	}
}

// Ensure that damage in the middle of the newest file, which no crash makes, destroys nothing: what
// follows it is set aside, and the log goes on and says so.
func TestLog_SetsAsideWhatIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	for i := range 5 {
		l.Note(reading(i))
	}
	flush(t, l)
	path := filepath.Join(dir, l.newest().name())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), `"text":"2"`)
	b[at+8] = '9'
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	flush(t, open(t, dir, nil))
	rs := all(t, dir)
	if r := rs[4]; r.Kind != Started || !strings.Contains(r.Text, "set aside") || !r.Warn {
		t.Errorf("record 5 is %+v", r)
	}
	aside, err := os.ReadFile(path + ".after-4")
	if err != nil || !strings.Contains(string(aside), `"text":"9"`) {
		t.Errorf("set aside: %q %v", aside, err)
	}
}

// Ensure that too many records neither block nor vanish: they are counted by kind, in the chain.
func TestLog_CountsWhatItCannotKeep(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(c *Config) { c.Queue = 10 })
	flush(t, l)
	for i := range 25 {
		l.Note(reading(i))
	}
	l.Note(Record{At: noon, Kind: Order})
	flush(t, l)
	rs := all(t, dir)
	gap := rs[len(rs)-1]
	if gap.Kind != Gap || gap.Missing != 16 || !strings.Contains(gap.Text, "order 1, reading 15") {
		t.Errorf("the last record is %+v", gap)
	}
	if n := l.Stats().Missing; n != 16 {
		t.Errorf("%d are said to be missing", n)
	}
}

// Ensure that a disk that cannot be written loses nothing while there is room, is said once the room is
// used up, and that writing goes on where it stopped.
func TestLog_OutlivesADiskThatFails(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(c *Config) { c.Queue = 10 })
	flush(t, l)
	good := l.file
	readOnly, err := os.Open(good.Name())
	if err != nil {
		t.Fatal(err)
	}
	l.file = readOnly
	for i := range 5 {
		l.Note(reading(i))
	}
	for range 3 {
		if err := l.Flush(); err == nil {
			t.Fatal("writing works although it cannot")
		}
	}
	for i := range 12 {
		l.Note(reading(5 + i))
	}
	_ = l.Flush()
	l.file = good
	flush(t, l)
	rs := all(t, dir)
	if len(rs) != 2+5+10+1 {
		t.Fatalf("%d records", len(rs))
	}
	gap := rs[len(rs)-1]
	if gap.Kind != Gap || gap.Missing != 2 || !strings.Contains(gap.Text, "disk") {
		t.Errorf("the last record is %+v", gap)
	}
	if n := l.Stats().Failures; n != 4 {
		t.Errorf("%d failures are counted", n)
	}
}

// Ensure that each month has files of its own, that old ones are removed, and that what is left is one
// chain which says up to where it was removed.
func TestLog_RemovesOldMonths(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(c *Config) { c.Keep, c.Segment = 2, 4<<10 })
	for m := range 6 {
		for i := range 20 {
			r := reading(i)
			r.At = r.At.AddDate(0, m, 0)
			l.Note(r)
		}
		flush(t, l)
	}
	list, err := listSegments(dir)
	if err != nil || list[0].month != "2027-02" || len(list) < 4 {
		t.Fatalf("%v %v", list, err)
	}
	rs := all(t, dir)
	var removed *Record
	for i := range rs {
		if rs[i].Kind == Removed {
			removed = &rs[i]
		}
	}
	if removed == nil || removed.Number != rs[0].Seq-1 {
		t.Fatalf("removed %+v, the rest begins with %d", removed, rs[0].Seq)
	}
	prev, err := l.prevOf(&list[0])
	if err != nil || removed.Head != prev.String() {
		t.Errorf("removed up to %s, the rest begins after %v (%v)", removed.Head, prev, err)
	}
	open(t, dir, nil)
}

// Ensure that noting allocates nothing once the queue has its room, and that texts are written as JSON.
func TestLog_NotesWithoutAllocating(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	r := reading(1)
	for range 2 * keepBuffer {
		l.Note(r)
	}
	l.queue.take(nil)
	l.queue.records = make([]Record, 0, keepBuffer)
	if n := testing.AllocsPerRun(1000, func() { l.Note(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ensure that a record reads back as it was written, whatever its texts are.
func FuzzRecord(f *testing.F) {
	f.Add("stuck: \"x\"\\ \n\x00\xff é", int64(-5), 1.5e21, true)
	f.Fuzz(func(t *testing.T, text string, watts int64, due float64, flag bool) {
		r := Record{
			Seq: 7, At: noon, Kind: Event, Text: text, Watts: 5, Said: 6, Due: due, Warn: flag, From: noon,
		}
		r.Mining = r.Mining + 0
		r.Delivered = 9
		r.Offset = watts
		b := r.Append(nil)
		got, err := ParseRecord(b)
		if err != nil || len(b) > MaxRecord {
			t.Fatalf("%d bytes %s: %v", len(b), b, err)
		}
		if again := got.Append(nil); string(again) != string(b) && len(text) <= maxText {
			t.Fatalf("%s reads back as %s", b, again)
		}
		if g, err := look(b); err != nil || g.seq != 7 || !g.at.Equal(noon) || g.kind != Event {
			t.Fatalf("%+v %v", g, err)
		}
	})
}
