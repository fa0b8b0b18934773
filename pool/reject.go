package pool

// Reject is why a share was refused; RejectNone means that it was accepted.
type Reject uint8

// The reasons. Every one has a stable Stratum V2 code and Stratum V1 number.
const (
	RejectNone           Reject = iota
	RejectUnknownChannel        // no such channel, or one of the other kind
	RejectUnknownJob            // never sent, long dead, or still a future job
	RejectStale                 // the job was retired
	RejectLowDifficulty         // the hash is above the job's target
	RejectDuplicate             // submitted before
	RejectTime                  // header time outside the job's window
	RejectExtranonceSize        // not the size that the channel was given
	RejectVersionRolling        // the channel may not roll the version at all
	RejectVersionBits           // a bit outside the version mask was changed
	RejectIdentity              // it names its worker with more bytes than a name may have

	// Rejects is the number of reasons, for tables indexed by Reject.
	Rejects = iota
)

// rejects are the wire forms by reason: the reference implementation's strings, and
// the numbers that Stratum V1 pools have in common.
var rejects = [Rejects]struct {
	code string
	sv1  int
}{
	RejectNone:           {"", 0},
	RejectUnknownChannel: {"invalid-channel-id", 25},
	RejectUnknownJob:     {"invalid-job-id", 21},
	RejectStale:          {"stale-share", 21},
	RejectLowDifficulty:  {"difficulty-too-low", 23},
	RejectDuplicate:      {"duplicate-share", 22},
	RejectTime:           {"invalid-share", 20},
	RejectExtranonceSize: {"bad-extranonce-size", 20},
	RejectVersionRolling: {"version-rolling-not-allowed", 20},
	RejectVersionBits:    {"invalid-non-rollable-version-bit", 20},
	RejectIdentity:       {"invalid-user-identity", 20},
}

// Code is the error_code of SubmitShares.Error; empty for an accepted share.
func (r Reject) Code() string {
	if r >= Rejects {
		return "invalid-share"
	}
	return rejects[r].code
}

// SV1 is the error number of a Stratum V1 reply; 0 for an accepted share.
func (r Reject) SV1() int {
	if r >= Rejects {
		return 20
	}
	return rejects[r].sv1
}

// String is the code, or "accepted".
func (r Reject) String() string {
	if r == RejectNone {
		return "accepted"
	}
	return r.Code()
}
