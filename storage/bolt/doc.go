// Package bolt is a storage.Journal in one bbolt file.
//
// One writer goroutine takes every call that waits, runs them in one transaction with one
// flush to disk, and answers them all: while it flushes, the next ones
// gather, so that a commit grows with the load and nobody waits for a timer. A call that is refused
// (a wrong Expect) leaves nothing in the shared transaction. Readers copy a
// bounded page of records and leave the file before anything is done with
// them, because an open reader keeps old pages and can stop the writer.
//
// Every record and snapshot carries a checksum over its bytes, its Seq and its stream. bbolt panics on
// corrupt pages and a truncated file faults on access: both become storage.ErrCorrupt
// here.
//
// What the bytes mean, when to trim and when to snapshot belongs to the rooms that write them.
//
// Layout of the file:
//
//	"meta"      "format" -> "hashlease journal 1", "term" -> uint64 BE
//	"streams"   name -> bucket: uint64 BE seq -> crc32c LE | record; sequence = last seq
//	            key 0 -> crc32c LE | uint64 BE: the seq up to which records were trimmed
//	"snapshots" name -> crc32c LE | uint64 BE seq | state
//
// Lock order: none; mu and the file's own locks are never held together.
package bolt
