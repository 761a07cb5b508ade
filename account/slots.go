package account

import (
	"context"

	"manus/docstore"
)

// slotIndex is that of documents of which an account has a bounded number. Each has a
// slot, a number from 1 to the bound that no other of the account has: so however many
// are made at once, on however many copies, there are never more.
var slotIndex = docstore.Index{Name: "by_slot", Fields: []string{"user_id", "slot"}, Unique: true}

// insertInSlot stores a document of an account in the first slot that is free, or returns
// full when there are as many as the bound. The collection has the indexes by_user and
// slotIndex; slot is where a document has its number. One without a number, as those of before
// there were any, takes one from the end.
func insertInSlot[D docstore.Entity](ctx context.Context, c *docstore.Collection[D], userID string, bound int, full error, doc *D, slot func(*D) *int) error {
	for {
		there, _, err := c.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}, Limit: bound})
		if err != nil {
			return err
		}
		if *slot(doc) = freeSlot(there, bound, slot); *slot(doc) == 0 {
			return full
		}
		if err = c.Insert(ctx, *doc); !docstore.ConflictsOn(err, slotIndex.Name) {
			return err
		}
	}
}

// freeSlot is the first that no document has; 0 for none.
func freeSlot[D any](there []D, bound int, slot func(*D) *int) int {
	taken, last := map[int]bool{}, bound
	for i := range there {
		n := *slot(&there[i])
		if taken[n] = true; n == 0 {
			last--
		}
	}
	for n := 1; n <= last; n++ {
		if !taken[n] {
			return n
		}
	}
	return 0
}
