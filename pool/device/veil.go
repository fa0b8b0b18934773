package device

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// veil hides secrets in what a driver says: some firmwares repeat in a refusal what they were sent. It is
// owned by who has the machine's turn.
type veil struct {
	login  []string // forms of the login's secrets
	tokens []string // forms of those that the machine gave out, the newest last
}

const (
	hidden     = "***"
	maxTokens  = 16   // forms of tokens that are kept
	maxSaid    = 4096 // bytes of a machine's words that an error is made of
	maxProblem = 400  // bytes of an error that come out: a secret that maxSaid cuts in two is not among them
)

// newVeil hides a login that is not the factory's.
func newVeil(l Login) *veil {
	v := &veil{}
	if l.Password != "" {
		v.login = append(forms(l.Password), forms(basic(l))...)
	}
	return v
}

// basic is a login as HTTP's basic scheme writes it.
func basic(l Login) string {
	return base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Password))
}

// hide adds a token.
func (v *veil) hide(token string) {
	if v == nil || token == "" || slices.Contains(v.tokens, token) {
		return
	}
	v.tokens = append(v.tokens, forms(token)...)
	v.tokens = v.tokens[max(0, len(v.tokens)-maxTokens):]
}

// forms are a secret as it may come back: as it is, in a URL, and within JSON that is quoted, repeatedly.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for from, round := 0, 0; round < 3; round++ {
		to := len(all)
		for _, s := range all[from:to] {
			quoted := strconv.Quote(s)
			all = append(all, quoted[1:len(quoted)-1])
			if b, err := json.Marshal(s); err == nil {
				all = append(all, string(b[1:len(b)-1]))
			}
		}
		from = to
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// text is s without secrets, and not long.
func (v *veil) text(s string) string {
	for _, secret := range slices.Concat(v.login, v.tokens) {
		s = strings.ReplaceAll(s, secret, hidden)
	}
	return clip(s, maxProblem)
}

// error is err without secrets in its text.
func (v *veil) error(err error) error {
	if err == nil {
		return nil
	}
	said := err.Error()
	if text := v.text(said); text != said {
		return veiled{err, text}
	}
	return err
}

// veiled is an error under another text.
type veiled struct {
	error
	text string
}

// Error is the text.
func (v veiled) Error() string { return v.text }

// Unwrap lets errors.Is find what it is.
func (v veiled) Unwrap() error { return v.error }

// quote is what a machine said, for an error. It is long, so that what is cut off lies beyond what comes out
// of a veil.
func quote[T ~string | ~[]byte](words T) string { return strconv.Quote(clip(string(words), maxSaid)) }

// clip is at most the first n bytes of s, cut between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
