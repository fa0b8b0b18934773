package noise

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ellswift"
)

// hexBytes is text in the vectors and bytes here.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// keyVector is a key pair as the transcript gives it.
type keyVector struct {
	Priv     hexBytes
	EllSwift hexBytes
}

func (k keyVector) keypair() keypair {
	secret, _ := btcec.PrivKeyFromBytes(k.Priv)
	return keypair{secret: secret, encoded: [encodedSize]byte(k.EllSwift)}
}

type frameVector struct {
	Direction  string
	Header     hexBytes
	PayloadLen int      `json:"payload_len"`
	WireLen    int      `json:"wire_len"`
	NextNonce  uint64   `json:"next_nonce"`
	Sum        hexBytes `json:"wire_sha256"`
	Rule       string   `json:"payload_rule"`
	Payload    hexBytes
	Wire       hexBytes
}

// transcript is a whole session with published keys.
type transcript struct {
	InitiatorE  keyVector `json:"initiator_e"`
	ResponderE  keyVector `json:"responder_e"`
	ResponderS  keyVector `json:"responder_s"`
	Authority   struct{ Priv hexBytes }
	Certificate struct {
		From    int64    `json:"valid_from"`
		Until   int64    `json:"not_valid_after"`
		Message hexBytes `json:"signature_noise_message"`
		M       hexBytes
	}
	Act1, Act2 hexBytes
	Steps      []struct {
		After    string
		H, CK, K hexBytes
	}
	K1     hexBytes `json:"k1_initiator_to_responder"`
	K2     hexBytes `json:"k2_responder_to_initiator"`
	Frames []frameVector
}

// vectors is the part of sv2.json that belongs to encryption.
type vectors struct {
	AuthorityKeys []struct {
		Raw       hexBytes `json:"raw_public_key"`
		Text      string   `json:"base58check"`
		Public    string   `json:"base58check_public"`
		Secret    string   `json:"base58check_secret"`
		SecretKey hexBytes `json:"secret_key"`
	} `json:"authority_key_encoding"`
	AuthorityKeysNegative []struct {
		Text   string `json:"base58check"`
		Reason string
	} `json:"authority_key_encoding_negative"`
	Init struct {
		Name  string `json:"protocol_name"`
		CK, H hexBytes
	} `json:"noise_init"`
	EllSwiftDecode struct {
		Count   int
		Vectors []struct{ EllSwift, X hexBytes }
	} `json:"ellswift_decode"`
	EllSwiftECDH struct {
		Count   int
		Vectors []struct {
			Priv       hexBytes `json:"priv_ours"`
			Ours       hexBytes `json:"ellswift_ours"`
			Theirs     hexBytes `json:"ellswift_theirs"`
			Initiating bool
			XOurs      hexBytes `json:"x_ours"`
			XShared    hexBytes `json:"x_shared"`
			Shared     hexBytes `json:"shared_secret"`
		}
	} `json:"ellswift_ecdh_v2"`
	FrameLengths struct {
		Vectors []struct {
			Payload int `json:"payload_len"`
			Cipher  int `json:"cipher_payload_len"`
			Blocks  int
			Total   int `json:"total_with_header"`
		}
	} `json:"frame_lengths"`
	Transcript transcript `json:"noise_nx_transcript"`
}

func loadVectors(tb testing.TB) (v vectors) {
	tb.Helper()
	b, err := os.ReadFile("../sv2/testdata/sv2.json")
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

// Ensure keys are read and written as the specification and the reference implementation do.
func TestSV2_016_PublicKeyMatchesVectors(t *testing.T) {
	v := loadVectors(t)
	for _, k := range v.AuthorityKeys {
		text := k.Text + k.Public // each vector has one of them
		public, err := ParsePublicKey(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		same(t, text, public[:], k.Raw)
		if public.String() != text {
			t.Errorf("written as %s, want %s", public, text)
		}
		if k.Secret == "" {
			continue
		}
		a, err := ParseAuthority(k.Secret)
		if err != nil {
			t.Fatal(err)
		}
		secret := a.secret.Key.Bytes()
		same(t, "secret key", secret[:], k.SecretKey)
		if a.Secret() != k.Secret || a.Public() != public {
			t.Errorf("authority %s, want %s", a, text)
		}
	}
	if len(v.AuthorityKeys) < 2 || len(v.AuthorityKeysNegative) < 4 {
		t.Fatal("vectors are missing")
	}
	for _, k := range v.AuthorityKeysNegative {
		if public, err := ParsePublicKey(k.Text); err == nil {
			t.Errorf("%s: read as %x", k.Reason, public)
		} else {
			t.Logf("%s: %v", k.Reason, err)
		}
	}
}

// Ensure the transcript starts from the published constants.
func TestSymmetric_StartsAsPublished(t *testing.T) {
	v := loadVectors(t).Init
	if protocolName != v.Name {
		t.Errorf("protocol name %q, want %q", protocolName, v.Name)
	}
	var s symmetric
	s.init()
	same(t, "ck", s.ck[:], v.CK)
	same(t, "h", s.h[:], v.H)
}

// Ensure ElligatorSwift decodes as BIP324 says.
func TestXOnly_MatchesVectors(t *testing.T) {
	v := loadVectors(t).EllSwiftDecode
	if len(v.Vectors) != v.Count || v.Count < 46 {
		t.Fatalf("%d vectors, the file says %d", len(v.Vectors), v.Count)
	}
	for _, v := range v.Vectors {
		x, err := xOnly((*[encodedSize]byte)(v.EllSwift))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "x", x[:], v.X)
	}
}

// Ensure the key exchange is BIP324's, in both roles.
func TestSV2_003_ECDHMatchesVectors(t *testing.T) {
	v := loadVectors(t).EllSwiftECDH
	if len(v.Vectors) != v.Count || v.Count < 5 {
		t.Fatalf("%d vectors, the file says %d", len(v.Vectors), v.Count)
	}
	for _, v := range v.Vectors {
		k := keyVector{v.Priv, v.Ours}.keypair()
		theirs := [encodedSize]byte(v.Theirs)
		shared, err := k.ecdh(&theirs, v.Initiating)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "shared secret", shared[:], v.Shared)
		x, err := xOnly(&k.encoded)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "x of our key", x[:], v.XOurs)
		xShared, err := ellswift.EllswiftECDHXOnly(theirs, k.secret)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "x of the shared point", xShared[:], v.XShared)
	}
}

