package mongodump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"manus/backup"
	"manus/internal/mongotest"
	"manus/internal/processtest"
	"manus/internal/waittest"
)

// scratches are the scratch databases of a server.
func scratches(t *testing.T, client *mongo.Client) []string {
	t.Helper()
	names, err := client.ListDatabaseNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, scratchPrefix) })
}

func TestADrillReadsWhatWasDumped(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t) // as scratch databases are counted
	db := furnished(t, server.URI())
	s := source(server.URI(), db)
	archive, contents := dumped(t, s)
	var told []int64
	again, err := s.Drill(t.Context(), bytes.NewReader(archive), func(n int64) { told = append(told, n) })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, again, contents)
	if !slices.IsSorted(told) || told[len(told)-1] != int64(len(archive)) {
		t.Errorf("the progress of %d bytes was %v", len(archive), told)
	}
	if _, err := s.Drill(t.Context(), bytes.NewReader(archive[:len(archive)-10]), nil); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("of a part: %v", err)
	}
	if left := scratches(t, db.Client()); len(left) > 0 {
		t.Errorf("there are %v left", left)
	}
}

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"measures": measure, "drills": drillAndHang})
	m.Run()
}

// drillAndHang begins a drill of an archive, of which it gets one half. It says so when
// that is read, and waits to be killed.
func drillAndHang(args []string) error {
	archive, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	s := NewSource(args[0], args[1])
	s.limits = patient()
	half := io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), readerFunc(func([]byte) (int, error) {
		fmt.Println("half of it is read")
		select {}
	}))
	_, err = s.Drill(context.Background(), half, nil)
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(text []byte) (int, error) { return f(text) }

func TestWhatAKilledDrillLeavesTheNextOneRemoves(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := database(t, server.URI())
	insert(t, db, "c", numbered(0, 1000, 300)...)
	bystander := db.Client().Database(scratchPrefix + "of_somebody_else")
	insert(t, bystander, "c", numbered(0, 1, 50)...)
	s := source(server.URI(), db)
	archive, contents := dumped(t, s)

	p := processtest.Start(t, "drills", server.URI(), db.Name())
	if _, err := p.Input.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := p.Input.Close(); err != nil {
		t.Fatal(err)
	}
	p.Await(t, "half")
	p.Kill(t)
	left := scratches(t, db.Client())
	if len(left) != 2 {
		t.Fatalf("the killed process has left %v", left)
	}

	for _, c := range []struct {
		later time.Duration
		left  int
	}{{0, 2}, {11 * time.Hour, 2}, {13 * time.Hour, 1}} {
		s.now = func() time.Time { return time.Now().Add(c.later) }
		again, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, again, contents)
		if left := scratches(t, db.Client()); len(left) != c.left || !slices.Contains(left, bystander.Name()) {
			t.Errorf("%v later, there are %v", c.later, left)
		}
	}
}

func TestScratchDatabasesHaveTheirTimeInTheirNames(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 23, 59, 1, 0, time.FixedZone("", 3600))
	name := scratchName(now)
	if made, ok := scratchMade(name); !ok || !made.Equal(now) || len(name) > 63 || name == scratchName(now) {
		t.Errorf("%s was made at %v", name, made)
	}
	for _, other := range []string{"", "manus", scratchPrefix, name + "x", "x" + name, strings.ToUpper(name), "manus_drill_20261399t000000z_aaaaaaaaaaaa", "manus_drill_prod"} {
		if _, ok := scratchMade(other); ok {
			t.Errorf("%q is taken for a scratch database", other)
		}
	}
}

func TestAWrongPasswordIsNotAMissingRole(t *testing.T) {
	t.Parallel()
	for code, want := range map[int32]string{18: "the password is another one", 13: "roles"} {
		err := translateError(mongo.CommandError{Code: code, Name: "x"})
		if err == nil || !strings.Contains(err.Error(), want) || code == 18 && strings.Contains(err.Error(), "roles") {
			t.Errorf("of the code %d it says %v", code, err)
		}
	}
}

// As the driver has it: what is refused while a connection is made isn't a network's fault.
func TestAWrongPasswordIsToldAsSuch(t *testing.T) {
	t.Parallel()
	f := (&fake{refuse: "saslStart", code: 18}).start(t)
	uri := strings.Replace(f.uri, "://", "://amal:hunter2@", 1) + "&authMechanism=SCRAM-SHA-256"
	_, err := NewSource(uri, "d").Dump(t.Context(), io.Discard, nil)
	if err == nil || errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "the password is another one") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it says %v", err)
	}
}

func TestADrillThatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := database(t, server.URI())
	insert(t, db, "c", numbered(0, 10, 300)...)
	s := source(server.URI(), db)
	archive, _ := dumped(t, s)
	s.stale = time.Nanosecond
	if _, err := s.Drill(t.Context(), bytes.NewReader(archive), nil); !errors.Is(err, errSlow) {
		t.Errorf("it ends with %v", err)
	}
	if left := scratches(t, db.Client()); len(left) > 0 {
		t.Errorf("there are %v left", left)
	}
}

