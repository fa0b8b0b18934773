package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const btcdModule = "github.com/btcsuite/btcd"

// BuildBtcd returns the path of a btcd of the version that our go.mod names. The first
// call builds it, which takes about a minute with empty caches; later calls of any
// process find it under the user's cache directory. progress gets a
// line of text now and then; it may be nil.
//
// It needs the go command, and a working directory inside this module.
func BuildBtcd(ctx context.Context, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	version, err := btcdVersion(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the version of btcd: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for btcd: %w", err)
	}
	dir := filepath.Join(cache, "hashlease")
	path := filepath.Join(dir, "btcd-"+version+"-"+runtime.GOOS+"-"+runtime.GOARCH+exeSuffix())
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a place for btcd: %w", err)
	}
	progress("building btcd " + version + " from go.mod: about a minute the first time")
	if err := buildTo(ctx, dir, path, progress); err != nil {
		return "", fmt.Errorf("building btcd %s: %w", version, err)
	}
	progress("btcd " + version + " is built")
	return path, nil
}

// buildTo builds beside path and renames: another process may do the same at the same time.
func buildTo(ctx context.Context, dir, path string, progress func(string)) error {
	work, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	out := filepath.Join(work, "btcd"+exeSuffix())
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-o", out, btcdModule)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		progress("compiling " + lines.Text())
		said = append(said, lines.Text())
		said = said[max(0, len(said)-10):]
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(said, "; "))
	}
	return os.Rename(out, path)
}

func btcdVersion(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("the go command is not installed (https://go.dev/dl), " +
			"and no path of a btcd was given")
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", btcdModule)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	version := strings.TrimSpace(string(out))
	if err != nil || version == "" {
		return "", fmt.Errorf("%w: %s (run it inside hashlease's source tree, or give the path of a btcd)",
			err, clip(strings.TrimSpace(stderr.String())))
	}
	return version, nil
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
