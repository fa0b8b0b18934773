package sv2

import "fmt"

// Message is any message of this package, as a value.
type Message interface {
	// AppendFrame appends the message as a frame, header and payload.
	AppendFrame(dst []byte) []byte
}

// Types of the core protocol (extension 0).
const (
	TypeSetupConnection        = 0x00
	TypeSetupConnectionSuccess = 0x01
	TypeSetupConnectionError   = 0x02
	TypeChannelEndpointChanged = 0x03
	TypeReconnect              = 0x04

	TypeOpenStandardMiningChannel        = 0x10
	TypeOpenStandardMiningChannelSuccess = 0x11
	TypeOpenMiningChannelError           = 0x12
	TypeOpenExtendedMiningChannel        = 0x13
	TypeOpenExtendedMiningChannelSuccess = 0x14
	TypeNewMiningJob                     = 0x15
	TypeUpdateChannel                    = 0x16
	TypeUpdateChannelError               = 0x17
	TypeCloseChannel                     = 0x18
	TypeSetExtranoncePrefix              = 0x19
	TypeSubmitSharesStandard             = 0x1a
	TypeSubmitSharesExtended             = 0x1b
	TypeSubmitSharesSuccess              = 0x1c
	TypeSubmitSharesError                = 0x1d
	TypeNewExtendedMiningJob             = 0x1f
	TypeSetNewPrevHash                   = 0x20
	TypeSetTarget                        = 0x21
	TypeSetCustomMiningJob               = 0x22
	TypeSetCustomMiningJobSuccess        = 0x23
	TypeSetCustomMiningJobError          = 0x24
	TypeSetGroupChannel                  = 0x25

	TypeAllocateMiningJobToken            = 0x50
	TypeAllocateMiningJobTokenSuccess     = 0x51
	TypeProvideMissingTransactions        = 0x55
	TypeProvideMissingTransactionsSuccess = 0x56
	TypeDeclareMiningJob                  = 0x57
	TypeDeclareMiningJobSuccess           = 0x58
	TypeDeclareMiningJobError             = 0x59
	TypePushSolution                      = 0x60

	TypeCoinbaseOutputConstraints     = 0x70
	TypeNewTemplate                   = 0x71
	TypeTemplateSetNewPrevHash        = 0x72
	TypeRequestTransactionData        = 0x73
	TypeRequestTransactionDataSuccess = 0x74
	TypeRequestTransactionDataError   = 0x75
	TypeSubmitSolution                = 0x76
)

// Longest encodings of the field types.
const (
	lenBool      = 1
	lenU8        = 1
	lenU16       = 2
	lenU32       = 4
	lenU64       = 8
	lenF32       = 4
	lenU256      = 32
	lenOption    = 1 + lenU32
	lenText      = 1 + 255
	lenB32       = 1 + 32
	lenB255      = 1 + 255
	lenB64K      = 2 + 65535
	lenU16s      = 2 + 65535*lenU16
	lenU32s      = 2 + 65535*lenU32
	lenHashes    = 1 + 255*lenU256
	lenHashes64K = 2 + 65535*lenU256

	// lenTLVs is what may follow the fields of any message: extensions that we do not know may append to it.
	lenTLVs = 256
)

// entry is what the tables know of a message.
type entry struct {
	name   string
	max    int // longest payload, without TLVs
	decode func(p []byte) (Message, error)
}

func row[M Message](name string, longest int, decode func([]byte) (M, []byte, error)) *entry {
	return &entry{name: name, max: longest, decode: func(p []byte) (Message, error) {
		m, _, err := decode(p)
		if err != nil {
			return nil, err
		}
		return m, nil
	}}
}

