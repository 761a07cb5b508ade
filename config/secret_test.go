package config

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"manus/internal/processtest"
)

// hidden holds a secret where fmt may not call its methods.
type hidden struct {
	name   string
	secret Secret
	more   *Secret
	list   []Secret
	byName map[string]Secret
	any    any
}

func hide(s Secret) hidden {
	return hidden{"name", s, &s, []Secret{s}, map[string]Secret{"key": s}, s}
}

func TestSecretIsRevealedByRevealAlone(t *testing.T) {
	t.Parallel()
	s := NewSecret("hunter2")
	if s.Reveal() != "hunter2" || s.Empty() {
		t.Error("a secret is not what it was made of")
	}
	if (Secret{}).Reveal() != "" || !(Secret{}).Empty() || !NewSecret("").Empty() {
		t.Error("an empty secret is not empty")
	}
	if !s.Equal(NewSecret("hunter2")) || s.Equal(NewSecret("hunter3")) || s.Equal(Secret{}) {
		t.Error("secrets are not compared by their text")
	}
}

func TestSecretIsRedactedInEveryVerb(t *testing.T) {
	t.Parallel()
	s := NewSecret("hunter2")
	// For %p and for verbs that are none, fmt prints an address instead.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T%[1]v", "%10.2s", "%p", "%!", "%t", "%e", "%c", "%U"} {
		text := fmt.Sprintf(verb, s)
		mustHide(t, verb, text)
		if verb != "%!" && verb != "%p" && !strings.Contains(text, redacted) {
			t.Errorf("%s prints %s", verb, text)
		}
		for _, holder := range []any{&s, hide(s), new(hide(s)), []any{hide(s)}, Settings{JWTSecret: s, JWTPreviousSecrets: []Secret{s}}} {
			mustHide(t, verb, fmt.Sprintf(verb, holder))
		}
	}
	if got := fmt.Sprintf("%+v", Settings{JWTSecret: s}); !strings.Contains(got, "JWTSecret:[redacted]") {
		t.Errorf("settings print %s", got)
	}
	mustHide(t, "an error", fmt.Errorf("with %v: %w", s, errors.New(fmt.Sprint(s))).Error())
}

func TestSecretIsRedactedInEveryEncoding(t *testing.T) {
	t.Parallel()
	s := NewSecret("hunter2")
	type holder struct {
		Secret Secret
		List   []Secret
	}
	for name, encode := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal,
	} {
		text, err := encode(holder{s, []Secret{s}})
		if err != nil || strings.Count(string(text), redacted) != 2 {
			t.Errorf("%s writes %s: %v", name, text, err)
		}
		mustHide(t, name, string(text))
	}
	text, err := s.MarshalText()
	if err != nil || string(text) != redacted {
		t.Errorf("as text: %s: %v", text, err)
	}
	var stream bytes.Buffer
	if err := gob.NewEncoder(&stream).Encode(s); err == nil {
		t.Error("gob writes a secret")
	}
	mustHide(t, "gob", stream.String())
}

func TestSecretIsRedactedInLogs(t *testing.T) {
	t.Parallel()
	s := NewSecret("hunter2")
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		logger := slog.New(handler)
		logger.Info("direct", "secret", s)
		logger.Info("inside", "settings", Settings{JWTSecret: s}, "group", slog.GroupValue(slog.Any("secret", s)))
		logger.With("secret", &s).Info("hidden", "hidden", hide(s))
	}
	mustHide(t, "slog", log.String())
	if got := strings.Count(log.String(), redacted); got < 8 {
		t.Errorf("only %d redactions in\n%s", got, log.String())
	}
}

// secretVariable has the secret with which a process panics, instead of running tests.
const secretVariable = "CONFIG_TEST_SECRET"

func TestMain(m *testing.M) {
	s := NewSecret(os.Getenv(secretVariable))
	roles := processtest.Roles{}
	for name, value := range map[string]any{
		"secret": s, "pointer": &s, "settings": Settings{JWTSecret: s}, "hidden": hide(s),
		"text": fmt.Sprintf("%+v %#v", Settings{JWTSecret: s}, hide(s)), "error": fmt.Errorf("cannot use %v", s),
	} {
		roles[name] = func([]string) error { panic(value) }
	}
	processtest.Play(roles)
	m.Run()
}

func TestSecretIsHiddenInARealPanic(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"secret", "pointer", "settings", "hidden", "text", "error"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			child := processtest.Command(t.Context(), kind)
			child.Env = append(child.Env, secretVariable+"=hunter2", "GOTRACEBACK=all")
			output, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "panic: ") {
				t.Fatalf("the child did not panic: %v\n%s", err, output)
			}
			mustHide(t, kind, string(output))
		})
	}
}

// mustHide fails where a text has the secret hunter2, in any way of writing it.
func mustHide(t *testing.T, where, text string) {
	t.Helper()
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("% x", "hunter2"), fmt.Sprint([]byte("hunter2"))} {
		if strings.Contains(strings.ToLower(text), form) {
			t.Errorf("%s shows the secret: %s", where, text)
		}
	}
}
