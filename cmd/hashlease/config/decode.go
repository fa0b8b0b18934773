package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds a configuration file: room for a few hundred thousand workers.
const maxFile = 64 << 20

// Load reads and validates a file.
func Load(path string) (Config, error) {
	c, err := Read(path)
	if err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s:\n%w", path, err)
	}
	return c, nil
}

// Read reads a file without validating what it says.
func Read(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("opening configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("configuration %s is larger than %d MiB", path, maxFile>>20)
	}
	c, err := Decode(path, data)
	if err != nil {
		return Config{}, err
	}
	c.dir = filepath.Dir(path)
	return c, nil
}

// Decode reads a configuration over the defaults. Errors begin with name and, where it is
// known, the line. All unknown keys are reported at once.
func Decode(name string, data []byte) (Config, error) {
	c := Default()
	md, err := toml.Decode(string(data), &c)
	if err != nil {
		return Config{}, relocate(name, data, err)
	}
	unknown := md.Undecoded()
	if len(unknown) == 0 {
		return c, nil
	}
	lines := keyLines(data)
	seen := map[string]int{}
	var faults []error
	for _, key := range unknown {
		path := strings.Join(key, ".")
		if n := len(key) - 1; n > 0 && slices.ContainsFunc(unknown, func(k toml.Key) bool {
			return strings.Join(k, ".") == strings.Join(key[:n], ".")
		}) {
			continue // its table is unknown already
		}
		faults = append(faults, fmt.Errorf("%s: unknown key %q%s",
			place(name, lines.at(key, seen[path])), path, acceptedBeside(key)))
		seen[path]++
	}
	return Config{}, errors.Join(faults...)
}

// acceptedBeside says which keys the table of key has.
func acceptedBeside(key toml.Key) string {
	t := reflect.TypeFor[Config]()
	for _, part := range key[:len(key)-1] {
		f, ok := fieldNamed(t, part)
		if !ok {
			return ""
		}
		for t = f.Type; t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer; {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return ""
		}
	}
	var names []string
	for f := range t.Fields() {
		if tag := f.Tag.Get("toml"); tag != "" {
			names = append(names, tag)
		}
	}
	return ": accepted here: " + strings.Join(names, ", ")
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if strings.EqualFold(f.Tag.Get("toml"), name) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

var libraryError = regexp.MustCompile(`(?s)^toml: (?:line (\d+) ?)?(?:\(last key "(.*?)"\))?:? ?(.*)$`)

// relocate gives a decoder's error our form. The library knows only the last line of
// a key, which is wrong for all but the last table of an array.
func relocate(name string, data []byte, err error) error {
	parts := libraryError.FindStringSubmatch(err.Error())
	if parts == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	line, key, text := parts[1], parts[2], parts[3]
	text = strings.NewReplacer(
		"incompatible types: TOML value has type ", "the value is of type ",
		"; destination has type ", ", accepted is ", "int64", "integer", "float64", "number",
	).Replace(text)
	if key == "" {
		return fmt.Errorf("%s: %s", place(name, line), text)
	}
	if all := keyLines(data)[key]; len(all) > 1 {
		line = all.holding(text)
	}
	return fmt.Errorf("%s: %s: %s", place(name, line), key, text)
}

func place(name, line string) string {
	if line == "" {
		return name
	}
	return name + ":" + line
}
