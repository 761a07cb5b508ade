package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"manus/docstore"
	"manus/docstore/mongodocs"
)

// task is what both keep.
type task struct {
	ID    string        `json:"_id" bson:"_id"`
	Owner string        `json:"owner" bson:"owner"`
	Rank  int           `json:"rank" bson:"rank"`
	Due   docstore.Time `json:"due" bson:"due"`
	Tags  []string      `json:"tags" bson:"tags"`
	Rev   int64         `json:"-" bson:"_rev"`
}

func (t task) DocumentID() string { return t.ID }

var tasks = docstore.Spec{Collection: "tasks", Of: task{}, Indexes: []docstore.Index{{Name: "by_owner", Fields: []string{"owner", "rank"}}}}

// work is one kind of work, done by the store and by the driver alone.
type work struct {
	name      string
	ours, raw func(ctx context.Context, i int) error
}

// ofStore measures what mongodocs costs beside the driver that does the same work: a
// batch by one, a batch by the other, again and again, one command at a time.
func ofStore(ctx context.Context, dir string) error {
	const documents, batch, rounds = 64, 100, 31
	server, err := startMongo(ctx, dir)
	if err != nil {
		return err
	}
	defer server.stop()
	const database = "manus_bench_store"
	store, err := mongodocs.Open(ctx, server.uri, database)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Declare(ctx, tasks); err != nil {
		return err
	}
	journalled := true
	client, err := driver.Connect(options.Client().ApplyURI(server.uri).SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journalled}))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx) //nolint:errcheck // the program ends
	raw := client.Database(database).Collection("tasks")
	if _, err := raw.DeleteMany(ctx, bson.D{}); err != nil {
		return err
	}
	ours := docstore.NewCollection[task](store, tasks)
	made := func(i int) task {
		return task{ID: fmt.Sprintf("%08d", i), Owner: fmt.Sprint("owner", i%4), Rank: i, Due: docstore.At(time.Now()), Tags: []string{"a", "b", "c"}, Rev: int64(i) + 1}
	}
	for i := range documents {
		if err := ours.Insert(ctx, made(i)); err != nil {
			return err
		}
	}
	id := func(i int) string { return fmt.Sprintf("%08d", i%documents) }
	byID := func(i int) bson.D { return bson.D{{Key: "_id", Value: id(i)}} }
	works := []work{
		{"get", func(ctx context.Context, i int) error {
			_, err := ours.Get(ctx, id(i))
			return err
		}, func(ctx context.Context, i int) error {
			var t task
			return raw.FindOne(ctx, byID(i)).Decode(&t)
		}},
		{"find 16 by an index", func(ctx context.Context, i int) error {
			found, _, err := ours.Find(ctx, docstore.Query{Index: "by_owner", Equal: []any{fmt.Sprint("owner", i%4)}, Limit: 16})
			return enough(len(found), err)
		}, func(ctx context.Context, i int) error {
			cursor, err := raw.Find(ctx, bson.D{{Key: "owner", Value: fmt.Sprint("owner", i%4)}}, options.Find().SetSort(bson.D{{Key: "rank", Value: 1}, {Key: "_id", Value: 1}}).SetLimit(17).SetBatchSize(17))
			if err != nil {
				return err
			}
			var found []task
			err = cursor.All(ctx, &found)
			return enough(len(found), err)
		}},
		{"change (read, compare-and-swap)", func(ctx context.Context, i int) error {
			_, err := ours.Update(ctx, id(i), func(t *task) error { t.Rank++; return nil })
			return err
		}, func(ctx context.Context, i int) error {
			var t task
			if err := raw.FindOne(ctx, byID(i)).Decode(&t); err != nil {
				return err
			}
			before := t.Rev
			t.Rank, t.Rev = t.Rank+1, before+1
			result, err := raw.ReplaceOne(ctx, append(byID(i), bson.E{Key: "_rev", Value: before}), t)
			if err == nil && result.MatchedCount != 1 {
				err = fmt.Errorf("it was not there")
			}
			return err
		}},
		{"insert and delete", func(ctx context.Context, i int) error {
			t := made(documents + i)
			if err := ours.Insert(ctx, t); err != nil {
				return err
			}
			return ours.Delete(ctx, t.ID)
		}, func(ctx context.Context, i int) error {
			t := made(documents + i)
			if _, err := raw.InsertOne(ctx, t); err != nil {
				return err
			}
			_, err := raw.DeleteOne(ctx, bson.D{{Key: "_id", Value: t.ID}})
			return err
		}},
	}
	fmt.Printf("MongoDB here is %s. Batches of %d in turn, %d rounds, medians.\n\n", server.title, batch, rounds)
	fmt.Println("| work | store | driver alone | ratio | client's processor time: store | driver | ratio |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, w := range works {
		var wall, cpu [2][]time.Duration
		for range rounds {
			for i, do := range []func(context.Context, int) error{w.ours, w.raw} {
				took, busy, err := timed(ctx, batch, do)
				if err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
				wall[i], cpu[i] = append(wall[i], took/batch), append(cpu[i], busy/batch)
			}
		}
		a, b, c, d := median(wall[0]), median(wall[1]), median(cpu[0]), median(cpu[1])
		fmt.Printf("| %s | %v | %v | %.2f× | %v | %v | %.2f× |\n", w.name, a.Round(1e3), b.Round(1e3), float64(a)/float64(b), c.Round(1e3), d.Round(1e3), float64(c)/float64(d))
	}
	return nil
}

func enough(found int, err error) error {
	if err == nil && found < 16 {
		return fmt.Errorf("%d were found", found)
	}
	return err
}

// timed does work some times, and says how long it took and how long this process was
// busy with it.
func timed(ctx context.Context, times int, do func(context.Context, int) error) (wall, cpu time.Duration, err error) {
	busy := processorTime()
	begin := time.Now()
	for i := range times {
		if err := do(ctx, i); err != nil {
			return 0, 0, err
		}
	}
	return time.Since(begin), processorTime() - busy, nil
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
