package sv2_test

import (
	"testing"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// BenchmarkShare_Decode is the decoding of a share and the encoding of its acknowledgement.
func BenchmarkShare_Decode(b *testing.B) {
	standard := sv2.SubmitSharesStandard{ChannelID: 1}.AppendFrame(nil)[sv2.HeaderSize:]
	extended := sv2.SubmitSharesExtended{Extranonce: make([]byte, 16)}.AppendFrame(nil)[sv2.HeaderSize:]
	dst := make([]byte, 0, 64)
	b.Run("standard", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, _, err := sv2.DecodeSubmitSharesStandard(standard)
			if err != nil {
				b.Fatal(err)
			}
			dst = sv2.SubmitSharesSuccess{ChannelID: m.ChannelID}.AppendFrame(dst[:0])
		}
	})
	b.Run("extended", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, _, err := sv2.DecodeSubmitSharesExtended(extended)
			if err != nil {
				b.Fatal(err)
			}
			dst = sv2.SubmitSharesSuccess{ChannelID: m.ChannelID}.AppendFrame(dst[:0])
		}
	})
}
