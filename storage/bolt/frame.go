package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashlease/hashlease/storage"
)

const sumSize = 4 // bytes of the checksum before every value

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// key is a Seq as bbolt sorts it.
func key(s storage.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }

// checksum covers where a value belongs as well as its bytes, so that an intact
// record in a wrong place is noticed.
func checksum(stream string, at storage.Seq, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, value)
	var k [8]byte
	binary.BigEndian.PutUint64(k[:], uint64(at))
	sum = crc32.Update(sum, castagnoli, k[:])
	return crc32.Update(sum, castagnoli, []byte(stream))
}

// appendFrame appends a value with its checksum.
func appendFrame(dst []byte, stream string, at storage.Seq, value []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, checksum(stream, at, value))
	return append(dst, value...)
}

// unframe returns the value in a frame. It aliases b.
func unframe(b []byte, stream string, at storage.Seq) ([]byte, error) {
	if len(b) < sumSize || binary.LittleEndian.Uint32(b) != checksum(stream, at, b[sumSize:]) {
		return nil, fmt.Errorf("%w: checksum of record %d of %s is wrong", storage.ErrCorrupt, at, stream)
	}
	return b[sumSize:], nil
}
