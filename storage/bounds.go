package storage

import "fmt"

// Bounds that every implementation enforces before it allocates or writes.
const (
	MaxRecord   = 4 << 20   // bytes of one record
	MaxAppend   = 64 << 20  // bytes of all records of one Append
	MaxSnapshot = 256 << 20 // bytes of one snapshot
	MaxStream   = 64        // bytes of a stream's name: a-z 0-9 - _ . / are accepted
)

// CheckStream returns ErrInvalid, with what is accepted, unless name can name a stream.
func CheckStream(name string) error {
	if name == "" || len(name) > MaxStream {
		return fmt.Errorf("%w: stream name has %d bytes: 1 to %d are accepted",
			ErrInvalid, len(name), MaxStream)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '/':
		default:
			return fmt.Errorf("%w: stream name byte %d is %q: a-z 0-9 - _ . / are accepted", ErrInvalid, i, c)
		}
	}
	return nil
}

// CheckWrites returns ErrInvalid unless the writes of one Append are within the
// bounds, and the number of bytes in their records.
func CheckWrites(writes []Write) (size int, err error) {
	if len(writes) == 0 {
		return 0, fmt.Errorf("%w: no writes: at least one is accepted", ErrInvalid)
	}
	for i := range writes {
		if err := CheckStream(writes[i].Stream); err != nil {
			return 0, err
		}
		for _, r := range writes[i].Records {
			if len(r) > MaxRecord {
				return 0, fmt.Errorf("%w: record for stream %s has %d bytes: up to %d are accepted",
					ErrInvalid, writes[i].Stream, len(r), MaxRecord)
			}
			size += len(r)
		}
	}
	if size > MaxAppend {
		return 0, fmt.Errorf("%w: records have %d bytes: up to %d are accepted", ErrInvalid, size, MaxAppend)
	}
	return size, nil
}

// CheckSnapshot returns ErrInvalid unless a snapshot of a stream that ends at last, and whose
// present snapshot is at old, may be put at at.
func CheckSnapshot(at, old, last Seq, size int) error {
	switch {
	case size > MaxSnapshot:
		return fmt.Errorf("%w: snapshot has %d bytes: up to %d are accepted", ErrInvalid, size, MaxSnapshot)
	case at == 0 || at > last:
		return fmt.Errorf("%w: snapshot at %d: 1 to the last seq %d is accepted", ErrInvalid, at, last)
	case at < old:
		return fmt.Errorf("%w: snapshot at %d is older than the present one at %d", ErrInvalid, at, old)
	}
	return nil
}
