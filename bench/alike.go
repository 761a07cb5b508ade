package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // by which PocketBase comes, too
)

// attempt is one kind of a sign-in that has to fail.
type attempt struct {
	kind    string
	request []byte
	took    []time.Duration
}

// alike tells how well the time of a refusal tells the kinds of accounts apart:
// all kinds in turn on one connection, n attempts in all, and for each kind
// against a known account with a wrong password the area under the ROC curve
// (0.5 tells nothing, 1 tells everything).
func alike(ctx context.Context, n int, m *manus, peer *pocketBase, binary, dir string) error {
	ours, err := manusAttempts(m, binary, dir)
	if err != nil {
		return err
	}
	theirs := []*attempt{
		{kind: "known", request: peer.try(email, "not the password")},
		{kind: "unknown", request: peer.try("nobody@example.com", "not the password")},
	}
	fmt.Println("| refused sign-ins, known against | attempts | median | of the known | area |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: |")
	for _, s := range []struct {
		name     string
		addr     string
		status   int
		attempts []*attempt
		n        int
	}{{"Manus", m.addr, 401, ours, n}, {"PocketBase", peer.addr, 400, theirs, n / 5}} {
		c, err := dial(ctx, s.addr)
		if err != nil {
			return err
		}
		for i := range s.n {
			a := s.attempts[i%len(s.attempts)]
			begin := time.Now()
			status, body, err := c.do(a.request)
			if err != nil || status != s.status {
				return errors.Join(fmt.Errorf("%s: status %d: %s", a.kind, status, body), err)
			}
			a.took = append(a.took, time.Since(begin))
		}
		if err := c.conn.Close(); err != nil {
			return err
		}
		known := s.attempts[0]
		for _, a := range s.attempts[1:] {
			fmt.Printf("| %s: %s | %d | %v | %v | %.3f |\n", s.name, a.kind, len(a.took)+len(known.took),
				median(a.took).Round(10*time.Microsecond), median(known.took).Round(10*time.Microsecond), area(known.took, a.took))
		}
	}
	return nil
}

// manusAttempts makes an account of each kind.
func manusAttempts(m *manus, binary, dir string) ([]*attempt, error) {
	for _, who := range []string{"disabled", "passwordless"} {
		body := fmt.Sprintf(`{"email":"%s@example.com","password":%q}`, who, password)
		if err := call(m.addr, request("POST", "/api/v1/auth/register", "", body), &tokens{}); err != nil {
			return nil, err
		}
	}
	if out, err := exec.Command(binary, "user", "disable", "disabled@example.com", "--data", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	// There is no way to such an account without a provider, so one is made.
	db, err := sql.Open("sqlite", filepath.Join(dir, "manus.db"))
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`UPDATE users SET doc = json_remove(doc, '$.password_hash') WHERE doc ->> 'email' = 'passwordless@example.com'`)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	try := func(address, password string) []byte {
		return request("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, address, password))
	}
	return []*attempt{
		{kind: "known", request: try(email, "not the password")},
		{kind: "unknown", request: try("nobody@example.com", "not the password")},
		{kind: "disabled, right password", request: try("disabled@example.com", password)},
		{kind: "without a password", request: try("passwordless@example.com", "not the password")},
	}, nil
}

func (p *pocketBase) try(address, password string) []byte {
	return request("POST", "/api/collections/users/auth-with-password", "", fmt.Sprintf(`{"identity":%q,"password":%q}`, address, password))
}

// area is the chance that an attempt of a took longer than one of b, or the
// other way round if that is greater.
func area(a, b []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(b))
	var greater float64
	for _, t := range a {
		low, _ := slices.BinarySearch(sorted, t)
		high, _ := slices.BinarySearch(sorted, t+1)
		greater += float64(low) + float64(high-low)/2
	}
	share := greater / float64(len(a)*len(b))
	return max(share, 1-share)
}
