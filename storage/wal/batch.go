package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashlease/hashlease/storage"
)

// pageSize is what batches are aligned to: a write never shares a page, and so never a sector, with
// records that are already acknowledged.
const pageSize = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The beginning of a batch; integers are little-endian:
//
//	 0  4  "hlb1"
//	 4  4  CRC-32C of all that follows, up to size
//	 8  8  salt of the segment: what an earlier use of the file left is not of this one
//	16  8  number: of the whole journal, without a gap
//	24  4  size, with this beginning and without the padding to the page
//	28  4  number of sections
const batchHead = 32

var batchMagic = [4]byte{'h', 'l', 'b', '1'}

// The beginning of a section:
//
//	0  4  CRC-32C of all that follows
//	4  4  size of all that follows these 8 bytes
//	8  1  kind
//	9  1  length of the stream's name, and the name
//
// and then by kind:
//
//	records   first seq 8, count 4, count x (length 4, bytes)
//	trim      up to 8
//	snapshot  seq 8, file 8
//	standing  last seq 8, trimmed 8, snapshot's seq 8, its file 8: as it was before this batch
const (
	sectionHead = 10
	recordsHead = 12 // after the name
	lengthSize  = 4
)

// Kinds of sections.
const (
	kindRecords  = 1
	kindTrim     = 2
	kindSnapshot = 3
	kindStanding = 4
)

// errNoBatch says that there is no whole batch of this segment.
var errNoBatch = errors.New("no whole batch")

// standing is where a stream begins and ends, and its snapshot.
type standing struct {
	last    storage.Seq
	trimmed storage.Seq
	at      storage.Seq // of the snapshot, 0 without one
	file    uint64      // of the snapshot
}

// section is one decoded section. Its slices alias the batch.
type section struct {
	offset  int // in the batch
	size    int // with its beginning
	kind    byte
	stream  []byte
	state   standing    // trim: trimmed; snapshot: at, file; standing: all
	first   storage.Seq // records
	count   int
	records []byte // length 4, bytes, ...
}

// pages is a size rounded up to whole pages.
func pages(size int) int { return (size + pageSize - 1) &^ (pageSize - 1) }

// beginBatch leaves room for a batch's beginning.
func beginBatch(dst []byte) []byte { return append(dst, make([]byte, batchHead)...) }

// endBatch writes the beginning of the batch in b and pads it to the page.
func endBatch(b []byte, salt, number uint64, sections int) []byte {
	size := len(b)
	copy(b, batchMagic[:])
	binary.LittleEndian.PutUint64(b[8:], salt)
	binary.LittleEndian.PutUint64(b[16:], number)
	binary.LittleEndian.PutUint32(b[24:], uint32(size))
	binary.LittleEndian.PutUint32(b[28:], uint32(sections))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return append(b, make([]byte, pages(size)-size)...)
}

// beginSection appends a section's beginning, which endSection completes.
func beginSection(dst []byte, kind byte, stream string) []byte {
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, kind, byte(len(stream)))
	return append(dst, stream...)
}

// endSection completes the section that began at from.
func endSection(b []byte, from int) {
	s := b[from:]
	binary.LittleEndian.PutUint32(s[4:], uint32(len(s)-8))
	binary.LittleEndian.PutUint32(s, crc32.Checksum(s[4:], castagnoli))
}

func appendRecords(dst []byte, stream string, first storage.Seq, records [][]byte) []byte {
	from := len(dst)
	dst = beginSection(dst, kindRecords, stream)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(first))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(records)))
	for _, r := range records {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r)))
		dst = append(dst, r...)
	}
	endSection(dst, from)
	return dst
}

