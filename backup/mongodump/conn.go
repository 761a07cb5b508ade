package mongodump

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"manus/backup"
	"manus/internal/mongodriver"
)

// ErrURI is returned for a URI that the driver doesn't understand. It takes the place
// of the driver's errors: those repeat it.
var ErrURI = errors.New("it isn't a MongoDB URI whose options the driver understands: correct MONGODB_URI, or what is in the file of --to-file")

// limits are what bounds the work, so that no server can make it last or grow for ever.
type limits struct {
	// patience is how long a server may take for one command.
	patience time.Duration
	// building is how long it may take to build a collection's indexes.
	building time.Duration
	// workers is how many commands with documents are under way at once.
	workers int
	// batch is about how many bytes of documents one such command has.
	batch int
	// split is from how many bytes on a collection is read as several ranges, each
	// of about that many.
	split int64
}

// normally are the limits but in tests. Of memory, a worker has its batch two or three
// times: as it came in, as it goes out, and what of earlier ones hasn't been freed.
func normally() limits {
	return limits{patience: time.Minute, building: 6 * time.Hour, workers: 4, batch: 512 << 10, split: 64 << 20}
}

// cleanupTimeout bounds each step of cleaning up after a failure: freeing a cursor,
// dropping a scratch database, closing the connections. All three fit into the second
// that an end may take. The driver doesn't always keep to a timeout, so the connections
// are cut after twice this time.
const cleanupTimeout = 250 * time.Millisecond

// conn is a connection to a database, for as long as one piece of work takes.
type conn struct {
	limits
	client   *mongo.Client
	dialer   *dialer
	reading  *options.DatabaseOptionsBuilder
	database *mongo.Database // reads as the URI says
	primary  *mongo.Database // reads what has been written
	server   string          // its version
	clock    time.Time       // what its clock showed when it was greeted, if it says
}

// on is the same connection to another database.
func (c *conn) on(database string) *conn {
	other := *c
	other.database = c.client.Database(database, c.reading)
	other.primary = c.client.Database(database, options.Database().SetReadPreference(readpref.Primary()))
	return &other
}

func (c *conn) name() string { return c.primary.Name() }

// databaseNames are the names of the databases that the user may see.
func (c *conn) databaseNames(ctx context.Context) (names []string, err error) {
	err = c.within(ctx, c.patience, func(ctx context.Context) (err error) {
		names, err = c.client.ListDatabaseNames(ctx, bson.D{})
		return err
	})
	return names, err
}

// open connects to a database. Errors don't repeat the URI.
func open(ctx context.Context, uri, database string, l limits) (*conn, error) {
	o, err := clientOptions(uri, l)
	if err != nil {
		return nil, err
	}
	d := newDialer(ctx)
	client, err := mongo.Connect(o.SetDialer(d))
	if err != nil {
		return nil, ErrURI
	}
	c := &conn{limits: l, client: client, dialer: d, primary: client.Database(database, options.Database().SetReadPreference(readpref.Primary()))}
	if err := c.greet(ctx, o.ReadPreference); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// clientOptions are the URI's, but for what the work asks for. A write isn't repeated:
// some servers don't know the driver's retryable writes, and a restore that was cut
// off is begun anew.
func clientOptions(uri string, l limits) (*options.ClientOptions, error) {
	o := options.Client().ApplyURI(uri)
	err := o.Validate()
	if _, ok := errors.AsType[*net.DNSError](err); ok { // of a mongodb+srv:// URI
		return nil, fmt.Errorf("%w: the hosts of MongoDB can't be looked up in DNS: check the name in the URI, and this machine's DNS", backup.ErrUnavailable)
	}
	if err != nil {
		return nil, ErrURI
	}
	o.Timeout = nil // ours are better suited to a large database
	journalled := true
	return o.
		SetAppName("manus backup").
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journalled}).
		SetRetryWrites(false).
		SetMaxPoolSize(uint64(l.workers + 2)).
		SetServerSelectionTimeout(min(10*time.Second, l.patience)).
		SetConnectTimeout(min(10*time.Second, l.patience)), nil
}