// Tables by type, never written to.
var (
	core = [256]*entry{
		TypeSetupConnection: row("SetupConnection", lenU8+3*lenU16+lenU32+5*lenText,
			DecodeSetupConnection),
		TypeSetupConnectionSuccess: row("SetupConnection.Success", lenU16+lenU32,
			DecodeSetupConnectionSuccess),
		TypeSetupConnectionError: row("SetupConnection.Error", lenU32+lenText,
			DecodeSetupConnectionError),
		TypeChannelEndpointChanged: row("ChannelEndpointChanged", lenU32, DecodeChannelEndpointChanged),
		TypeReconnect:              row("Reconnect", lenText+lenU16, DecodeReconnect),
		TypeOpenStandardMiningChannel: row("OpenStandardMiningChannel", lenU32+lenText+lenF32+lenU256,
			DecodeOpenStandardMiningChannel),
		TypeOpenStandardMiningChannelSuccess: row("OpenStandardMiningChannel.Success",
			3*lenU32+lenU256+lenB32, DecodeOpenStandardMiningChannelSuccess),
		TypeOpenExtendedMiningChannel: row("OpenExtendedMiningChannel", lenU32+lenText+lenF32+lenU256+lenU16,
			DecodeOpenExtendedMiningChannel),
		TypeOpenExtendedMiningChannelSuccess: row("OpenExtendedMiningChannel.Success",
			3*lenU32+lenU256+lenU16+lenB32, DecodeOpenExtendedMiningChannelSuccess),
		TypeOpenMiningChannelError: row("OpenMiningChannel.Error", lenU32+lenText,
			DecodeOpenMiningChannelError),
		TypeUpdateChannel:       row("UpdateChannel", lenU32+lenF32+lenU256, DecodeUpdateChannel),
		TypeUpdateChannelError:  row("UpdateChannel.Error", lenU32+lenText, DecodeUpdateChannelError),
		TypeCloseChannel:        row("CloseChannel", lenU32+lenText, DecodeCloseChannel),
		TypeSetExtranoncePrefix: row("SetExtranoncePrefix", lenU32+lenB32, DecodeSetExtranoncePrefix),
		TypeNewMiningJob:        row("NewMiningJob", 3*lenU32+lenOption+lenU256, DecodeNewMiningJob),
		TypeNewExtendedMiningJob: row("NewExtendedMiningJob", 3*lenU32+lenOption+lenBool+lenHashes+2*lenB64K,
			DecodeNewExtendedMiningJob),
		TypeSetNewPrevHash:       row("SetNewPrevHash", 4*lenU32+lenU256, DecodeSetNewPrevHash),
		TypeSetTarget:            row("SetTarget", lenU32+lenU256, DecodeSetTarget),
		TypeSetGroupChannel:      row("SetGroupChannel", lenU32+lenU32s, DecodeSetGroupChannel),
		TypeSubmitSharesStandard: row("SubmitSharesStandard", 6*lenU32, DecodeSubmitSharesStandard),
		TypeSubmitSharesExtended: row("SubmitSharesExtended", 6*lenU32+lenB32,
			DecodeSubmitSharesExtended),
		TypeSubmitSharesSuccess: row("SubmitShares.Success", 3*lenU32+lenU64, DecodeSubmitSharesSuccess),
		TypeSubmitSharesError:   row("SubmitShares.Error", 2*lenU32+lenText, DecodeSubmitSharesError),
		TypeSetCustomMiningJob: row("SetCustomMiningJob", 8*lenU32+2*lenB255+lenU256+lenB64K+lenHashes,
			DecodeSetCustomMiningJob),
		TypeSetCustomMiningJobSuccess: row("SetCustomMiningJob.Success", 3*lenU32,
			DecodeSetCustomMiningJobSuccess),
		TypeSetCustomMiningJobError: row("SetCustomMiningJob.Error", 2*lenU32+lenText,
			DecodeSetCustomMiningJobError),
		TypeAllocateMiningJobToken: row("AllocateMiningJobToken", lenText+lenU32,
			DecodeAllocateMiningJobToken),
		TypeAllocateMiningJobTokenSuccess: row("AllocateMiningJobToken.Success", lenU32+lenB255+lenB64K,
			DecodeAllocateMiningJobTokenSuccess),
		TypeProvideMissingTransactions: row("ProvideMissingTransactions", lenU32+lenU16s,
			DecodeProvideMissingTransactions),
		TypeProvideMissingTransactionsSuccess: row("ProvideMissingTransactions.Success", MaxPayload,
			DecodeProvideMissingTransactionsSuccess),
		TypeDeclareMiningJob: row("DeclareMiningJob", 2*lenU32+lenB255+3*lenB64K+lenHashes64K,
			DecodeDeclareMiningJob),
		TypeDeclareMiningJobSuccess: row("DeclareMiningJob.Success", lenU32+lenB255,
			DecodeDeclareMiningJobSuccess),
		TypeDeclareMiningJobError: row("DeclareMiningJob.Error", lenU32+lenText+lenB64K,
			DecodeDeclareMiningJobError),
		TypePushSolution: row("PushSolution", lenB32+lenU256+4*lenU32, DecodePushSolution),
		TypeCoinbaseOutputConstraints: row("CoinbaseOutputConstraints", lenU32+lenU16,
			DecodeCoinbaseOutputConstraints),
		TypeNewTemplate: row("NewTemplate", 2*lenU64+lenBool+5*lenU32+lenB255+lenB64K+lenHashes,
			DecodeNewTemplate),
		TypeTemplateSetNewPrevHash: row("SetNewPrevHash (template distribution)", lenU64+2*lenU256+2*lenU32,
			DecodeTemplateSetNewPrevHash),
		TypeRequestTransactionData: row("RequestTransactionData", lenU64, DecodeRequestTransactionData),
		TypeRequestTransactionDataSuccess: row("RequestTransactionData.Success", MaxPayload,
			DecodeRequestTransactionDataSuccess),
		TypeRequestTransactionDataError: row("RequestTransactionData.Error", lenU64+lenText,
			DecodeRequestTransactionDataError),
		TypeSubmitSolution: row("SubmitSolution", lenU64+3*lenU32+lenB64K, DecodeSubmitSolution),
	}
	negotiation = [256]*entry{
		TypeRequestExtensions: row("RequestExtensions", lenU16+lenU16s, DecodeRequestExtensions),
		TypeRequestExtensionsSuccess: row("RequestExtensions.Success", lenU16+lenU16s,
			DecodeRequestExtensionsSuccess),
		TypeRequestExtensionsError: row("RequestExtensions.Error", lenU16+2*lenU16s,
			DecodeRequestExtensionsError),
	}
	power = [256]*entry{
		TypePowerHello:     row("PowerHello", lenU32+lenPowerOffer, DecodePowerHello),
		TypePowerHelloAck:  row("PowerHello.Ack", lenU32+lenPowerTerms, DecodePowerHelloAck),
		TypeSetPowerTarget: row("SetPowerTarget", lenU32+lenPowerTarget, DecodeSetPowerTarget),
		TypeSetPowerTargetSuccess: row("SetPowerTarget.Success", lenU32+lenPowerAnswer,
			DecodeSetPowerTargetSuccess),
		TypeSetPowerTargetError: row("SetPowerTarget.Error", lenU32+lenPowerError, DecodeSetPowerTargetError),
		TypePowerReport:         row("PowerReport", lenU32+lenPowerReading, DecodePowerReport),
		TypeSetSitePowerTarget: row("SetSitePowerTarget", lenText+lenPowerTarget,
			DecodeSetSitePowerTarget),
		TypeSitePowerReport: row("SitePowerReport", lenText+lenPowerReading, DecodeSitePowerReport),
		TypeSitePowerHello:  row("SitePowerHello", 2*lenText+lenPowerOffer, DecodeSitePowerHello),
		TypeSitePowerHelloAck: row("SitePowerHello.Ack", lenText+lenPowerTerms,
			DecodeSitePowerHelloAck),
		TypeSitePowerHelloError: row("SitePowerHello.Error", 2*lenText, DecodeSitePowerHelloError),
		TypeSetSitePowerTargetSuccess: row("SetSitePowerTarget.Success", lenText+lenPowerAnswer,
			DecodeSetSitePowerTargetSuccess),
		TypeSetSitePowerTargetError: row("SetSitePowerTarget.Error", lenText+lenPowerError,
			DecodeSetSitePowerTargetError),
	}
)

