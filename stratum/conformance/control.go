package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Verbs of the control protocol. A pool under test offers those that it can carry out.
const (
	VerbTip      = "tip"      // POST /tip: a new block was found by somebody; answers when it is published
	VerbTemplate = "template" // POST /template: new transactions on the same tip
	VerbPrefix   = "prefix"   // POST /prefix {"worker"}: SetExtranoncePrefix on its channels
	VerbGroup    = "group"    // POST /group {"workers":[...]}: SetGroupChannel for them; see Workers
	VerbExpect   = "expect"   // POST /expect {"worker","hashrate"}: a commanded change of hashrate
	VerbDrain    = "drain"    // POST /drain: shut down in order, serve again at the same address, answer then
	VerbRotate   = "rotate"   // POST /rotate: a new certificate
	VerbBlocks   = "blocks"   // GET /blocks: hashes of blocks handed to the node, newest last
)

// Names of timeouts, in GET /.
const (
	WaitHandshake = "handshake" // from accept to the end of the handshake
	WaitOpen      = "open"      // without a channel
	WaitAck       = "ack"       // longest age of an unacknowledged share
)

// Control is the client of the control protocol.
type Control struct {
	url string

	Verbs    []string         // offered
	Timeouts map[string]int64 // milliseconds, by name
}

// Expectation is the body of VerbExpect.
type Expectation struct {
	Worker   string  `json:"worker"`
	Hashrate float64 `json:"hashrate"` // hashes a second; 0: silence is ordered
}

// Workers is the body of VerbPrefix and VerbGroup: identities that channels were opened with. For
// VerbGroup those name a payout of their own, as sri/solo/ADDRESS/worker does, and only their last
// part counts.
type Workers struct {
	Worker  string   `json:"worker,omitempty"`
	Workers []string `json:"workers,omitempty"`
}

// controlLimit bounds an answer.
const controlLimit = 1 << 20

// NewControl asks the control what it offers.
func NewControl(ctx context.Context, url string) (*Control, error) {
	c := &Control{url: strings.TrimRight(url, "/")}
	body, err := c.do(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, c); err != nil {
		return nil, fmt.Errorf("decoding what the control offers: %w", err)
	}
	return c, nil
}

// Has reports whether a verb is offered.
func (c *Control) Has(verb string) bool { return c != nil && slices.Contains(c.Verbs, verb) }

// Do carries out a verb; body becomes JSON, nil is none.
func (c *Control) Do(t *T, verb string, body any) {
	if _, err := c.do(t.ctx, http.MethodPost, "/"+verb, body); err != nil {
		t.Failf("the control could not carry out %s: %v", verb, err)
	}
}

// Get reads what a verb knows into answer.
func (c *Control) Get(t *T, verb string, answer any) {
	b, err := c.do(t.ctx, http.MethodGet, "/"+verb, nil)
	if err == nil {
		err = json.Unmarshal(b, answer)
	}
	if err != nil {
		t.Failf("the control could not say %s: %v", verb, err)
	}
}

func (c *Control) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, in)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the control: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(io.LimitReader(resp.Body, controlLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the control's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(out))
	}
	return out, nil
}
