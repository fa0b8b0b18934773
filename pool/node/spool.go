package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

const (
	spoolSuffix = ".block"
	spoolNew    = ".new-" // prefix of a file that is being written
	spoolBad    = ".bad"  // suffix of a file that could not be read
	maxBlock    = 4_000_000
	maxSpooled  = maxBlock + 4096 // bytes of a spool file
)

// spool keeps found blocks on disk until their outcome is known: one file a block.
//
//	JSON line: height, worker, value, size | block, size bytes
type spool struct{ dir string }

// spoolHead is the first line of a spool file.
type spoolHead struct {
	Height int32         `json:"height"`
	Worker pool.WorkerID `json:"worker"`
	Value  int64         `json:"value"`
	Size   int           `json:"size"`
}

func openSpool(dir string) (*spool, error) {
	if dir == "" {
		return nil, errors.New("block spool: a directory is needed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the block spool: %w", err)
	}
	return &spool{dir}, nil
}

func (s *spool) path(hash chainhash.Hash) string {
	return filepath.Join(s.dir, hash.String()+spoolSuffix)
}

// put makes the block durable. The file has its name only when it is complete.
func (s *spool) put(b *pool.Block) error {
	head, err := json.Marshal(spoolHead{b.Height, b.Worker, b.Value, len(b.Raw)})
	if err != nil {
		return fmt.Errorf("spooling block %v: %w", b.Hash, err)
	}
	f, err := os.CreateTemp(s.dir, spoolNew)
	if err != nil {
		return fmt.Errorf("spooling block %v: %w", b.Hash, err)
	}
	_, err = f.Write(append(append(head, '\n'), b.Raw...))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(b.Hash))
	}
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("spooling block %v: %w", b.Hash, err)
	}
	return nil
}

// remove forgets the block.
func (s *spool) remove(hash chainhash.Hash) error {
	err := os.Remove(s.path(hash))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a spooled block: %w", err)
	}
	return nil
}

// sync makes names in the directory durable.
func (s *spool) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads what an earlier run left. Files that cannot be read are put aside and
// reported; they do not keep the others from being sent.
func (s *spool) load() (blocks []*pool.Block, faults []error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, []error{fmt.Errorf("reading the block spool: %w", err)}
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), spoolNew):
			_ = os.Remove(path) // the run that wrote it died before the block had a name
		case strings.HasSuffix(e.Name(), spoolSuffix):
			b, err := readSpooled(path)
			if err == nil && s.path(b.Hash) != path {
				err = fmt.Errorf("it holds block %v", b.Hash)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("reading spooled block %s: %w", path, err))
				_ = os.Rename(path, path+spoolBad)
				continue
			}
			blocks = append(blocks, b)
		}
	}
	return blocks, faults
}

func readSpooled(path string) (*pool.Block, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSpooled {
		return nil, fmt.Errorf("%d bytes, up to %d are accepted", info.Size(), maxSpooled)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeSpooled(text)
}

func decodeSpooled(text []byte) (*pool.Block, error) {
	line, raw, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return nil, errors.New("no block follows its description, which is the first line")
	}
	var head spoolHead
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("first line is not its description: %w", err)
	}
	if len(raw) != head.Size {
		return nil, fmt.Errorf("%d bytes of block, %d are announced", len(raw), head.Size)
	}
	h, err := parseHeader(raw, head.Height)
	if err != nil {
		return nil, err
	}
	return &pool.Block{
		Hash: h.hash, Prev: h.prev, Height: head.Height, Worker: head.Worker, Value: head.Value, Raw: raw,
	}, nil
}
