package sv2

// Codes of the error messages. The specification names none since 2026-05-13 and
// forbids behaviour that hangs on one; these are what the reference implementation sends,
// because people read them in the logs of miners. The codes of SubmitShares.Error come
// from package pool, which knows the reasons.
const (
	CodeUnsupportedFlags    = "unsupported-feature-flags"
	CodeUnsupportedProtocol = "unsupported-protocol"
	CodeVersionMismatch     = "protocol-version-mismatch"
	CodeMissingDeclareFlag  = "missing-declare-tx-data-flag"

	// CodeExtensionsMissing refuses a channel before the extensions that a server requires were
	// negotiated. It is of this server.
	CodeExtensionsMissing = "required-extensions-not-negotiated"

	CodeUnknownUser           = "unknown-user"
	CodeInvalidUserIdentity   = "invalid-user-identity"
	CodeMaxTargetOutOfRange   = "max-target-out-of-range"
	CodeInvalidHashrate       = "invalid-nominal-hashrate"
	CodeExtranonceTooLarge    = "min-extranonce-size-too-large"
	CodeNoStandardChannels    = "standard-channels-not-supported-for-custom-work"
	CodeNoExtendedChannels    = "extended-channels-not-supported-for-standard-jobs"
	CodeTooManyChannels       = "channel-capacity-exhausted"
	CodeInvalidChannelID      = "invalid-channel-id"
	CodeJobDeclarationMissing = "jd-not-supported"
)
