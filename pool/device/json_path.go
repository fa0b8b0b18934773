package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxPath bounds a path into a JSON document, in bytes.
const maxPath = 200

// validPath says whether a path can be followed: names of members and places of lists with single dots
// between, as "data.0.watts". The empty one leads to the document itself.
func validPath(path string) bool {
	return len(path) <= maxPath && (path == "" || !strings.Contains("."+path+".", ".."))
}

// decodeJSON reads one document and keeps its numbers as they are written.
func decodeJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something comes after the JSON document")
	}
	return v, nil
}

// follow is what a path leads to in a document.
func follow(v any, path string) (any, error) {
	if path == "" {
		return v, nil
	}
	for part := range strings.SplitSeq(path, ".") {
		next, ok := child(v, part)
		if !ok {
			return nil, fmt.Errorf("there is no %q of path %q in the answer", part, path)
		}
		v = next
	}
	return v, nil
}

// numberAt is the number that a path leads to. It may be written as a string, as many do.
func numberAt(v any, path string) (float64, error) {
	v, err := follow(v, path)
	if err != nil {
		return 0, err
	}
	text := ""
	switch n := v.(type) {
	case json.Number:
		text = n.String()
	case string:
		text = strings.TrimSpace(n)
	default:
		return 0, fmt.Errorf("what is at path %q is no number", path)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%.40q at path %q is no number", text, path)
	}
	return f, nil
}

// child is a member of an object, or an element of an array: "-1" is the last.
func child(v any, part string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		next, ok := v[part]
		return next, ok
	case []any:
		i, err := strconv.Atoi(part)
		if i < 0 {
			i += len(v)
		}
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}