// fault is what becomes of the network, and of the work.
type fault struct {
	name string
	now  func(t *testing.T, server *mongotest.Server, cancel func())
	want error
	// patience is the server's, and if there is a deadline, it's sooner.
	patience, deadline time.Duration
}

func faults() []fault {
	freeze := func(t *testing.T, server *mongotest.Server, _ func()) { server.Freeze(t) }
	return []fault{
		{"cut", func(t *testing.T, server *mongotest.Server, _ func()) { server.Cut(t) }, backup.ErrUnavailable, time.Second, time.Hour},
		{"frozen", freeze, backup.ErrUnavailable, time.Second, time.Hour},
		{"frozen until the deadline", freeze, context.DeadlineExceeded, time.Minute, 2 * time.Second},
		{"cancelled", func(_ *testing.T, _ *mongotest.Server, cancel func()) { cancel() }, context.Canceled, time.Minute, time.Hour},
		{"frozen and cancelled", func(t *testing.T, server *mongotest.Server, cancel func()) { server.Freeze(t); cancel() }, context.Canceled, time.Minute, time.Hour},
	}
}

// work is one of the things that take long. midst is called in the midst of it.
type work func(ctx context.Context, s *Source, archive []byte, midst func()) error

func works(t *testing.T) map[string]work {
	return map[string]work{
		"a dump": func(ctx context.Context, s *Source, archive []byte, midst func()) error {
			return second(s.Dump(ctx, io.Discard, after(len(archive)/3, midst)))
		},
		"a drill": func(ctx context.Context, s *Source, archive []byte, midst func()) error {
			return second(s.Drill(ctx, bytes.NewReader(archive), after(len(archive)/3, midst)))
		},
		"a restore": func(ctx context.Context, s *Source, archive []byte, midst func()) error {
			r := &Restorer{uri: s.uri, database: mongotest.Database(t), limits: s.limits}
			return second(r.Restore(ctx, bytes.NewReader(archive), backup.RestoreOptions{}, after(len(archive)/3, midst)))
		},
	}
}

func TestABrokenNetworkEndsTheWork(t *testing.T) {
	t.Parallel()
	for name, work := range works(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mongotest.Start(t)
			db := database(t, server.DirectURI())
			insert(t, db, "c", numbered(0, 1000, 300)...)
			insert(t, db, "d", numbered(0, 1000, 100)...)
			archive, contents := dumped(t, source(server.URI(), db))
			for _, f := range faults() {
				f.strike(t, server, source(server.URI(), db), archive, work)
			}
			again, err := source(server.URI(), db).Drill(t.Context(), bytes.NewReader(archive), nil)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, again, contents)
		})
	}
}

// strike lets the fault happen in the midst of the work, and mends the network.
func (f fault) strike(t *testing.T, server *mongotest.Server, s *Source, archive []byte, work work) {
	t.Helper()
	defer server.Mend(t)
	s.limits.patience = f.patience
	ctx, cancel := context.WithTimeout(t.Context(), f.deadline)
	defer cancel()
	var ends time.Time // at the latest, but for what a busy machine adds
	err := work(ctx, s, archive, func() {
		f.now(t, server, cancel)
		ends = time.Now().Add(min(f.patience, f.deadline))
		if f.want == context.Canceled {
			ends = time.Now()
		}
	})
	if ends.IsZero() && errors.Is(err, f.want) { // on a busy machine, time is up before the fault
		f.patience, f.deadline = 2*f.patience, 2*f.deadline
		f.strike(t, server, s, archive, work)
		return
	}
	if ends.IsZero() || !errors.Is(err, f.want) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("%s, it ends with %v", f.name, err)
	}
	if late := time.Since(ends); late > 25*time.Second {
		t.Errorf("%s, it ends %v late", f.name, late)
	}
}

// TestNoGoroutineIsLeft isn't parallel, as it counts them.
func TestNoGoroutineIsLeft(t *testing.T) {
	server := mongotest.Start(t)
	db := database(t, server.DirectURI())
	insert(t, db, "c", numbered(0, 300, 300)...)
	archive, _ := dumped(t, source(server.URI(), db))
	before := runtime.NumGoroutine()
	for _, f := range faults() {
		for name, work := range works(t) {
			if f.deadline < time.Hour || f.patience < time.Minute && name != "a drill" {
				continue // which takes too long for all
			}
			f.strike(t, server, source(server.URI(), db), archive, work)
			settled(t, before)
		}
	}
}

// after calls a function once, when a number of bytes has been read or written.
func after(bytes int, call func()) func(int64) {
	return func(n int64) {
		if n >= int64(bytes) && call != nil {
			call()
			call = nil
		}
	}
}

// settled waits until there are no more goroutines than before.
func settled(t *testing.T, before int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections() // to the API of the network
	waittest.Poll(t, func() bool { return runtime.NumGoroutine() <= before })
}
