package config

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// dice are random, but the same in every run: of three million secrets of 32 letters
// and digits, one happens to look English and is refused.
type dice struct{ *rand.ChaCha8 }

func newDice() dice { return dice{rand.NewChaCha8([32]byte{7})} }

func (d dice) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = d.Read(b) // never fails
	return b
}

func (d dice) text(alphabet string, n int) string {
	b := d.bytes(n)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

func (d dice) uuid() string { return uuid.Must(uuid.NewRandomFromReader(d)).String() }

func TestEveryRandomSecretIsAccepted(t *testing.T) {
	t.Parallel()
	var printable strings.Builder
	for c := '!'; c <= '~'; c++ {
		if c != ',' {
			printable.WriteRune(c)
		}
	}
	for name, fresh := range map[string]func(dice) string{
		"16 bytes hex":          func(d dice) string { return hex.EncodeToString(d.bytes(16)) },
		"32 bytes hex":          func(d dice) string { return hex.EncodeToString(d.bytes(32)) },
		"32 bytes HEX":          func(d dice) string { return strings.ToUpper(hex.EncodeToString(d.bytes(32))) },
		"24 bytes base64":       func(d dice) string { return base64.StdEncoding.EncodeToString(d.bytes(24)) },
		"48 bytes base64":       func(d dice) string { return base64.StdEncoding.EncodeToString(d.bytes(48)) },
		"48 bytes base64url":    func(dice) string { return RandomSecret().Reveal() },
		"one uuid":              dice.uuid,
		"two uuids":             func(d dice) string { return d.uuid() + d.uuid() },
		"32 printable":          func(d dice) string { return d.text(printable.String(), 32) },
		"32 letters and digits": func(d dice) string { return d.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", 32) },
		"32 base32":             func(d dice) string { return d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32) },
		"40 digits":             func(d dice) string { return d.text("0123456789", 40) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDice()
			for range 1000 {
				secret := fresh(d)
				var out Secret
				if problem := parseSecret(&out, secret); problem != nil {
					t.Fatalf("%q is refused: %v", secret, problem)
				}
			}
		})
	}
}

func TestEachKindOfWeakSecretIsRefused(t *testing.T) {
	t.Parallel()
	const (
		short       = "characters long; use at least 32, for example from 'openssl rand -base64 48' or 'manus init'"
		example     = "is a published example, which attackers try first; use a new one"
		placeholder = "reads like a placeholder; use a new one"
		guessable   = "is easy to guess, being words, a repetition or a sequence; use a new one"
	)
	for _, c := range []struct{ secret, want string }{
		{"x", "is 1 " + strings.Replace(short, "characters", "character", 1)},
		{"4f9c8e7d6b5a4938271605f4e3d2c1b", "is 31 " + short},
		{"éééééééééééééééé", "is 16 " + short}, // 32 bytes
		{strings.Repeat("4f9c8e7d", 129), "is 1032 characters long; use at most 1024"},

		{"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", example},
		{"09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7", example},
		{"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", example},
		{"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970", example},
		{"3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R", example},
		{"VGhpc0lzTXlDdXN0b21TZWNyZXRLZXkwMTIzNDU2Nzg=", example},
		{"SecretKey012345678901234567890123456789012345678901234567890123456789", example},
		{"reallyreallyreallyreallyverysafe123", example},
		{"a-string-secret-at-least-256-bits-long", example},
		{"your-256-bit-secret-your-256-bit-secret", example},
		{"super-secret-jwt-token-with-at-least-32-characters-long", example},
		{"your-super-secret-jwt-token-with-at-least-32-characters-long", example},
		{"django-insecure-k3v!x0z@1q9$w8e7r6t5y4u3i2o1p0a9s8d7f6g5h4j3k2l1", example},

		{"changeme-changeme-changeme-changeme", placeholder},
		{"CHANGE_ME_IN_PRODUCTION_9f8a7d6e5c4b", placeholder},
		{"change-in-production-3f7a1c9e5b2d8046", placeholder},
		{"your-secret-key-here-min-32-characters", placeholder},
		{"<put-a-long-random-placeholder-value-here>", placeholder},
		{"please.replace.this.example.secret.key", placeholder},
		{"password_password_password_1a2f4c8b9e", placeholder},
		{"XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX", placeholder},
		{"my-super-secret-jwt-key-for-my-saas-app-2024", placeholder},
		{"development_secret_key_do_not_use_in_prod", placeholder},
		{"p-a-s-s-w-o-r-d-f-o-r-m-y-s-e-r-v-e-r-k-e-y", placeholder},

		{strings.Repeat("a", 32), guessable},
		{strings.Repeat("ab", 20), guessable},
		{strings.Repeat("abc", 12), guessable},
		{strings.Repeat("4f9c8e7db", 4), guessable},
		{strings.Repeat("9Kf3-xQ7p_", 30), guessable},
		{strings.Repeat("-_", 20), guessable},
		{"aabbccddeeffgghhiijjkkllmmnnooppqq", guessable},
		{"0123456789abcdef0123456789abcdef", guessable},
		{"fedcba9876543210fedcba9876543210", guessable},
		{"00112233445566778899aabbccddeeff", guessable},
		{"12345678901234567890123456789012", guessable},
		{"abcdefghijklmnopqrstuvwxyz012345", guessable},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ-123456", guessable},
		{"a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", guessable},
		{"qwertyuiopasdfghjklzxcvbnm123456", guessable},
		{"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9", guessable},
		{"deadbeefdeadbeefdeadbeefdeadbeef", guessable},
		{"31415926535897932384626433832795", guessable},
		{"0000000000000000000000000000000f", guessable},
		{"00000000-0000-0000-0000-000000000001", guessable},
		{"the quick brown fox jumps over the lazy dog", guessable},
		{"itwasthebestoftimesitwastheworst", guessable},
	} {
		t.Run(c.secret, func(t *testing.T) {
			t.Parallel()
			var out Secret
			problem := parseSecret(&out, c.secret)
			if problem == nil {
				t.Fatalf("is accepted, at %.0f bits", estimateBits(normalize(c.secret)))
			}
			if got := problem.Wrong + "; " + problem.Mend; !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if !out.Empty() {
				t.Error("a refused secret is kept")
			}
		})
	}
}

