package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table prints aligned rows.
type table struct {
	out    io.Writer
	rows   [][]string
	widths []int
}

func newTable(out io.Writer, head ...string) *table {
	t := &table{out: out}
	t.row(head...)
	return t
}

func (t *table) row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = oneLine(c)
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
	}
	t.rows = append(t.rows, row)
}

// flush writes what was gathered.
func (t *table) flush() error {
	var b strings.Builder
	for _, row := range t.rows {
		pad := 0
		for i, c := range row {
			if c != "" {
				b.WriteString(strings.Repeat(" ", pad) + c)
				pad = -utf8.RuneCountInString(c)
			}
			pad += t.widths[i] + 2
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// oneLine keeps a peer's text from breaking a table or steering the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}

// clock is a time in the reader's own zone; "-" if there is none.
func clock(ts *timestamppb.Timestamp) string {
	if ts == nil {
		return "-"
	}
	return ts.AsTime().Local().Format("2006-01-02 15:04:05 MST")
}

// jsonLine writes a message as one line of JSON with the names of the .proto files. Numbers of 64
// bits are strings, as protobuf's JSON has them.
func (e *env) jsonLine(m proto.Message) error {
	text, err := jsonOf(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n", text)
	return err
}

// jsonList writes messages as one array, one line each.
func jsonList[M proto.Message](e *env, list []M) error {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, m := range list {
		text, err := jsonOf(m)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(text)
	}
	b.WriteString("\n]\n")
	_, err := e.stdout.Write(b.Bytes())
	return err
}

func jsonOf(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	// protojson varies its spaces on purpose; programs and tests want one form.
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return b.Bytes(), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
