// Package mongodocs keeps documents in MongoDB: a collection a collection, a
// document a native document that mongosh can query, an index a native index.
//
//	db.users.find({email_key: "amal@example.com"})
//
// Each document has a field of the engine's own, _rev, a number that is another one
// after every write: by it, a change is a compare-and-swap. Writes are acknowledged
// when a majority has them in its journal. A standalone server is enough, and so are
// those that speak MongoDB's protocol: no transactions, change streams or TTL
// indexes are used, and errors are told apart by their codes alone.
//
// Any number of processes may use one database at once. The package knows nothing of
// what the documents mean.
package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"manus/docstore"
	"manus/internal/mongodriver"
)

var _ docstore.Store = (*Store)(nil)

// Store is a database on a MongoDB server. It is a [docstore.Store].
type Store struct {
	client   *mongo.Client
	database *mongo.Database
	codec    bsonCodec
	reach    *reach
	turns    *turns

	collections docstore.Declared[*collection]

	mu       sync.Mutex
	closed   bool
	calls    sync.WaitGroup // under way
	closeErr error
}

// Open connects to the server or cluster of a mongodb:// or mongodb+srv:// URI and
// waits for a server that takes writes. Errors don't repeat the URI; they are
// ErrUnavailable where a later try may succeed.
func Open(ctx context.Context, uri, database string) (*Store, error) {
	s := &Store{
		codec: newCodec(),
		reach: &reach{},
		turns: &turns{waiting: map[string]*turn{}},
	}
	o, err := clientOptions(uri)
	if err != nil {
		return nil, err
	}
	if s.client, err = mongo.Connect(o.SetServerMonitor(s.reach.monitor())); err != nil {
		return nil, ErrURI
	}
	s.database = s.client.Database(database)
	if err := s.waitFor(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("MongoDB can't be reached: %w", err), s.Close())
	}
	return s, nil
}

// ErrURI is returned for a URI that the driver doesn't understand. It takes the place
// of the driver's errors: those repeat it.
var ErrURI = errors.New("it isn't a MongoDB URI whose options the driver understands")

// clientOptions are the URI's, but for what the meaning of docstore.Store asks
// for. Attempts are repeated here rather than in the driver: some servers don't know
// its retryable writes.
func clientOptions(uri string) (*options.ClientOptions, error) {
	o := options.Client().ApplyURI(uri)
	err := o.Validate()
	if _, ok := errors.AsType[*net.DNSError](err); ok { // of a mongodb+srv:// URI
		return nil, fmt.Errorf("%w: the hosts of MongoDB can't be looked up in DNS", docstore.ErrUnavailable)
	}
	if err != nil {
		return nil, ErrURI
	}
	journalled := true
	return o.
		SetAppName("manus").
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journalled}).
		SetRetryReads(false).
		SetRetryWrites(false).
		SetServerSelectionTimeout(selectionTimeout).
		SetConnectTimeout(connectTimeout).
		SetHeartbeatInterval(heartbeat), nil
}

// startPatience is how long a server is waited for at the start.
const startPatience = 10 * time.Second

func (s *Store) waitFor(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := s.ping(ctx)
		if err == nil || !transient(err) || ctx.Err() != nil {
			return translateError(err)
		}
		select {
		case <-time.After(lastPause):
		case <-ctx.Done():
			return unavailable(err)
		}
	}
}

// enter counts a call in; done is to be called at its end.
func (s *Store) enter(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// Get returns the document with the id, or ErrNotFound.
func (s *Store) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	c, err := s.collections.Get(collection)
	if err != nil {
		return nil, err
	}
	var doc docstore.Raw
	err = s.retry(ctx, func(ctx context.Context) error {
		doc, err = c.get(ctx, id)
		return err
	})
	if err == nil && doc == nil {
		err = docstore.ErrNotFound
	}
	return doc, err
}

// Find returns a page of documents in index order.
func (s *Store) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	var page docstore.Page
	c, plan, err := s.collections.Plan(collection, q)
	if err != nil {
		return page, err
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		page, err = c.find(ctx, plan)
		return err
	})
	return page, err
}

// Codec is BSON by the documents' json tags. Raw JSON is kept as its text.
func (s *Store) Codec() docstore.Codec { return s.codec }

// Ping proves that a server takes a write and that a majority has it, by a
// deletion that finds nothing: nothing is written.
func (s *Store) Ping(ctx context.Context) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = s.database.Collection(probe).DeleteOne(mongodriver.Unhurried{Context: ctx}, bson.D{{Key: id, Value: probe}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return translateError(failed(err))
}

// Clock is what time it is by the server's clock.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer done()
	var answer struct {
		LocalTime time.Time `bson:"localTime"`
	}
	err = s.database.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&answer)
	return answer.LocalTime, translateError(failed(err))
}

// probe is a collection that there isn't, and the id of what isn't in it.
const probe = "write_probe"

func (s *Store) ping(ctx context.Context) error {
	ping := bson.D{{Key: "ping", Value: 1}}
	err := s.database.RunCommand(mongodriver.Unhurried{Context: ctx}, ping, options.RunCmd().SetReadPreference(readpref.Primary())).Err()
	return failed(err)
}

// Close waits for calls under way and lets the connections go.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	if first {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
		defer cancel()
		s.closeErr = s.client.Disconnect(ctx)
	}
	return s.closeErr
}