// greet waits for a server, and asks it what it is. Only a member of a replica set, or
// a router to some, knows what a majority has.
func (c *conn) greet(ctx context.Context, preference *readpref.ReadPref) error {
	var info struct {
		Version string `bson:"version"`
	}
	var hello struct {
		Set string `bson:"setName"`
		Msg string `bson:"msg"`

		LocalTime time.Time `bson:"localTime"`
	}
	if err := c.run(ctx, "admin", &info, bson.D{{Key: "buildInfo", Value: 1}}); err != nil {
		return err
	}
	if err := c.run(ctx, "admin", &hello, bson.D{{Key: "hello", Value: 1}}); err != nil {
		return err
	}
	reading := options.Database()
	if preference != nil {
		reading.SetReadPreference(preference)
	}
	if hello.Set != "" || hello.Msg == "isdbgrid" {
		reading.SetReadConcern(readconcern.Majority())
	}
	c.server, c.clock, c.reading = info.Version, hello.LocalTime, reading
	c.database = c.client.Database(c.primary.Name(), reading)
	return nil
}

// close lets the connections go, and cuts those that can't be let go of.
func (c *conn) close() {
	defer c.dialer.cut()
	late := time.AfterFunc(cleanupTimeout, c.dialer.cut)
	defer late.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	_ = c.client.Disconnect(ctx) // the connections are cut anyway
}

// run runs a command and decodes what the primary answers.
func (c *conn) run(ctx context.Context, database string, answer any, command bson.D) error {
	return c.within(ctx, c.patience, func(ctx context.Context) error {
		on := c.client.Database(database)
		return on.RunCommand(ctx, command, options.RunCmd().SetReadPreference(readpref.Primary())).Decode(answer)
	})
}

// within calls the driver with a timeout of its own, and translates its error.
func (c *conn) within(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := ask(mongodriver.Unhurried{Context: asking})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return translateError(err)
}

// dialer makes connections that can all be cut at once. The driver waits for those that
// it is about to make, and for some answers, as long as a server takes that doesn't
// answer.
type dialer struct {
	net.Dialer
	ctx context.Context
	cut context.CancelFunc
}

// newDialer makes connections for some work, and cuts them soon after that was to end.
func newDialer(work context.Context) *dialer {
	d := &dialer{}
	d.ctx, d.cut = context.WithCancel(context.WithoutCancel(work))
	stop := context.AfterFunc(work, func() { time.AfterFunc(2*cleanupTimeout, d.cut) })
	context.AfterFunc(d.ctx, func() { stop() })
	return d
}

// DialContext connects until ctx ends, or everything is cut.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { _ = c.Close() }) // again, if the driver has
	return c, nil
}

// answer is what a server says when it doesn't do something. Its text isn't repeated, as
// it may have values of documents in it, or a whole command.
type answer struct {
	what  string
	cause error
}

func (a answer) Error() string { return a.what }
func (a answer) Unwrap() error { return a.cause }

// refusal is an answer that will be the same the next time.
type refusal struct{ answer }

// translateError makes an error of the driver one of ours. Everything that isn't a
// server's answer is about a connection, and so ErrUnavailable.
func translateError(err error) error {
	if err == nil {
		return nil
	}
	server, ok := errors.AsType[mongo.ServerError](err)
	if !ok || mongo.IsNetworkError(err) || !slices.ContainsFunc(server.ErrorCodes(), isCode) {
		return fmt.Errorf("%w: MongoDB can't be reached, or has stopped answering: see that it runs, and that the URI names it: %w", backup.ErrUnavailable, err)
	}
	said := answer{"MongoDB answers " + codeOf(server), err}
	switch {
	case server.HasErrorCode(mongodriver.AuthenticationFailed):
		return fmt.Errorf("MongoDB doesn't know the user of the URI, or the password is another one, or the user is of another database than the one that authSource names: correct the URI: %w", said)
	case slices.ContainsFunc(mongodriver.ForbiddenCodes(), server.HasErrorCode):
		return fmt.Errorf("the user of the MongoDB URI isn't allowed to do this: give it what backups need, the roles readWrite and dbAdmin on the database, and on any named %s…: %w", scratchPrefix, said)
	case slices.ContainsFunc(mongodriver.TransientCodes(), server.HasErrorCode):
		return fmt.Errorf("%w: %w", backup.ErrUnavailable, said)
	}
	return refusal{said}
}

// isCode tells whether a code is a server's. The driver has 0 in errors of its own that
// look like a server's.
func isCode(code int) bool { return code != 0 }

// codeOf names what a server answered, which has a code.
func codeOf(server mongo.ServerError) string {
	if command, ok := errors.AsType[mongo.CommandError](server); ok {
		return strings.TrimSpace(fmt.Sprintf("%s (code %d)", command.Name, command.Code))
	}
	return fmt.Sprintf("with code %d", server.ErrorCodes()[0])
}
