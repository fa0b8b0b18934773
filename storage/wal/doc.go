// Package wal is a storage.Journal in append-only files: one flush to disk a commit, and nothing else.
//
// It is for streams that are written all the time and trimmed soon after, as the shares are. A commit is
// one batch: the calls that wait, encoded into whole pages behind the batch before it, one write and one
// fdatasync. The file was filled with zeros before, so that neither its size nor its map of blocks changes
// and the file system has nothing of its own to flush. The first caller that finds nobody writing
// writes for all that wait; there is no writer goroutine to wake and no timer. While it flushes, the next
// calls gather.
//
// Files in the journal's directory:
//
//	lock                   held (flock) by the process that has the journal open
//	0000000000000007.seg   a segment; the ids have no gap
//	0000000000000003.snap  a snapshot, named by the log
//	next                   a segment in the making; of no meaning to the next process
//
// A segment begins with a page of its own (see header), then batches, each at the beginning of a page,
// so that no write touches a page with anything that was acknowledged. The first batch of a segment
// says where every stream stands; so the segments before it can go when their records are trimmed.
// They are used again under a new name and a new salt, which saves filling new ones. The segment after
// the present one is made ready ahead by a goroutine.
//
// What a crash leaves: a batch that is not whole, with none behind it, was never acknowledged and is
// cut off. A batch that is not whole with a whole one behind it was flushed once, so the disk lost it:
// that is storage.ErrCorrupt with the file and the offset. A journal that was closed ends with an
// empty batch, so that this holds for its last records too.
//
// What the bytes mean, when to trim and when to snapshot belongs to the rooms that write them.
//
// Lock order: ready before mu. No I/O is done under mu.
package wal
