package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// maxMessage is the longest answer that is read: a full block's transactions in
// hexadecimal with their JSON around them, twice.
const maxMessage = 32 << 20

// link is one live connection to a node.
type link interface {
	// call asks the node and returns the result's text. It is safe for concurrent use.
	call(ctx context.Context, method string, params ...any) ([]byte, error)
	// wake tells that take has something. It is nil if the node cannot announce blocks.
	wake() <-chan struct{}
	// take returns the blocks announced since the last call. lost says that some are missing.
	take() (blocks []header, lost bool)
	// done is closed when the connection has broken. It is nil if that shows in call only.
	done() <-chan struct{}
	// close ends the connection and waits for its goroutines.
	close()
}

// request is a call on the wire. btcd never answers one without "jsonrpc" or "id".
type request struct {
	Version string `json:"jsonrpc"`
	ID      uint64 `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

func newRequest(id uint64, method string, params []any) ([]byte, error) {
	if params == nil {
		params = []any{}
	}
	text, err := json.Marshal(request{"1.0", id, method, params})
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", method, err)
	}
	return text, nil
}

// envelope is what a node sends: an answer, or a notification if it has a method.
type envelope struct {
	id             uint64
	method         string
	result, params []byte // texts, aliasing the message
	err            error
}

func parseEnvelope(text []byte) (envelope, error) {
	var e envelope
	var failure []byte
	s := scanner{b: text}
	s.object(func(key []byte) {
		switch string(key) {
		case "id":
			if !s.null() {
				e.id = uint64(s.integer())
			}
		case "method":
			e.method = string(s.text())
		case "result":
			e.result = s.value()
		case "params":
			e.params = s.value()
		case "error":
			failure = s.value()
		default:
			s.value()
		}
	})
	if s.err != nil {
		return envelope{}, s.err
	}
	if len(failure) > 0 && string(failure) != "null" {
		var refusal rpcError
		if err := json.Unmarshal(failure, &refusal); err != nil {
			return envelope{}, fieldError("error", "%v", err)
		}
		refusal.Message = clip(refusal.Message)
		e.err = &refusal
	}
	return e, nil
}

// maxText is the longest text of a node that is shown to people.
const maxText = 300

func clip(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "..."
	}
	return text
}

// ask calls the node and decodes a small result.
func ask[T any](ctx context.Context, l link, method string, params ...any) (T, error) {
	var v T
	text, err := l.call(ctx, method, params...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("%w: result of %s: %w", errBroken, method, err)
	}
	return v, nil
}

// askHash calls a method whose result is a block's hash.
func askHash(ctx context.Context, l link, method string, params ...any) (chainhash.Hash, error) {
	text, err := ask[string](ctx, l, method, params...)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return parseHash(method, text)
}

func parseHash(field, text string) (chainhash.Hash, error) {
	h, err := chainhash.NewHashFromStr(text)
	if err != nil || len(text) != 2*chainhash.HashSize {
		return chainhash.Hash{}, fieldError(field, "%.70q is not a block hash", text)
	}
	return *h, nil
}

// askHeader fetches a header by its hash and checks that it is the one asked for.
func askHeader(ctx context.Context, l link, hash chainhash.Hash, height int32) (header, error) {
	text, err := ask[string](ctx, l, "getblockheader", hash.String(), false)
	if err != nil {
		return header{}, err
	}
	h, err := headerFromHex(text, height)
	if err == nil && h.hash != hash {
		err = fieldError("getblockheader", "%v was asked for, %v came", hash, h.hash)
	}
	return h, err
}
