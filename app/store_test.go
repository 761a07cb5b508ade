package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/mongotest"
	"manus/internal/waittest"
	"manus/lease"
)

// fill gives every field of a value something of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case docstore.Time:
		v.Set(reflect.ValueOf(docstore.At(time.UnixMilli(int64(*n) * 1e8))))
		return
	case json.RawMessage:
		v.SetBytes(fmt.Appendf(nil, `{"b":[%d.50,"ä\u0000\u2028"],"a":null}`, *n))
		return
	}
	switch v.Kind() { //nolint:exhaustive // documents have no others
	case reflect.String:
		v.SetString(fmt.Sprint("ب", *n, "\x00"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) << 40)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" { // what is no part of the document
				fill(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("mail/2"), value)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.1)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	default:
		panic("documents have a " + v.Type().String() + " now: fill it here")
	}
}

// fillStore puts documents of every kind into a store: with nothing, and with
// something everywhere.
func fillStore(t *testing.T, s config.Settings, documents int) {
	t.Helper()
	store, err := OpenStore(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, spec := range Specs() {
		for i := range documents {
			v := reflect.New(reflect.TypeOf(spec.Of)).Elem()
			if i%2 == 0 {
				fill(v, &n)
			} else {
				fillUnique(v, spec, &n)
			}
			v.Field(0).SetString(fmt.Sprintf("%04d", i)) // the id
			if data := v.FieldByName("Data"); data.IsValid() && data.Len() == 0 && data.Type() == reflect.TypeFor[json.RawMessage]() {
				data.SetBytes([]byte("null")) // what it is written as
			}
			if number := v.FieldByName("Number"); number.IsValid() && number.CanInt() && number.IsZero() {
				number.SetInt(int64(-i)) // which no two projects may have
			}
			for _, name := range []string{"EventID", "Short"} { // nor two events and issues
				if id := v.FieldByName(name); id.IsValid() && id.IsZero() {
					id.SetString(fmt.Sprintf("%04d", i))
				}
			}
			body, err := store.Codec().Encode(v.Interface())
			if err == nil {
				err = store.Insert(t.Context(), spec.Collection, docstore.Document{ID: fmt.Sprintf("%04d", i), Body: body})
			}
			if err != nil {
				t.Fatal(spec.Collection, err)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// fillUnique fills the fields that no two documents may have alike.
func fillUnique(v reflect.Value, spec docstore.Spec, n *int) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if slices.ContainsFunc(spec.Indexes, func(index docstore.Index) bool { return index.Unique && slices.Contains(index.Fields, name) }) {
			fill(v.Field(i), n)
		}
	}
}

// contents are all documents of an embedded store, as they are stored.
func contents(t *testing.T, s config.Settings) string {
	t.Helper()
	store, err := OpenStore(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var all strings.Builder
	for _, spec := range Specs() {
		page, err := store.Find(t.Context(), spec.Collection, docstore.Query{Limit: docstore.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range page.Documents {
			fmt.Fprintf(&all, "%s %s\n", spec.Collection, doc)
		}
	}
	return all.String()
}

func folder(t *testing.T) config.Settings {
	return config.Settings{DataDir: filepath.Join(t.TempDir(), "data")}
}

func nothingShown(docstore.Progress) {}
func unwarned(string)                {}

func mongo(t *testing.T) config.Settings {
	return config.Settings{MongoDB: config.NewSecret(mongotest.URI(t)), MongoDatabase: mongotest.Database(t)}
}

func TestEveryDocumentSurvivesTheWayToMongoDBAndBack(t *testing.T) {
	t.Parallel()
	first, there, back := folder(t), mongo(t), folder(t)
	fillStore(t, first, 11)
	verified := 0
	for _, way := range [][2]config.Settings{{first, there}, {there, back}} {
		if err := CopyData(t.Context(), way[0], way[1], func(p docstore.Progress) {
			if p.Verified {
				verified += p.Documents
			}
		}, unwarned); err != nil {
			t.Fatal(err)
		}
	}
	if want := 2 * 11 * len(Specs()); verified != want {
		t.Errorf("%d documents were verified, want %d", verified, want)
	}
	if got, want := contents(t, back), contents(t, first); got != want {
		t.Errorf("what came back is\n%s\nwant\n%s", got, want)
	}
}

func TestACopyThatWasCutShortIsMadeAgain(t *testing.T) {
	t.Parallel()
	first, second := folder(t), folder(t)
	fillStore(t, first, 300)
	for copied := range 5 { // each time it comes further
		ctx, cancel := context.WithCancel(t.Context())
		err := CopyData(ctx, first, second, func(p docstore.Progress) {
			if p.Documents >= 60*copied && !p.Verified {
				cancel()
			}
		}, unwarned)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if _, err := OpenStore(t.Context(), second); !errors.Is(err, docstore.ErrUnfinished) {
			t.Errorf("half a store is opened: %v", err)
		}
		if err := CopyData(t.Context(), second, folder(t), nothingShown, unwarned); !errors.Is(err, docstore.ErrUnfinished) {
			t.Errorf("half a store is copied: %v", err)
		}
	}
	// Meanwhile the first one is used: something comes, changes and goes.
	store, err := OpenStore(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := store.Get(t.Context(), "mails", "0001")
	if err == nil {
		err = errors.Join(store.Delete(t.Context(), "mails", "0001"), store.Delete(t.Context(), "mails", "0299"),
			store.Upsert(t.Context(), "users", "0002", func(docstore.Raw) (docstore.Raw, error) {
				return docstore.Raw(strings.Replace(string(raw), "0001", "0002", 1)), nil
			}), store.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	err = CopyData(t.Context(), first, second, nothingShown, unwarned)
	if err == nil || !strings.Contains(err.Error(), "doesn't know") { // that a mail is among the users
		t.Fatalf("got %v", err)
	}
	if store, err = OpenStore(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Delete(t.Context(), "users", "0002"), store.Close()); err != nil {
		t.Fatal(err)
	}
	if err := CopyData(t.Context(), first, second, nothingShown, unwarned); err != nil {
		t.Fatal(err)
	}
	if contents(t, first) != contents(t, second) {
		t.Error("they differ")
	}
	if err := CopyData(t.Context(), first, second, nothingShown, unwarned); !errors.Is(err, docstore.ErrNotEmpty) {
		t.Errorf("into a store that is in use: %v", err)
	}
}

func TestWhatIsWrittenDuringACopyIsReported(t *testing.T) {
	t.Parallel()
	first, second := folder(t), folder(t)
	fillStore(t, first, 3)
	err := CopyData(t.Context(), first, second, func(p docstore.Progress) {
		if p.Collection != "users" || p.Documents != 3 {
			return
		}
		store, err := OpenStore(t.Context(), first) // a server that starts just now
		if err == nil {
			err = errors.Join(docstore.NotFoundAs(store.Delete(t.Context(), "users", "0000"), nil), store.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}, unwarned)
	if err == nil || !strings.Contains(err.Error(), "somebody has written meanwhile") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsCopiedBesideAServer(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	if err := CopyData(t.Context(), a.settings, folder(t), nothingShown, unwarned); !errors.Is(err, sqlitedocs.ErrInUse) || !strings.Contains(err.Error(), "--from") {
		t.Errorf("from its store: %v", err)
	}
	first := folder(t)
	fillStore(t, first, 1)
	if err := CopyData(t.Context(), first, a.settings, nothingShown, unwarned); !errors.Is(err, sqlitedocs.ErrInUse) || !strings.Contains(err.Error(), "--to") {
		t.Errorf("into its store: %v", err)
	}
	register(t, a) // it has noticed nothing
}

func TestACopyFromMongoDBWarnsOfAServer(t *testing.T) {
	t.Parallel()
	s := ofServe(mongo(t))
	warned := 0
	copyAway := func() {
		t.Helper()
		if err := CopyData(t.Context(), s, folder(t), nothingShown, func(text string) {
			if warned++; !strings.Contains(text, "stop it first") {
				t.Errorf("it says %q", text)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	store, err := OpenStore(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	copyAway()
	if warned != 0 {
		t.Error("it warns of a server that never was")
	}
	ctx, cancel := context.WithCancel(t.Context())
	leases := lease.New(lease.Config{Store: store, Log: slog.New(slog.DiscardHandler)})
	worked := make(chan struct{}, 1)
	go func() {
		defer close(worked)
		leases.Every(ctx, "sweep", time.Hour, func(context.Context, lease.Held) error { worked <- struct{}{}; return nil })
	}()
	<-worked
	serving := (&App{settings: s, leases: leases}).serving()
	stopped := make(chan struct{})
	go func() { defer close(stopped); serving(ctx) }()
	waittest.Poll(t, func() bool { atWork, err := lease.AtWork(t.Context(), store); return err == nil && atWork })
	if err := CopyData(t.Context(), s, folder(t), nothingShown, unwarned); err == nil || !strings.Contains(err.Error(), "--from") || !strings.Contains(err.Error(), "stop every server first") {
		t.Errorf("beside a server: %v", err)
	}
	waittest.Poll(t, func() bool { last, err := lease.LastRun(t.Context(), store); return err == nil && !last.IsZero() })
	cancel()
	<-worked
	<-stopped
	copyAway()
	if warned != 1 {
		t.Errorf("it warns %d times", warned)
	}
}
