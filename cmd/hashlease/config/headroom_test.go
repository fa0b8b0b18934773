package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// Ensure that the age of a commissioning is thirty days where the file says nothing, that it is read in days
// or hours, and that one that cannot be is named with what is accepted.
func TestHeadroom_ReadsTheAgeOfACommissioning(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"":                     30 * day,
		`proof_age = "7d"`:     7 * day,
		`proof_age = "90d"`:    90 * day,
		`proof_age = "36h"`:    36 * time.Hour,
		`proof_age = "1h30m"`:  90 * time.Minute,
		`proof_age = "365d"`:   365 * day,
		`proof_age = "65535d"`: 65535 * day,
	} {
		c, err := config.Decode("f.toml", []byte("[headroom]\n"+text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := time.Duration(c.Headroom.ProofAge); got != want {
			t.Errorf("%s is read as %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`proof_age = 30`:          "proof_age",
		`proof_age = "30"`:        "as 30s, 2m, 1h30m or 30d",
		`proof_age = "-3d"`:       "as 30s",
		`proof_age = "1.5d"`:      "as 30s",
		`proof_age = "d"`:         "as 30s",
		`proof_age = " 3d"`:       "as 30s",
		`proof_age = "99999999d"`: "as 30s",
		`proofage = "1h"`:         "accepted here: proof_age",
	} {
		_, err := config.Decode("f.toml", []byte("[headroom]\n"+text))
		if err == nil || !strings.HasPrefix(err.Error(), "f.toml:2: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	c := full()
	for _, age := range []time.Duration{0, time.Hour - 1, 366*day + 1} {
		c.Headroom.ProofAge = config.Duration(age)
		wantLines(t, c.Validate(), []string{"headroom.proof_age is"})
		if err := c.Validate(); !strings.Contains(err.Error(), "1h to 366d is accepted") {
			t.Errorf("%v: %v", age, err)
		}
	}
}

// Ensure that N-1 is kept unless a feeder says that it is not, through writing and reading too.
func TestFeeder_KeepsASpareUnlessToldOtherwise(t *testing.T) {
	c := full()
	for _, off := range []bool{false, true} {
		spare := !off
		c.Sites[0].Feeder[0].SpareDomain = &spare
		text, err := config.Encode(&c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := config.Decode("f.toml", text)
		if err != nil {
			t.Fatal(err)
		}
		sites, workers, err := back.Fleet()
		if err != nil || sites[0].Feeders[0].NoSpare != off {
			t.Errorf("n_minus_1 = %v: %+v %v", spare, sites[0].Feeders[0], err)
		}
		again, _ := config.FromFleet(sites, workers, nil)
		if again[0].Feeder[0].Spare() != spare {
			t.Errorf("n_minus_1 = %v is described as %v", spare, again[0].Feeder[0].Spare())
		}
	}
	c.Sites[0].Feeder[0].SpareDomain = nil
	if sites, _, _ := c.Fleet(); sites[0].Feeders[0].NoSpare {
		t.Error("without a word about it N-1 is off")
	}
}