// find is nil for an unknown message. The channel bit makes no difference.
func find(extension uint16, typ uint8) *entry {
	switch extension &^ ChannelBit {
	case 0:
		return core[typ]
	case ExtNegotiation:
		return negotiation[typ]
	case ExtPower:
		return power[typ]
	}
	return nil
}

// MaxLength is the longest payload that a message may have, TLVs included, and whether the
// message is known at all. Ask it with the header, before any memory is taken for the payload.
func MaxLength(extension uint16, typ uint8) (length int, known bool) {
	e := find(extension, typ)
	if e == nil {
		return 0, false
	}
	return min(e.max+lenTLVs, MaxPayload), true
}

// Name is the message's name in the specification, for logs; "" if it is unknown.
func Name(extension uint16, typ uint8) string {
	if e := find(extension, typ); e != nil {
		return e.name
	}
	return ""
}

// Decode reads any message that this package knows; the result is a value of
// its type, as in SetTarget{}. TLVs are left out. An unknown message is ErrUnknown, which
// is for the caller to ignore: strangers may speak extensions that we do not.
func Decode(h Header, payload []byte) (Message, error) {
	e := find(h.Extension, h.Type)
	if e == nil {
		return nil, fmt.Errorf("%w: extension %#04x, type %#02x", ErrUnknown, h.ID(), h.Type)
	}
	return e.decode(payload)
}
