package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
)

// cutShort runs a test of steps on a store of which each call fails once.
func cutShort(t *testing.T, test func(b bench, cut func(func() error))) {
	t.Helper()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		test(onStore(t, store, "", pace{}), cut)
	})
}

// written is a session with as many messages.
func (b bench) written(t *testing.T, messages int) string {
	t.Helper()
	id := b.create(t).ID
	for i := range messages {
		if _, err := b.Write(t.Context(), "u", id, fmt.Sprint(i), ""); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// mustBeSwept tells what is left of sessions after the grace of their deletion.
func (b bench) mustBeSwept(t *testing.T, ids ...string) {
	t.Helper()
	b.now = func() time.Time { return time.Now().Add(deletionGrace + time.Minute) }
	if err := b.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	for _, id := range ids {
		if exists, err := b.Exists(t.Context(), id); err != nil || exists {
			t.Errorf("a session is left (%v)", err)
		}
		if log := b.log(t, id); len(log) != 0 {
			t.Errorf("%d events are left", len(log))
		}
	}
}

func TestADeletionCutShortIsToldAndFinished(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		id := b.written(t, 2)
		cut(func() error { return b.Delete(t.Context(), "u", id) })
		if err := b.Delete(t.Context(), "u", id); err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		b.mustBeSwept(t, id)
	})
}

func TestASweepCutShortIsToldAndFinished(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		ids := []string{b.written(t, 1), b.written(t, 1)}
		for _, id := range ids {
			if err := b.Delete(t.Context(), "u", id); err != nil {
				t.Fatal(err)
			}
		}
		b.now = func() time.Time { return time.Now().Add(2 * deletionGrace) }
		cut(func() error { return b.Sweep(t.Context()) })
		b.mustBeSwept(t, ids...)
	})
}

func TestAnErasureCutShortIsToldAndFinished(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		ids := []string{b.written(t, 1), b.written(t, 0)}
		cut(func() error { return b.Erase(t.Context(), "u") })
		if err := b.Erase(t.Context(), "u"); err != nil {
			t.Error(err)
		}
		b.mustBeSwept(t, ids...)
	})
}

func TestAStopCutShortIsToldAndFinished(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		id := b.written(t, 1)
		cut(func() error { _, err := b.Stop(t.Context(), "u", id); return err })
		if stopped, err := b.Stop(t.Context(), "u", id); err != nil || stopped.Status != Stopped {
			t.Errorf("got %+v, %v", stopped, err)
		}
		if log := b.log(t, id); len(log) != 2 || log[1].Type != StoppedType {
			t.Errorf("the log: %+v", log)
		}
	})
}

func TestAMessageThatIsNotStoredIsToldAndCanBeWrittenAgain(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		id := b.create(t).ID
		write := func() error { _, err := b.Write(t.Context(), "u", id, "hello", "key"); return err }
		cut(write)
		if err := write(); err != nil {
			t.Error(err)
		}
		if log := b.log(t, id); len(log) != 1 {
			t.Errorf("%d events", len(log))
		}
	})
}

func TestAnExportThatIsNotWholeIsAnError(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		b.written(t, 1)
		b.written(t, 1)
		files := map[string]int{}
		cut(func() error {
			return b.Export(t.Context(), "u", func(name string, values iter.Seq2[any, error]) error {
				for _, err := range values {
					if err != nil {
						return err
					}
					files[name]++
				}
				return nil
			})
		})
	})
}

func TestWhatIsReadIsWholeOrAnError(t *testing.T) {
	t.Parallel()
	cutShort(t, func(b bench, cut func(func() error)) {
		id := b.written(t, 1)
		cut(func() error {
			_, getErr := b.Get(t.Context(), "u", id)
			_, existsErr := b.Exists(t.Context(), id)
			_, renameErr := b.Rename(t.Context(), "u", id, "Another")
			return errors.Join(getErr, existsErr, renameErr)
		})
	})
}

// failingQuota is one whose store can't be reached.
type failingQuota struct{}

func (failingQuota) Reserve(context.Context, string, string) error { return nil }
func (failingQuota) Confirm(context.Context, string, string) error { return docstore.ErrUnavailable }

// A session whose run couldn't be confirmed is there, and isn't deleted before it can
// be: the quota would take it for one that never was, and give the run back.
func TestASessionIsDeletedOnlyOnceItsRunIsConfirmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log bytes.Buffer
	elsewhere := New(Config{Store: b.store, Quota: failingQuota{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	made, err := elsewhere.Create(t.Context(), "u", "A title")
	if err != nil || !strings.Contains(log.String(), made.ID) {
		t.Fatalf("made: %v; the operator reads: %s", err, &log)
	}
	if err := elsewhere.Delete(t.Context(), "u", made.ID); !errors.Is(err, docstore.ErrUnavailable) {
		t.Errorf("it is deleted: %v", err)
	}
	if _, err := b.Get(t.Context(), "u", made.ID); err != nil {
		t.Error(err)
	}
	if err := b.Delete(t.Context(), "u", made.ID); err != nil || !b.quota.confirmed[made.ID] {
		t.Errorf("its run is confirmed: %v, %v", b.quota.confirmed[made.ID], err)
	}
}

func TestTextsHave16KiB(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	long := make([]byte, maxText)
	for i := range long {
		long[i] = 'x'
	}
	if _, err := b.Write(t.Context(), "u", id, string(long), ""); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", string(long) + "x", "a\x00b"} {
		if _, err := b.Write(t.Context(), "u", id, text, ""); !errors.Is(err, ErrInvalidText) {
			t.Errorf("a text of %d bytes: %v", len(text), err)
		}
	}
}

func TestAClientKeyStandsForOneKindOfEventToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	append := func(kind, data string) error {
		_, err := b.Append(t.Context(), Event{SessionID: id, Type: kind, Data: json.RawMessage(data), ClientKey: "key"})
		return err
	}
	if err := append("step", `1`); err != nil {
		t.Fatal(err)
	}
	if err := append("step", `1`); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := append("result", `1`); !errors.Is(err, ErrKeyReused) {
		t.Errorf("of another type: %v", err)
	}
}
