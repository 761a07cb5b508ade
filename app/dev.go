package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"manus/account"
	"manus/config"
	"manus/identity"
)

// DevOperator is the e-mail address of the operator that DevSettings' product
// starts with.
const DevOperator = "operator@manus.local"

// Dev is what `manus dev` is asked for.
type Dev struct {
	DataDir    string
	Addr       string
	ConfigFile string // manus.yaml, or empty
	LogLevel   slog.Level
}

// DevSettings are settings for one machine with nothing configured. The
// environment isn't looked at: what a shell has been set up for must not reach a
// product that is only being tried. The secret is made once, in the data
// folder. It returns *config.Problems for a wrong address or file.
func DevSettings(d Dev) (config.Settings, error) {
	var problems config.Problems
	if err := checkLoopback(d.Addr); err != nil {
		problems = append(problems, config.Problem{Name: "--addr", Wrong: err.Error(), Mend: "use 127.0.0.1, ::1 or localhost and a port, or 'manus serve' to be reached from elsewhere"})
	}
	s, err := config.LoadSome(config.Source{ConfigFile: d.ConfigFile, Routes: Routes()}, d.DataDir, "BACKUP_SCHEDULE", "BACKUP_RETENTION_DAYS", "SENTRY_TRACES_SAMPLE_RATE")
	if found, ok := errors.AsType[*config.Problems](err); ok {
		problems = append(problems, *found...)
	}
	if len(problems) > 0 {
		return config.Settings{}, &problems
	}
	secret, err := devSecret(s.DataDir)
	if err != nil {
		return config.Settings{}, err
	}
	s.Dev, s.Environment, s.ReadyCritical = true, "development", []string{"database"}
	s.Addr, s.PublicURL, s.ShutdownTimeout = d.Addr, devURL(d.Addr), 5*time.Second
	s.LogLevel, s.LogFormat = d.LogLevel, "text"
	s.JWTSecret, s.KeepMails = config.NewSecret(secret), true
	s.Alerts.Email, s.Alerts.MailOnly = []string{DevOperator}, true
	s.Alerts.Policy = s.Alerts.WithChannels(s.Alerts.Policy)
	s.Backup.Dir = filepath.Join(s.DataDir, "backups") // one a night
	return s, nil
}

// devURL is where the browser finds the product. Passkeys need a name there,
// rather than an address. It is empty for a port that is still to be picked:
// then links in mails are relative, and there are no passkeys.
func devURL(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return ""
	}
	return "http://localhost:" + port
}

// checkLoopback refuses addresses that other machines can reach.
func checkLoopback(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("is not a host and a port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("has no port from 0 to 65535")
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return errors.New("is not a loopback address")
	}
	return nil
}

// IsDev tells whether a folder is the data folder of a product that is only being tried.
func IsDev(dataDir string) bool { return isThere(devSecretFile(dataDir)) }

func devSecretFile(dataDir string) string { return filepath.Join(dataDir, "dev-secret") }

// devSecret reads the data folder's secret, or makes it. Of two programs that
// start at once, one makes it and both use it.
// A store without a secret beside it isn't dev's: servesStore.
func devSecret(dataDir string) (string, error) {
	path, there := devSecretFile(dataDir), isThere(StoreFile(dataDir)) // looked at first: a secret is older than its store
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", fmt.Errorf("the data folder can't be made; choose another with --data: %w", err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if there {
			return "", servesStore()
		}
		if err := makeDevSecret(path); err != nil {
			return "", fmt.Errorf("the data folder can't be written; choose another with --data: %w", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("the data folder can't be read; choose another with --data: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < 32 {
		return "", fmt.Errorf("%s holds no secret; write one into it, of 32 random characters, or choose another folder with --data", path)
	}
	return secret, nil
}

// makeDevSecret writes the whole file under another name first, and links it
// to its own name only if that is still free.
func makeDevSecret(path string) error {
	file, err := os.CreateTemp(filepath.Dir(path), "dev-secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // a leftover harms nobody
	_, err = file.WriteString(rand.Text() + rand.Text() + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// EnsureOperator makes an operator account if there is no account at all, and
// returns its password then. It is empty when there was one.
func (a *App) EnsureOperator(ctx context.Context) (password string, err error) {
	users, _, err := a.Accounts.List(ctx, 1, "")
	if err != nil || len(users) > 0 {
		return "", err
	}
	password = rand.Text()
	_, err = a.Accounts.Create(ctx, account.NewUser{
		Email:    DevOperator,
		Password: password,
		FullName: "Operator",
		Role:     identity.Operator,
	})
	if errors.Is(err, account.ErrTaken) { // by another program that started now
		return "", nil
	}
	return password, err
}