// Ensure sealed sizes are as published.
func TestSV2_010_SealedSizes(t *testing.T) {
	list := loadVectors(t).FrameLengths.Vectors
	if len(list) < 12 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		if got := SealedSize(v.Payload); got != v.Total || got-HeaderSize-Overhead != v.Cipher {
			t.Errorf("payload of %d: %d bytes, want %d", v.Payload, got, v.Total)
		}
		if got := blocks(v.Payload); got != v.Blocks {
			t.Errorf("payload of %d: %d blocks, want %d", v.Payload, got, v.Blocks)
		}
	}
}

// Ensure a handshake with the published keys says and hashes every step as published.
func TestSV2_002_HandshakeMatchesTranscript(t *testing.T) {
	v := loadVectors(t).Transcript
	step := 0
	check := func(s *symmetric) {
		t.Helper()
		want := v.Steps[step]
		step++
		same(t, want.After+": h", s.h[:], want.H)
		same(t, want.After+": ck", s.ck[:], want.CK)
		if want.K != nil {
			same(t, want.After+": k", s.k[:], want.K)
		}
	}

	id := v.identity(t)
	same(t, "certificate", id.certificate[:], v.Certificate.Message)
	x, _ := xOnly(&id.static.encoded)
	m := id.certificate.digest(&x)
	same(t, "digest", m[:], v.Certificate.M)

	r := responder{id: id, e: v.ResponderE.keypair()}
	r.init()
	check(&r.symmetric)
	r.hear((*[Act1Size]byte)(v.Act1))
	check(&r.symmetric)
	act2, err := r.ephemeral(nil)
	if err != nil {
		t.Fatal(err)
	}
	check(&r.symmetric)
	act2 = r.static(act2)
	check(&r.symmetric)
	r.mixStatic()
	check(&r.symmetric)
	act2 = r.vouch(act2)
	check(&r.symmetric)
	if step != len(v.Steps) {
		t.Errorf("%d steps were checked of %d", step, len(v.Steps))
	}
	same(t, "act 2", act2, v.Act2)

	i := initiator{e: v.InitiatorE.keypair()}
	i.begin()
	same(t, "act 1", i.e.encoded[:], v.Act1)
	public := v.authority().Public()
	if err := i.finish((*[Act2Size]byte)(v.Act2), &public, time.Unix(v.Certificate.From, 0)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*symmetric{"responder": &r.symmetric, "initiator": &i.symmetric} {
		k1, k2 := s.split()
		same(t, name+": k1", k1[:], v.K1)
		same(t, name+": k2", k2[:], v.K2)
	}
}

// identity is the transcript's responder, signed with auxiliary randomness of zeros.
func (v *transcript) identity(t *testing.T) *Identity {
	t.Helper()
	from, until := time.Unix(v.Certificate.From, 0), time.Unix(v.Certificate.Until, 0)
	id, err := newIdentity(v.authority(), v.ResponderS.keypair(), from, until, new([32]byte))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (v *transcript) authority() *Authority {
	secret, _ := btcec.PrivKeyFromBytes(v.Authority.Priv)
	return newAuthority(secret)
}

// Ensure frames with the published keys are sealed as published, and open again.
func TestSV2_009_ConnMatchesTranscript(t *testing.T) {
	v := loadVectors(t).Transcript
	near, far := net.Pipe()
	k1, k2 := [32]byte(v.K1), [32]byte(v.K2)
	miner, pool := newConn(near, &k2, &k1), newConn(far, &k1, &k2)
	for _, f := range v.Frames {
		from, to := miner, pool
		if f.Direction == "r2i" {
			from, to = pool, miner
		}
		payload := []byte(f.Payload)
		if f.Rule != "" {
			payload = make([]byte, f.PayloadLen)
			for i := range payload {
				payload[i] = byte(i % 251)
			}
		}
		wire := from.AppendFrame(nil, append(bytes.Clone(f.Header), payload...))
		sum := sha256.Sum256(wire)
		same(t, "SHA-256 of the wire", sum[:], f.Sum)
		if len(wire) != f.WireLen || from.out.n != f.NextNonce {
			t.Errorf("%d bytes on the wire, nonce %d, want %d and %d",
				len(wire), from.out.n, f.WireLen, f.NextNonce)
		}
		if f.Wire != nil {
			same(t, "wire", wire, f.Wire)
		}
		go from.Conn.Write(wire)
		header, got, err := to.ReadFrame(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "header", header[:], f.Header)
		same(t, "payload", got, payload)
		if to.in.n != f.NextNonce {
			t.Errorf("the reader's nonce is %d, want %d", to.in.n, f.NextNonce)
		}
	}
	if len(v.Frames) < 7 {
		t.Fatal("frames are missing")
	}
}
