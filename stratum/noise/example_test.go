package noise_test

import (
	"fmt"
	"log"
	"net"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// A miner connects to a pool whose authority key it was told, and says one frame.
func Example() {
	authority, err := noise.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	id, err := noise.NewIdentity(authority, now.Add(-10*time.Minute), now.Add(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	public := authority.Public()

	pool, miner := net.Pipe()
	go func() {
		conn, err := noise.Connect(miner, &public, now)
		if err != nil {
			log.Fatal(err)
		}
		conn.Write([]byte{0, 0, 0x7f, 5, 0, 0, 'h', 'e', 'l', 'l', 'o'})
	}()

	conn, err := noise.Accept(pool, id)
	if err != nil {
		log.Fatal(err)
	}
	header, err := conn.ReadHeader() // an idle connection waits here, without a buffer
	if err != nil {
		log.Fatal(err)
	}
	payload, err := conn.ReadPayload(make([]byte, 64))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("type %#x: %s\n", header[2], payload)
	// Output: type 0x7f: hello
}

// The secret is stored; the public key goes into the URL that miners get.
func ExampleParseAuthority() {
	a, err := noise.ParseAuthority("mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Public())
	// Output: 9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72
}

// A mistyped key is found by its checksum.
func ExampleParsePublicKey() {
	_, err := noise.ParsePublicKey("9auqWEzQDV2d2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72")
	fmt.Println(err)
	// Output: not a valid authority key: the checksum does not match, a character is wrong or missing
}

// A stock is shared by one Identity after the other.
func ExampleNewStock() {
	stock := noise.NewStock(256)
	fmt.Println(stock.Len()) // Run fills it
	// Output: 0
}

// An identity is good for a while; the next should be in place before it ends.
func ExampleNewIdentity() {
	authority, err := noise.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	id, err := noise.NewIdentity(authority, start, start.Add(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.Until().UTC())
	// Output: 2026-12-01 01:00:00 +0000 UTC
}