func TestAThirdOfWordsIsAPlaceholder(t *testing.T) {
	t.Parallel()
	const random = "q7zk2vxr9mtb4lwn8cyh3jpd"
	problem := parseSecret(new(Secret), random+"passworddemo")
	if problem == nil || problem.Wrong != "reads like a placeholder" {
		t.Errorf("with a third: %v", problem)
	}
	if problem := parseSecret(new(Secret), random+"wpassworddemo"); problem != nil {
		t.Errorf("with less: %v", problem)
	}
}

func TestASecretHas1024CharactersAtMost(t *testing.T) {
	t.Parallel()
	long := newDice().text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", maxSecret)
	if problem := parseSecret(new(Secret), long); problem != nil {
		t.Errorf("so long: %v", problem)
	}
	if problem := parseSecret(new(Secret), long+"x"); problem == nil {
		t.Error("one more is accepted")
	}
}

// A pattern counts for little from four characters on, those at the text's end too.
func TestPatternsAreSeenFromFourCharactersOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"123": 0, "1q2w": 4, "1q2wx": 4, "qwerty": 6, "asdf": 4, "3141592": 7, "k2vx": 0} {
		if got := longestWalk([]rune(text)); got != want {
			t.Errorf("%q: %d are a walk on the keyboard", text, got)
		}
	}
	for text, want := range map[string]int{"abc": 0, "abcd": 4, "7531": 4, "aaaa": 4, "abcdx": 4, "a1b2c3d": 0, "a1b2c3d4": 8, "k2vx": 0} {
		if got := longestRun([]rune(text)); got != want {
			t.Errorf("%q: %d are a run", text, got)
		}
	}
	for text, want := range map[string]int{"k2vx": 0, "abck2vabc": 0, "abcdk2vabcd": 4, "abcdk2abcde": 4} {
		i := strings.LastIndex(text, "abc")
		if got := longestRepeat([]rune(text), max(i, 0)); got != want {
			t.Errorf("%q: %d are a repetition", text, got)
		}
	}
}

func TestWordsInARandomSecretDoNotSpoilIt(t *testing.T) {
	t.Parallel()
	random := base64.StdEncoding.EncodeToString(newDice().bytes(36))
	for _, secret := range []string{"xxxx" + random, random + "changeme", random[:20] + "password" + random[20:], "acme-secret-key-" + random} {
		if problem := parseSecret(new(Secret), secret); problem != nil {
			t.Errorf("%q: %v", secret, problem)
		}
	}
}

func TestSecretWithACommaIsRefused(t *testing.T) {
	t.Parallel()
	got := onlyProblem(t, Source{Environ: []string{"DATA_DIR=data", "JWT_SECRET_KEY=" + RandomSecret().Reveal() + ","}})
	if want := "JWT_SECRET_KEY: contains a comma, which the list of previous secrets could not hold; use one without"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPreviousSecretsFollowTheSameRules(t *testing.T) {
	t.Parallel()
	fresh := func() string { return RandomSecret().Reveal() }
	current, other := fresh(), fresh()
	for _, c := range []struct{ previous, want string }{
		{fresh() + ", " + fresh(), ""},
		{strings.Join([]string{fresh(), fresh(), fresh(), fresh(), fresh()}, ","), ""},
		{strings.Join([]string{fresh(), fresh(), fresh(), fresh(), fresh(), fresh()}, ","), "has 6 secrets; keep at most the last 5"},
		{fresh() + ",short", "entry 2 is 5 characters long; remove it: tokens that it signed should no longer count"},
		{fresh() + ",", "entry 2 is 0 characters long; remove it: tokens that it signed should no longer count"},
		{strings.Repeat("ab", 20), "entry 1 is easy to guess, being words, a repetition or a sequence; remove it: tokens that it signed should no longer count"},
		{other + "," + other, "entry 2 stands there twice; list each secret once"},
		{fresh() + "," + current, "entry 2 is the current JWT_SECRET_KEY; list only the secrets from before"},
	} {
		source := Source{Environ: []string{"DATA_DIR=data", "JWT_SECRET_KEY=" + current, "JWT_PREVIOUS_SECRET_KEYS=" + c.previous}}
		if c.want == "" {
			settings, err := Load(source)
			if err != nil || len(settings.JWTPreviousSecrets) != strings.Count(c.previous, ",")+1 {
				t.Errorf("%d previous secrets are kept: %v", len(settings.JWTPreviousSecrets), err)
			}
			continue
		}
		if got, want := onlyProblem(t, source), "JWT_PREVIOUS_SECRET_KEYS: "+c.want; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
