package device

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashlease/hashlease/pool/fleet"
)

// antNames are settings that some builds call otherwise than others, or once they were written.
var antNames = map[string]string{"freq-level": "bitmain-freq-level"}

// changes names the settings that are not the same in another reading, without what they are: pools have
// passwords. The mode is ours to change; what is new does not count.
func (c antConf) changes(after antConf) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(c)) {
		value := after[key]
		if len(value) == 0 {
			value = after[antNames[key]]
		}
		switch key {
		case "miner-mode", "bitmain-work-mode":
		case "pools":
			names = append(names, poolChanges(c[key], value)...)
		default:
			if loose(c[key]) != loose(value) {
				names = append(names, key)
			}
		}
	}
	return names
}

// poolChanges names the fields of pools that differ. Empty slots at the end are none.
func poolChanges(before, after json.RawMessage) (names []string) {
	var a, b []map[string]json.RawMessage
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
		if loose(before) == loose(after) {
			return nil
		}
		return []string{"pools"}
	}
	for n := range min(max(len(a), len(b)), fleet.MaxPools) {
		for _, field := range []string{"url", "user", "pass"} {
			if loose(slot(a, n)[field]) != loose(slot(b, n)[field]) {
				names = append(names, fmt.Sprintf("pools[%d].%s", n, field))
			}
		}
	}
	return names
}

// slot is one pool, none beyond the last.
func slot(pools []map[string]json.RawMessage, n int) map[string]json.RawMessage {
	if n < len(pools) {
		return pools[n]
	}
	return nil
}

// loose is a value as text: firmware writes 70, "70", true and "true" as it pleases, and nothing as "".
func loose(value json.RawMessage) string {
	var v any
	if len(value) == 0 || json.Unmarshal(value, &v) != nil || v == nil {
		return ""
	}
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case float64: // as it is written
		return strings.TrimSpace(string(value))
	default:
		return fmt.Sprint(v)
	}
}
