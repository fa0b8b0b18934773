package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrNone says that the log has no records of what was asked for.
var ErrNone = errors.New("the log has no such records")

// What a bundle has besides the records of its window.
const (
	lead    = before + time.Minute              // before the window: the baseline's minutes
	history = (searchDays + 1) * 24 * time.Hour // before that: quarters of an hour, claims and limits
)

// skip is a line in place of records that are left out: the chain goes on from hash.
type skip struct {
	Skip uint64 `json:"skip"` // the last of them
	Hash string `json:"hash"` // its hash
}

// reportLine carries what the records come to.
type reportLine struct {
	Report Report `json:"report"`
}

// seal is the last line of a bundle: its newest record, and a signature over all lines before.
type seal struct {
	Head      string `json:"head"`
	Seq       uint64 `json:"seq"`
	Key       string `json:"key"`
	Signature string `json:"signature"`
}

// message is what is signed.
func (s *seal) message(lines []byte) []byte {
	return fmt.Appendf(nil, "hashlease audit 1\n%x\n%d\n%s\n", lines, s.Seq, s.Head)
}

// bundle writes lines and keeps the sum of them.
type bundle struct {
	w     io.Writer
	sum   hash.Hash
	buf   []byte
	q     Query
	bare  bool // without records
	begun bool
	last  Head
}

func (b *bundle) send(line []byte) error {
	b.sum.Write(line)
	_, err := b.w.Write(line)
	return err
}

// record writes a record with what leads to it.
func (b *bundle) record(line []byte, g glance, prev, h Hash) error {
	b.buf = b.buf[:0]
	if !b.begun {
		b.begun = true
		b.buf = appendHead(b.buf, g.seq, prev, &b.q)
	} else if !b.bare && g.seq != b.last.Seq+1 {
		b.buf = appendJSON(b.buf, skip{g.seq - 1, prev.String()})
	}
	b.last = Head{g.seq, h}
	if !b.bare {
		b.buf = append(append(b.buf, line...), '\n')
	}
	return b.send(b.buf)
}

