//go:build deps

package main

import (
	_ "github.com/BurntSushi/toml"
	_ "github.com/alecthomas/kong"
	_ "github.com/btcsuite/btcd/address/v2"
	_ "github.com/btcsuite/btcd/address/v2/base58"
	_ "github.com/btcsuite/btcd/btcec/v2/ellswift"
	_ "github.com/btcsuite/btcd/btcec/v2/schnorr"
	_ "github.com/btcsuite/btcd/chaincfg/v2"
	_ "github.com/btcsuite/btcd/chainhash/v2"
	_ "github.com/btcsuite/btcd/txscript/v2"
	_ "github.com/btcsuite/btcd/wire/v2"
	_ "github.com/btcsuite/websocket"
	_ "github.com/chromedp/chromedp"
	_ "github.com/flynn/noise"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "go.etcd.io/bbolt"
	_ "golang.org/x/crypto/chacha20poly1305"
	_ "golang.org/x/time/rate"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	_ "google.golang.org/grpc/health"
	_ "google.golang.org/grpc/reflection"
	_ "pgregory.net/rapid"
)