func appendNumbers(dst []byte, kind byte, stream string, numbers ...uint64) []byte {
	from := len(dst)
	dst = beginSection(dst, kind, stream)
	for _, n := range numbers {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	endSection(dst, from)
	return dst
}

func appendStanding(dst []byte, stream string, s standing) []byte {
	return appendNumbers(dst, kindStanding, stream,
		uint64(s.last), uint64(s.trimmed), uint64(s.at), s.file)
}

// batch is a whole batch of a segment.
type batch struct {
	bytes    []byte // without the padding
	number   uint64
	sections int
}

// readBatch finds a whole batch of the segment with a salt at the beginning of b, or errNoBatch.
func readBatch(b []byte, salt uint64) (batch, error) {
	if len(b) < batchHead || [4]byte(b) != batchMagic || binary.LittleEndian.Uint64(b[8:]) != salt {
		return batch{}, errNoBatch
	}
	size := int64(binary.LittleEndian.Uint32(b[24:]))
	if size < batchHead || size > int64(len(b)) {
		return batch{}, errNoBatch
	}
	b = b[:size]
	if crc32.Checksum(b[8:], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return batch{}, errNoBatch
	}
	sections := int(binary.LittleEndian.Uint32(b[28:]))
	return batch{bytes: b, number: binary.LittleEndian.Uint64(b[16:]), sections: sections}, nil
}

// each calls fn for every section in order.
func (b batch) each(fn func(section) error) error {
	at := batchHead
	for range b.sections {
		s, err := readSection(b.bytes[at:])
		if err != nil {
			return err
		}
		s.offset = at
		at += s.size
		if err := fn(s); err != nil {
			return err
		}
	}
	if at != len(b.bytes) {
		return fmt.Errorf("%d bytes follow the last section", len(b.bytes)-at)
	}
	return nil
}

// readSection reads the section at the beginning of b.
func readSection(b []byte) (section, error) {
	if len(b) < sectionHead {
		return section{}, fmt.Errorf("section has %d bytes: %d or more are accepted", len(b), sectionHead)
	}
	size := int64(binary.LittleEndian.Uint32(b[4:])) + 8
	if size < sectionHead || size > int64(len(b)) {
		return section{}, fmt.Errorf("section says %d bytes, %d are there", size, len(b))
	}
	b = b[:size]
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return section{}, errors.New("section has a wrong checksum")
	}
	s := section{size: int(size), kind: b[8]}
	name := int(b[9])
	if sectionHead+name > len(b) {
		return section{}, fmt.Errorf("name of %d bytes is longer than its section", name)
	}
	s.stream = b[sectionHead : sectionHead+name]
	if err := storage.CheckStream(string(s.stream)); err != nil {
		return section{}, err
	}
	return s, s.readBody(b[sectionHead+name:])
}

// readBody reads what follows the name.
func (s *section) readBody(b []byte) error {
	n := map[byte]int{kindRecords: recordsHead, kindTrim: 8, kindSnapshot: 16, kindStanding: 32}[s.kind]
	if n == 0 || len(b) < n || s.kind != kindRecords && len(b) != n {
		return fmt.Errorf("section of kind %d has a body of %d bytes", s.kind, len(b))
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	switch s.kind {
	case kindTrim:
		s.state.trimmed = storage.Seq(number(0))
	case kindSnapshot:
		s.state.at, s.state.file = storage.Seq(number(0)), number(1)
	case kindStanding:
		s.state = standing{
			last: storage.Seq(number(0)), trimmed: storage.Seq(number(1)),
			at: storage.Seq(number(2)), file: number(3),
		}
	case kindRecords:
		s.first, s.count = storage.Seq(number(0)), int(binary.LittleEndian.Uint32(b[8:]))
		s.records = b[recordsHead:]
		return s.eachRecord(func(storage.Seq, []byte) error { return nil })
	}
	return nil
}

// eachRecord calls fn for every record in order.
func (s *section) eachRecord(fn func(storage.Seq, []byte) error) error {
	rest := s.records
	for i := range s.count {
		if len(rest) < lengthSize {
			return fmt.Errorf("record %d of %d is missing", i, s.count)
		}
		size := int64(binary.LittleEndian.Uint32(rest))
		if rest = rest[lengthSize:]; size > int64(len(rest)) {
			return fmt.Errorf("record %d says %d bytes, %d are there", i, size, len(rest))
		}
		if err := fn(s.first+storage.Seq(i), rest[:size:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes follow the last record", len(rest))
	}
	return nil
}
