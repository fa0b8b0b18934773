package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Ensure that a certificate follows its files, and that files that do not fit leave the one before.
func TestCertificateFiles_FollowTheirFiles(t *testing.T) {
	now := time.Now()
	ca, _, _, err := newIssuer(now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	write := func(name string, certToo bool) {
		t.Helper()
		c, k, err := ca.server([]string{name}, now)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second) // of the files: their times differ
		files := map[string][]byte{key: k}
		if certToo {
			files[cert] = c
		}
		for path, text := range files {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, now, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := openCertificate(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("files that are not there are taken")
	}
	write("one", true)
	c, err := openCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	shown := func(want string) {
		t.Helper()
		c.follow()
		got, err := c.config().GetCertificate(nil)
		if err != nil || got.Leaf.VerifyHostname(want) != nil {
			t.Errorf("the certificate is for %v, %v; want %s", got.Leaf.DNSNames, err, want)
		}
	}
	shown("one")
	write("two", true)
	shown("two")
	write("three", false) // a key without its certificate
	shown("two")
	write("four", true)
	shown("four")
	if err := os.WriteFile(cert, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown("four")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	shown("four")
}
