package storagetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/storage"
)

// oracle is what a journal holds, in the simplest form. The oldest record of a stream has Seq 1.
type oracle map[string]*oracleStream

type oracleStream struct {
	records []string
	trimmed storage.Seq
	at      storage.Seq
	state   string
}

func (o oracle) stream(name string) *oracleStream {
	if o[name] == nil {
		o[name] = &oracleStream{}
	}
	return o[name]
}

func (s *oracleStream) last() storage.Seq { return storage.Seq(len(s.records)) }

// append gives what Append must: nothing changes unless every expect holds.
func (o oracle) append(writes []storage.Write) error {
	next := map[string][]string{}
	for _, w := range writes {
		rs, ok := next[w.Stream]
		if !ok {
			rs = slices.Clone(o.stream(w.Stream).records)
		}
		if w.Expect != storage.Any && w.Expect != storage.Seq(len(rs)) {
			return storage.ErrExpect
		}
		for _, r := range w.Records {
			rs = append(rs, string(r))
		}
		next[w.Stream] = rs
	}
	for name, rs := range next {
		o[name].records = rs
	}
	return nil
}

var modelStreams = []string{"a", "b/0", "c"}

// testModel drives a journal and the oracle with the same random calls and compares all that can be seen.
func testModel(t *testing.T, p Place) {
	t.Helper()
	run := 0 // rapid runs the property many times in one place: each with its own streams
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{t: t, rt: rt, place: p, prefix: fmt.Sprintf("%d.", run), want: oracle{}}
		m.reopen()
		defer func() {
			if err := m.j.Close(); err != nil {
				rt.Fatalf("closing: %v", err)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"trim":     m.trim,
			"snapshot": m.snapshot,
			"reopen":   func(*rapid.T) { m.reopen() },
			"":         m.check,
		})
	})
}

type model struct {
	t      *testing.T
	rt     *rapid.T
	place  Place
	prefix string
	j      storage.Journal
	want   oracle
}

func (m *model) reopen() {
	if m.j != nil {
		if err := m.j.Close(); err != nil {
			m.rt.Fatalf("closing: %v", err)
		}
	}
	j, err := m.place()
	if err != nil {
		m.rt.Fatalf("opening: %v", err)
	}
	m.j = j
}

func (m *model) name(rt *rapid.T) string {
	return m.prefix + rapid.SampledFrom(modelStreams).Draw(rt, "stream")
}

func (m *model) append(rt *rapid.T) {
	writes := make([]storage.Write, rapid.IntRange(1, 3).Draw(rt, "writes"))
	for i := range writes {
		w := &writes[i]
		w.Stream = m.name(rt)
		some := storage.Seq(rapid.IntRange(0, 9).Draw(rt, "some seq"))
		last := m.want.stream(w.Stream).last()
		w.Expect = rapid.SampledFrom([]storage.Seq{storage.Any, storage.Any, last, some}).Draw(rt, "expect")
		w.Records = rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 0, 3).Draw(rt, "records")
	}
	err := m.want.append(writes)
	seq, got := m.j.Append(m.t.Context(), writes...)
	if !errors.Is(got, err) {
		rt.Fatalf("append: error is %v, want %v", got, err)
	}
	if want := m.want.stream(writes[0].Stream).last(); err == nil && seq != want {
		rt.Fatalf("append returned %d, want %d", seq, want)
	}
}

func (m *model) trim(rt *rapid.T) {
	name := m.name(rt)
	s := m.want.stream(name)
	upTo := storage.Seq(rapid.IntRange(0, len(s.records)+2).Draw(rt, "up to"))
	if err := m.j.Trim(m.t.Context(), name, upTo); err != nil {
		rt.Fatalf("trim: %v", err)
	}
	s.trimmed = max(s.trimmed, min(upTo, s.last()))
}

func (m *model) snapshot(rt *rapid.T) {
	name := m.name(rt)
	s := m.want.stream(name)
	at := storage.Seq(rapid.IntRange(0, len(s.records)+1).Draw(rt, "at"))
	state := rapid.String().Draw(rt, "state")
	err := m.j.PutSnapshot(m.t.Context(), name, at, []byte(state))
	if at == 0 || at > s.last() || at < s.at {
		if !errors.Is(err, storage.ErrInvalid) {
			rt.Fatalf("put snapshot at %d: error is %v, want %v", at, err, storage.ErrInvalid)
		}
		return
	}
	if err != nil {
		rt.Fatalf("put snapshot: %v", err)
	}
	s.at, s.state = at, state
}

// check compares everything that can be read.
func (m *model) check(rt *rapid.T) {
	for _, base := range modelStreams {
		m.checkStream(rt, m.prefix+base)
	}
	names, err := m.j.Streams(m.t.Context())
	for _, name := range slices.Sorted(maps.Keys(m.want)) {
		if slices.Contains(names, name) != (m.want[name].last() > 0) || err != nil {
			rt.Fatalf("streams are %v (%v), with %d records in %s", names, err, m.want[name].last(), name)
		}
	}
}

func (m *model) checkStream(rt *rapid.T, name string) {
	ctx := m.t.Context()
	s := m.want.stream(name)
	if last, err := m.j.Last(ctx, name); last != s.last() || err != nil {
		rt.Fatalf("last of %s is %d (%v), want %d", name, last, err, s.last())
	}
	at, state, err := m.j.Snapshot(ctx, name)
	if at != s.at || string(state) != s.state || err != nil {
		rt.Fatalf("snapshot of %s is %d %q (%v), want %d %q", name, at, state, err, s.at, s.state)
	}
	got := []string{}
	err = m.j.Replay(ctx, name, s.trimmed, func(_ storage.Seq, b []byte) error {
		got = append(got, string(b))
		return nil
	})
	want := append([]string{}, s.records[s.trimmed:]...)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		rt.Fatalf("records of %s (-want +got), %v:\n%s", name, err, diff)
	}
	if s.trimmed == 0 {
		return
	}
	err = m.j.Replay(ctx, name, s.trimmed-1, func(storage.Seq, []byte) error { return nil })
	if !errors.Is(err, storage.ErrTrimmed) {
		rt.Fatalf("replay of %s from before its trim: error is %v", name, err)
	}
}
