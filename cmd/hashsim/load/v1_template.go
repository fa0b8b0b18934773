package load

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// What a node says of a full block: so much text.
const (
	templateTxs  = 3000
	templateSize = 3_000_000 // bytes, about
)

// templateText is what getblocktemplate answers, as far as its size matters.
func templateText() []byte {
	raw := make([]byte, templateSize/templateTxs/2-50) // as hexadecimal, and what is around it
	txs := make([]templateTx, templateTxs)
	for i := range txs {
		raw[0], raw[1] = byte(i), byte(i>>8)
		id := chainhash.DoubleHashH(raw)
		txs[i] = templateTx{Data: hex.EncodeToString(raw), ID: id.String(), Fee: txFee}
	}
	text, _ := json.Marshal(txs) // strings and numbers can always be written
	return text
}

type templateTx struct {
	Data string `json:"data"`
	ID   string `json:"txid"`
	Fee  int64  `json:"fee"`
}

// readTemplate does what a node's client does with that text: parse it, and hash every transaction.
func readTemplate(text []byte) (txs []pool.Tx, err error) {
	var list []templateTx
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading our own template: %w", err)
	}
	for _, t := range list {
		raw, err := hex.DecodeString(t.Data)
		if err != nil {
			return nil, fmt.Errorf("reading our own template: %w", err)
		}
		txs = append(txs, pool.Tx{Raw: raw, ID: chainhash.DoubleHashH(raw), Fee: t.Fee, Cost: 4 * 250})
	}
	return txs, nil
}

// whole puts a block on top whose full template is read while the miners hear of the block. The channel
// carries the end of that.
func (t *target) whole() (at time.Time, read chan error) {
	if t.text == nil {
		t.text = templateText()
	}
	at = t.chain.advance(chainBits)
	read = make(chan error, 1)
	go func() { // ends with the text
		txs, err := readTemplate(t.text)
		if err == nil {
			t.chain.fillWith(txs)
		}
		read <- err
	}()
	return at, read
}
