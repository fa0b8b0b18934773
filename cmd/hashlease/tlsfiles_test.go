package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newTLSDir makes a tls directory as init does.
func newTLSDir(t *testing.T, now time.Time) string {
	t.Helper()
	ca, caPEM, caKey, err := newIssuer(now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.server(localNames(), now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		caCertFile: caPEM, caKeyFile: caKey, serverCertFile: certPEM, serverKeyFile: keyPEM,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Ensure that a server's certificate is good for its names under its own authority, and stays.
func TestOpenTLS_KeepsAGoodCertificate(t *testing.T) {
	now := time.Now()
	dir := newTLSDir(t, now)
	f, err := openTLS(dir, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if f.Renewed {
		t.Error("a fresh certificate was renewed")
	}
	roots := x509.NewCertPool()
	roots.AddCert(f.CA)
	for _, name := range localNames() {
		_, err := f.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: bracketed(name)})
		if err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
	if print := fingerprint(f.CA); len(print) != 95 || strings.ToUpper(print) != print {
		t.Errorf("fingerprint %q is not 32 bytes in hexadecimal", print)
	}
}

// Ensure that a certificate that ends soon, or lacks a name, is renewed under the same authority.
func TestOpenTLS_RenewsInTime(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		hosts []string
		at    time.Time
	}{
		"ends soon":   {nil, now.Add(serverLife - renewBefore + time.Hour)},
		"has ended":   {nil, now.Add(serverLife + time.Hour)},
		"lacks names": {[]string{"pool.example", "192.0.2.7"}, now},
	} {
		dir := newTLSDir(t, now)
		before, err := os.ReadFile(filepath.Join(dir, caCertFile))
		if err != nil {
			t.Fatal(err)
		}
		f, err := openTLS(dir, test.hosts, test.at)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !f.Renewed || !fresh(f.Certificate.Leaf, f.CA, test.hosts, test.at) {
			t.Errorf("%s: renewed %v, or the new one is no better", name, f.Renewed)
		}
		if f, err = openTLS(dir, test.hosts, test.at); err != nil || f.Renewed {
			t.Errorf("%s: renewed again, or %v", name, err)
		}
		after, err := os.ReadFile(filepath.Join(dir, caCertFile))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the authority changed, or %v", name, err)
		}
		info, err := os.Stat(filepath.Join(dir, serverKeyFile))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the key's file is %v, %v", name, info, err)
		}
	}
}

// Ensure that a directory that cannot be used is named together with what helps.
func TestOpenTLS_SaysWhatIsMissing(t *testing.T) {
	now := time.Now()
	dir := newTLSDir(t, now)
	_, err := openTLS(dir, nil, now.Add(caLife+time.Hour))
	if err == nil || !strings.Contains(err.Error(), "ended on") {
		t.Errorf("got %v, want the authority's end", err)
	}
	if err := os.Remove(filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := openTLS(dir, nil, now); err != nil {
		t.Errorf("without the authority's key, which is not needed: %v", err)
	}
	_, err = openTLS(dir, []string{"x.example"}, now)
	if err == nil || !strings.Contains(err.Error(), caKeyFile) {
		t.Errorf("got %v, want %s named", err, caKeyFile)
	}
	_, err = openTLS(t.TempDir(), nil, now)
	if err == nil || !strings.Contains(err.Error(), "hashlease init") {
		t.Errorf("got %v, want hashlease init named", err)
	}
}

// Ensure that a replaced file is the new one with its mode, and that nothing is left beside it.
func TestReplaceFile_LeavesOnlyTheNewOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"old", "new"} {
		if err := replaceFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "new" {
		t.Errorf("got %q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want one file", entries, err)
	}
	if err := replaceFile(filepath.Join(dir, "no", "f"), nil, 0o600); err == nil {
		t.Error("no error for a directory that is not there")
	}
}