// Report works out what a query comes to and writes it to w, signed, after the records that it is from,
// unless bare. A query for a claim or a limit without a window gets the one that the log has. Others wait
// meanwhile.
func (l *Log) Report(ctx context.Context, q Query, bare bool, w io.Writer) (Report, error) {
	select {
	case l.reads <- struct{}{}:
		defer func() { <-l.reads }()
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	from, err := l.prepare(ctx, &q)
	if err != nil {
		return Report{}, err
	}
	b := &bundle{w: w, sum: sha256.New(), q: q, bare: bare}
	f := newFold(q)
	err = l.scan(ctx, from, q.Until, func(line, record []byte, g glance, prev, h Hash) error {
		sparse := g.kind == Interval || g.kind == Claim || g.kind == LimitSet
		if g.at.Before(q.From.Add(-lead)) && !sparse {
			return nil
		}
		r, err := ParseRecord(record)
		if err != nil {
			return fmt.Errorf("record %d: %w", g.seq, err)
		}
		f.add(&r)
		return b.record(line, g, prev, h)
	})
	if err == nil && !b.begun {
		err = fmt.Errorf("%w between %s and %s", ErrNone,
			q.From.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	if err != nil {
		return Report{}, err
	}
	report := f.done()
	return report, b.finish(report, l.key)
}

// prepare fills in a query's window and says from when on records are needed.
func (l *Log) prepare(ctx context.Context, q *Query) (from time.Time, err error) {
	if err := l.Flush(); err != nil {
		return from, fmt.Errorf("making the newest records durable: %w", err)
	}
	var set time.Time
	if q.From.IsZero() {
		if set, err = l.window(ctx, q); err != nil {
			return from, err
		}
	}
	q.From, q.Until = q.From.UTC(), q.Until.UTC()
	if from = q.From.Add(-history); !set.IsZero() && set.Before(from) {
		from = set
	}
	return from, q.Validate()
}

// finish writes the report and the seal.
func (b *bundle) finish(r Report, key ed25519.PrivateKey) error {
	if err := b.send(appendJSON(nil, reportLine{r})); err != nil {
		return err
	}
	s := seal{Head: b.last.Hash.String(), Seq: b.last.Seq}
	s.Key = fmt.Sprintf("%x", key.Public())
	s.Signature = hex.EncodeToString(ed25519.Sign(key, s.message(b.sum.Sum(nil))))
	return b.send(appendJSON(nil, s))
}

// window finds when a claim or a limit was in force, by its newest records, and when it was first set.
func (l *Log) window(ctx context.Context, q *Query) (set time.Time, err error) {
	if q.Claim == "" && q.Limit == 0 {
		return set, errors.New("from and until are missing")
	}
	segments := l.snapshot()
	for i := len(segments) - 1; i >= 0; i-- {
		err := l.scanSegment(ctx, &segments[i], func(_, record []byte, g glance, _, _ Hash) error {
			if g.kind != Claim && g.kind != LimitSet {
				return nil
			}
			r, err := ParseRecord(record)
			if err != nil || !q.names(&r) {
				return err
			}
			q.widen(&r)
			if set.IsZero() || r.At.Before(set) {
				set = r.At
			}
			return nil
		})
		if err != nil {
			return set, err
		}
		if !set.IsZero() && q.From.After(segmentBegin(&segments[i]).Add(time.Hour)) {
			break // what is older is about others
		}
	}
	if set.IsZero() {
		return set, fmt.Errorf("%w: nothing of that name was in force at site %q", ErrNone, q.Site)
	}
	return set, nil
}

// names says whether the record is of the claim or the limit that is asked about.
func (q *Query) names(r *Record) bool {
	claim := r.Kind == Claim && q.Claim != "" && q.about(r.Claim)
	limit := r.Kind == LimitSet && q.Limit != 0 && r.Number == q.Limit
	return r.Site == q.Site && (claim || limit)
}

func segmentBegin(s *segment) time.Time {
	t, _ := time.Parse(monthForm, s.month) // it was parsed when it was found
	return t
}

// windowAfter is how long after its end a claim's records go on: the proof that its tenant is off.
const windowAfter = 2 * time.Minute

// widen makes the query's window hold a claim or a limit.
func (q *Query) widen(r *Record) {
	begin := r.From
	if !r.Order.IsZero() && r.Order.Before(begin) {
		begin = r.Order
	}
	if q.From.IsZero() || begin.Before(q.From) {
		q.From = begin
	}
	if end := r.Until.Add(windowAfter); end.After(q.Until) {
		q.Until = end
	}
}

// snapshot are the segments with what is durable of them now.
func (l *Log) snapshot() []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]segment(nil), l.segments...)
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// late is how much older a record may be than one before it: several clocks' words meet in the log.
const late = time.Minute

type visit func(line, record []byte, g glance, prev, h Hash) error

// scan visits the records from one instant to another, in order.
func (l *Log) scan(ctx context.Context, from, until time.Time, fn visit) error {
	segments := l.snapshot()
	begin := 0
	for begin+1 < len(segments) && segments[begin+1].month < from.UTC().Format(monthForm) {
		begin++
	}
	for i := begin; i < len(segments); i++ {
		err := l.scanSegment(ctx, &segments[i], func(line, record []byte, g glance, prev, h Hash) error {
			switch {
			case g.at.Before(from):
				return nil
			case !g.at.Before(until.Add(late)):
				return errEnough
			}
			return fn(line, record, g, prev, h)
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanSegment visits the records of one segment. What is not as it was written is an error with its place.
func (l *Log) scanSegment(ctx context.Context, s *segment, fn visit) error {
	path := filepath.Join(l.cfg.Dir, s.name())
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	r := newLines(io.LimitReader(file, s.size))
	var prev Hash
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && r.line == 1 {
			_, prev, err = readHead(line)
			if err == nil {
				continue
			}
		}
		if err == nil && r.line%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading %s, line %d: %w", path, r.line, err)
		}
		h, record, err := splitLine(line)
		if err == nil {
			var g glance
			if g, err = look(record); err == nil {
				err = fn(line, record, g, prev, h)
			}
		}
		if err != nil {
			return fmt.Errorf("reading %s, line %d: %w", path, r.line, err)
		}
		prev = h
	}
}
