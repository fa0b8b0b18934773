package node

import (
	"errors"
	"fmt"
)

// Errors about blocks.
var (
	// ErrRefused is wrapped by the error of SubmitBlock when the node has looked at the
	// block and does not have it on its best chain: sending it again does not help. The
	// text says why, in the node's words.
	ErrRefused = errors.New("node refused the block")
	// ErrSpoolFull says that too many found blocks wait for an outcome.
	ErrSpoolFull = errors.New("block spool is full")
)

// Errors of one connection.
var (
	errDenied = errors.New("node does not accept the user and password")
	errBroken = errors.New("node answers out of form")
	errClosed = errors.New("connection to the node is closed")
	errBehind = errors.New("node does not know the chain so far")
)

// rpcError is what a node answered instead of a result.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Codes that both nodes share (btcjson/jsonrpcerr.go, Core's rpc/protocol.h).
const (
	codeMisc          = -1
	codeNotFound      = -5
	codeParameter     = -8
	codeNoPeers       = -9
	codeDownloading   = -10
	codeStarting      = -28
	codeUnknownMethod = -32601
)

func (e *rpcError) Error() string { return fmt.Sprintf("node says %q (code %d)", e.Message, e.Code) }

// codeOf is the node's error code, or 0 if err is of another kind.
func codeOf(err error) int {
	if e, ok := errors.AsType[*rpcError](err); ok {
		return e.Code
	}
	return 0
}

// fieldError says which field of a node's answer is wrong and what is accepted.
func fieldError(field, format string, args ...any) error {
	return fmt.Errorf("%w: field %s: %s", errBroken, field, fmt.Sprintf(format, args...))
}
