package config

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// keyIndex knows the lines on which a dotted key is set, in order. It is for messages only: it
// looks at lines, so a key inside a multi-line string would fool it.
type keyIndex map[string]keyPlaces

type keyPlaces []keyPlace

type keyPlace struct {
	line int
	text string
}

var (
	tableLine = regexp.MustCompile(`^\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$`)
	valueLine = regexp.MustCompile(`^\s*([A-Za-z0-9_."' -]+?)\s*=`)
)

func keyLines(data []byte) keyIndex {
	index := keyIndex{}
	table := ""
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := string(raw)
		key := ""
		if m := tableLine.FindStringSubmatch(line); m != nil {
			table = bare(m[1])
			key = table
		} else if m := valueLine.FindStringSubmatch(line); m != nil {
			key = bare(m[1])
			if table != "" {
				key = table + "." + key
			}
		}
		if key != "" {
			index[key] = append(index[key], keyPlace{i + 1, line})
		}
	}
	return index
}

// bare drops quotes and spaces around the parts of a key.
func bare(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

// at is the line of the n-th setting of a key, or of the table that holds it inline.
func (x keyIndex) at(key []string, n int) string {
	for len(key) > 0 {
		if all := x[strings.Join(key, ".")]; len(all) > 0 {
			return strconv.Itoa(all[min(n, len(all)-1)].line)
		}
		key = key[:len(key)-1]
	}
	return ""
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// holding is the first line whose text holds a value that message quotes, or nothing.
func (p keyPlaces) holding(message string) string {
	for _, m := range quoted.FindAllStringSubmatch(message, -1) {
		for _, at := range p {
			if m[1] != "" && strings.Contains(at.text, m[1]) {
				return strconv.Itoa(at.line)
			}
		}
	}
	return ""
}
