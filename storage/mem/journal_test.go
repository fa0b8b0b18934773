package mem_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

// Ensure the journal in memory does what the port says.
func TestJournal_Conforms(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storagetest.Place {
		j := mem.New()
		return func() (storage.Journal, error) {
			j = j.Reopen()
			return j, nil
		}
	})
}

// Ensure a reopened journal takes the old handle's place, as the next process would.
func TestJournal_ReopenEndsTheOldHandle(t *testing.T) {
	old := mem.New()
	if _, err := old.Append(t.Context(), storage.Write{Stream: "a", Records: [][]byte{{1}}}); err != nil {
		t.Fatal(err)
	}
	j := old.Reopen()
	_, err := old.Append(t.Context(), storage.Write{Stream: "a", Expect: 1})
	if !errors.Is(err, storage.ErrClosed) {
		t.Errorf("append to the old handle: %v, want ErrClosed", err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if last, err := j.Last(t.Context(), "a"); last != 1 || err != nil {
		t.Errorf("last is %d (%v), want 1", last, err)
	}
	if first, err := j.Lead(t.Context()); first != 1 || err != nil {
		t.Errorf("term is %d (%v), want 1", first, err)
	}
	if second, err := j.Reopen().Lead(t.Context()); second != 2 || err != nil {
		t.Errorf("term is %d (%v), want 2", second, err)
	}
}

// ExampleNew shows that a wrong expect writes nothing.
func ExampleNew() {
	ctx := context.Background()
	j := mem.New()
	defer func() { _ = j.Close() }()
	seq, err := j.Append(ctx, storage.Write{Stream: "notes", Expect: 0, Records: [][]byte{[]byte("first")}})
	fmt.Println(seq, err)
	_, err = j.Append(ctx, storage.Write{Stream: "notes", Expect: 0, Records: [][]byte{[]byte("late")}})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// stream has moved on: notes is at 1, not at 0
}
