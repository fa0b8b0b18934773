package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Files of a tls directory.
const (
	caCertFile     = "ca.pem"
	caKeyFile      = "ca.key"
	serverCertFile = "server.pem"
	serverKeyFile  = "server.key"
)

// How long certificates are good. Browsers accept a server's for 398 days at most.
const (
	caLife      = 10 * 365 * 24 * time.Hour
	serverLife  = 397 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
	backdate    = time.Hour // clients' clocks may be slow
)

// maxPEM bounds a file with a certificate or a key.
const maxPEM = 1 << 20

// localNames are the names that every server's certificate is good for.
func localNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" && !slices.Contains(names, host) {
		names = append([]string{host}, names...)
	}
	return names
}

// issuer is an authority that can sign.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newIssuer makes a certificate authority of one server's own.
func newIssuer(now time.Time) (i *issuer, certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newTLSKey()
	if err != nil {
		return nil, nil, nil, err
	}
	template, err := certTemplate("hashlease authority", now, caLife)
	if err != nil {
		return nil, nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("signing the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading the authority's certificate back: %w", err)
	}
	return &issuer{cert, key}, encodePEM("CERTIFICATE", der), keyPEM, nil
}

// server makes a certificate for a server with these names and addresses.
func (i *issuer) server(names []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newTLSKey()
	if err != nil {
		return nil, nil, err
	}
	template, err := certTemplate("hashlease server", now, serverLife)
	if err != nil {
		return nil, nil, err
	}
	if template.NotAfter.After(i.cert.NotAfter) {
		template.NotAfter = i.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, key.Public(), i.key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the server's certificate: %w", err)
	}
	return encodePEM("CERTIFICATE", der), keyPEM, nil
}

func newTLSKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a TLS key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("writing a TLS key: %w", err)
	}
	return key, encodePEM("PRIVATE KEY", der), nil
}

func certTemplate(name string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(life),
	}, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// fingerprint is the SHA-256 of a certificate as people compare it.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

// tlsFiles are a server's certificate and the authority that signed it.
type tlsFiles struct {
	Certificate tls.Certificate
	CA          *x509.Certificate
	Renewed     bool // a new server certificate was made just now
}

// openTLS reads a tls directory. A server certificate that ends soon, or lacks one of the names, is
// replaced; the authority stays, so that clients need nothing new.
func openTLS(dir string, hosts []string, now time.Time) (*tlsFiles, error) {
	ca, err := readCert(filepath.Join(dir, caCertFile))
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate (hashlease init makes it): %w", err)
	}
	if now.After(ca.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate ended on %s: move %s away, let hashlease init "+
			"make a new one, and give its ca.pem to every client", ca.NotAfter.Format(time.DateOnly), dir)
	}
	names := append(localNames(), hosts...)
	out := &tlsFiles{CA: ca}
	certPath, keyPath := filepath.Join(dir, serverCertFile), filepath.Join(dir, serverKeyFile)
	out.Certificate, err = tls.LoadX509KeyPair(certPath, keyPath)
	if err == nil && fresh(out.Certificate.Leaf, ca, names, now) {
		return out, nil
	}
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("renewing the server's certificate needs the authority's key: %w", err)
	}
	certPEM, keyPEM, err := (&issuer{ca, key}).server(names, now)
	if err != nil {
		return nil, err
	}
	// The key first: with the old certificate it is refused at the next start, and renewed again.
	if err := replaceFile(keyPath, keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := replaceFile(certPath, certPEM, 0o644); err != nil {
		return nil, err
	}
	if out.Certificate, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, fmt.Errorf("reading the renewed certificate back: %w", err)
	}
	out.Renewed = true
	return out, nil
}

// fresh says whether a server certificate may stay.
func fresh(cert, ca *x509.Certificate, names []string, now time.Time) bool {
	if cert == nil || cert.CheckSignatureFrom(ca) != nil {
		return false
	}
	renewAt := cert.NotAfter.Add(-renewBefore)
	if cert.NotAfter.Equal(ca.NotAfter) {
		renewAt = cert.NotAfter // a new one would not be good for longer
	}
	if now.Before(cert.NotBefore) || now.After(renewAt) {
		return false
	}
	return !slices.ContainsFunc(names, func(n string) bool {
		return cert.VerifyHostname(bracketed(n)) != nil
	})
}

// bracketed is an address in the form that VerifyHostname takes for one.
func bracketed(name string) string {
	if net.ParseIP(name) != nil {
		return "[" + name + "]"
	}
	return name
}

func readCert(path string) (*x509.Certificate, error) {
	text, err := readSmall(path, maxPEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: a certificate in PEM is accepted", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return cert, nil
}

func readKey(path string) (crypto.Signer, error) {
	text, err := readSmall(path, maxPEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: a PKCS #8 key in PEM is accepted", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key that can sign is accepted", path)
	}
	return signer, nil
}

// replaceFile writes a file so that at every moment, and after a crash, there is the old or the new.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	name, err := writeTemp(path, data, mode)
	if err != nil {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	if err := os.Rename(name, path); err != nil {
		return fmt.Errorf("replacing %s: %w", path, errors.Join(err, os.Remove(name)))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	return nil
}

// writeTemp writes a new file beside path and leaves nothing behind if it fails.
func writeTemp(path string, data []byte, mode os.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes a new name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
