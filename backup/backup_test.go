package backup

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"manus/internal/processtest"
)

// records is a database of records, each with its length before it. It restores into
// itself, and what is restored is read again.
type records struct {
	data []byte

	mu    sync.Mutex
	drill func() error // is asked at each drill; may be nil
}

// randomRecords has about size bytes that can be compressed.
func randomRecords(seed uint64, size int) *records {
	random := rand.New(rand.NewPCG(seed, 1))
	words := []string{"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}
	var data []byte
	for len(data) < size {
		var text []byte
		for range random.IntN(40) {
			text = fmt.Appendf(text, "%s%d ", words[random.IntN(len(words))], random.IntN(1000))
		}
		data = binary.BigEndian.AppendUint32(data, uint32(len(text)))
		data = append(data, text...)
	}
	return &records{data: data}
}

func (r *records) String() string                      { return "records" }
func (r *records) Format() Format                      { return SQLite }
func (r *records) Size(context.Context) (int64, error) { return int64(len(r.data)), nil }

func (r *records) Dump(ctx context.Context, w io.Writer, progress func(int64)) (Contents, error) {
	written := int64(0)
	for chunk := range slices.Chunk(r.data, 10_007) {
		if err := ctx.Err(); err != nil {
			return Contents{}, err
		}
		n, err := w.Write(chunk)
		if err != nil {
			return Contents{}, err
		}
		written += int64(n)
		progress(written)
	}
	return countRecords(r.data)
}

func (r *records) Drill(ctx context.Context, dump io.Reader, progress func(int64)) (Contents, error) {
	r.mu.Lock()
	drill := r.drill
	r.mu.Unlock()
	if drill != nil {
		if err := drill(); err != nil {
			return Contents{}, err
		}
	}
	data, err := io.ReadAll(dump)
	if err != nil {
		return Contents{}, err
	}
	progress(int64(len(data)))
	return countRecords(data)
}

// countRecords reads what a database of records has.
func countRecords(data []byte) (Contents, error) {
	c := Collection{Name: "records", SHA256: hexSHA256(data)}
	for len(data) > 0 {
		if len(data) < 4 || len(data) < 4+int(binary.BigEndian.Uint32(data)) {
			return Contents{}, fmt.Errorf("%w: a record is cut short", ErrDamaged)
		}
		data = data[4+binary.BigEndian.Uint32(data):]
		c.Documents++
	}
	return Contents{Server: "records 1", Collections: []Collection{c}}, nil
}

// newService backs up to folders of the test's own.
func newService(t *testing.T, source Source, change func(*Config)) *Service {
	t.Helper()
	c := Config{
		Source:  source,
		Targets: []Target{NewFolder(filepath.Join(t.TempDir(), "backups"))},
		Tool:    "manus test",
		Log:     slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if change != nil {
		change(&c)
	}
	for i, target := range c.Targets {
		if folder, ok := target.(*Folder); ok && c.Now != nil {
			c.Targets[i] = dated{folder, c.Now}
		}
	}
	return New(c)
}

// dated is a folder on a machine with a clock of its own.
type dated struct {
	*Folder
	now func() time.Time
}

func (d dated) Create(ctx context.Context, name string, size int64) (Upload, error) {
	u, err := d.Folder.Create(ctx, name, size)
	return datedUpload{u, d, name}, err
}

type datedUpload struct {
	Upload
	in   dated
	name string
}

func (u datedUpload) Commit() error {
	if err := u.Upload.Commit(); err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(u.in.String(), u.name), u.in.now(), u.in.now())
}

// testLog is a test's log as a writer.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

func create(t *testing.T, s *Service) Manifest {
	t.Helper()
	m, err := s.Create(t.Context(), CreateOptions{AllowEmpty: true})
	if err != nil || !m.Verified || m.VerifiedAt == nil {
		t.Fatalf("a backup wasn't made: %+v, %v", m, err)
	}
	return m
}

// fileOf reads a backup's file at the first target.
func fileOf(t *testing.T, s *Service, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(pathOf(s, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newestVerified is the newest backup that saves the service's installation, of those that
// can be listed.
func newestVerified(t *testing.T, s *Service) (Backup, bool) {
	all, _ := s.List(t.Context())
	return all.NewestVerified()
}

func pathOf(s *Service, name string) string { return filepath.Join(s.Targets[0].String(), name) }

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The file is what stock tools read: several members of gzip, several frames of zstd,
// in age's own format.
func TestWhatIsStoredIsWhatStockToolsRead(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for _, size := range []int{0, 1000, blockSize - 1, blockSize, blockSize + 1, 2*blockSize + 12345} {
		for _, compression := range []Compression{Gzip, Zstd} {
			for _, recipients := range []Recipients{nil, {key.Recipient()}} {
				source := randomRecords(uint64(size), size)
				s := newService(t, source, func(c *Config) { c.Policy.Compression, c.Recipients = compression, recipients })
				m := create(t, s)
				var r io.Reader = bytes.NewReader(fileOf(t, s, m.File))
				if recipients != nil {
					opened, err := age.Decrypt(r, key)
					if err != nil {
						t.Fatal(err)
					}
					r = opened
				}
				if got := stockUnpack(t, r, compression); !bytes.Equal(got, source.data) {
					t.Errorf("%d bytes with %s come out as %d others", len(source.data), compression, len(got))
				}
			}
		}
	}
}

func stockUnpack(t *testing.T, r io.Reader, compression Compression) []byte {
	t.Helper()
	if compression == Zstd {
		decoder, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		r = decoder
	} else {
		reader, err := stdgzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = reader
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAManifestSaysWhatItPromises(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 2, 0, 0, 7, time.FixedZone("", 3600))
	s := newService(t, randomRecords(1, 50_000), func(c *Config) { c.Now = func() time.Time { return at } })
	m := create(t, s)
	data := fileOf(t, s, m.File)
	if m.File != "manus-20261124T010000Z-"+m.ID+".sqlite.gz" || m.Size != int64(len(data)) || m.SHA256 != hexSHA256(data) {
		t.Errorf("it says %+v of a file of %d bytes", m, len(data))
	}
	if m.Documents == 0 || m.Server != "records 1" || m.Tool != "manus test" || !m.VerifiedAt.Equal(at.Truncate(time.Second)) {
		t.Errorf("it says %+v", m)
	}
	text := fileOf(t, s, "manus-20261124T010000Z-"+m.ID+".manifest.json")
	again, err := parseManifest(m.name(), text)
	if err != nil || again.ID != m.ID || again.DumpSHA256 != m.DumpSHA256 || difference(m.Contents, again.Contents) != "" {
		t.Errorf("it is read as %+v, %v", again, err)
	}
	info, err := os.Stat(pathOf(s, m.File))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("its file has the mode %v: %v", info.Mode(), err)
	}
}

// Every byte matters: changed or cut off, it is noticed by either check, and a damaged
// file is never taken for a wrong key.
func TestEveryChangedBitAndEveryCutIsNoticed(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for _, compression := range []Compression{Gzip, Zstd} {
		for _, recipients := range []Recipients{nil, {key.Recipient()}} {
			s := newService(t, randomRecords(2, 30_000), func(c *Config) {
				c.Policy.Compression, c.Recipients, c.Identities = compression, recipients, []age.Identity{key}
			})
			m := create(t, s)
			whole := fileOf(t, s, m.File)
			random := rand.New(rand.NewPCG(3, 4))
			for i := range processtest.Size(processtest.Damages, 500) {
				changed := slices.Clone(whole)
				changed[random.IntN(len(changed))] ^= 1 << random.IntN(8)
				drill := i%10 == 0 // which takes longer
				checkNoticed(t, s, m, changed, "changed", drill)
				checkNoticed(t, s, m, whole[:random.IntN(len(whole))], "cut", drill)
			}
			checkNoticed(t, s, m, append(slices.Clone(whole), 0), "longer", true)
			checkNoticed(t, s, m, append(slices.Clone(whole), whole...), "doubled", true)
		}
	}
}

// checkNoticed puts other bytes in place of the backup's and wants both checks to say
// that they are damaged.
func checkNoticed(t *testing.T, s *Service, m Manifest, data []byte, what string, drill bool) {
	t.Helper()
	if err := os.WriteFile(pathOf(s, m.File), data, 0o600); err != nil {
		t.Fatal(err)
	}
	target := s.Targets[0]
	if err := checkBytes(t.Context(), target, m, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("%s, the bytes are said to be %v", what, err)
	}
	if !drill {
		return
	}
	if err := s.drill(t.Context(), target, m, s.Identities, nil); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrWrongKey) {
		t.Errorf("%s, the drill says %v", what, err)
	}
}

func TestEveryChangedBitOfAManifestIsNoticed(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(5, 3000), nil)
	m := create(t, s)
	text := fileOf(t, s, m.name())
	for i := range text {
		for bit := range 8 {
			changed := slices.Clone(text)
			changed[i] ^= 1 << bit
			if _, err := parseManifest(m.name(), changed); !errors.Is(err, ErrDamaged) {
				t.Fatalf("bit %d of byte %d can change: %v", bit, i, err)
			}
		}
		if _, err := parseManifest(m.name(), text[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("it can be cut at %d: %v", i, err)
		}
	}
	if _, err := parseManifest("manus-20261124T010000Z-abcd.manifest.json", text); !errors.Is(err, ErrDamaged) {
		t.Errorf("it can be another's: %v", err)
	}
}

func TestAManifestThatThisProgramDidNotWriteIsToldFromDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Manifest)
		want   string // in the error; empty for none
	}{
		"as it is":            {func(*Manifest) {}, ""},
		"a newer version":     {func(m *Manifest) { m.Version++ }, "newer version"},
		"another's id":        {func(m *Manifest) { m.ID += "x" }, "another file"},
		"another format":      {func(m *Manifest) { m.Format = SQLite }, "another file"},
		"not compressed so":   {func(m *Manifest) { m.Compression = Zstd }, "another file"},
		"not encrypted":       {func(m *Manifest) { m.Encryption = "" }, "another file"},
		"no backup's name":    {func(m *Manifest) { m.File = "x" }, "another file"},
		"an empty file":       {func(m *Manifest) { m.Size, m.DumpSize = 0, 0 }, ""},
		"a size below zero":   {func(m *Manifest) { m.Size = -1 }, "impossible sizes"},
		"a dump's that is so": {func(m *Manifest) { m.DumpSize = -1 }, "impossible sizes"},
	} {
		m := newManifest(time.Now(), Archive, Gzip, true)
		m.Size, m.DumpSize = 1, 1
		file := m.name()
		c.change(&m)
		err := m.check(file)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatARestoredDatabaseDiffersInIsNamed(t *testing.T) {
	t.Parallel()
	a, b := Collection{"a", 1, "aa", "1"}, Collection{"b", 2, "bb", "2"}
	for name, c := range map[string]struct {
		restored []Collection
		want     string
	}{
		"the same":           {[]Collection{a, b}, ""},
		"one less":           {[]Collection{b}, "a is missing"},
		"one more":           {[]Collection{a, b, {"c", 0, "", ""}}, "1 collection too many"},
		"a document less":    {[]Collection{a, {"b", 1, "bb", "2"}}, "b has 1 document instead of 2"},
		"other documents":    {[]Collection{a, {"b", 2, "xx", "2"}}, "b has other documents"},
		"another definition": {[]Collection{{"a", 1, "aa", "x"}, b}, "a has other indexes or options"},
	} {
		if got := difference(Contents{Collections: []Collection{a, b}}, Contents{Collections: c.restored}); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAWrongKeyIsToldFromDamage(t *testing.T) {
	t.Parallel()
	owner, other := newKey(t), newKey(t)
	s := newService(t, randomRecords(6, 100_000), func(c *Config) { c.Recipients = Recipients{owner.Recipient()} })
	m := create(t, s) // the server needs no secret key for it
	b, err := s.Find(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]age.Identity{nil, {other}} {
		s.Identities = keys
		if _, err := s.Verify(t.Context(), b, false, nil); !errors.Is(err, ErrWrongKey) || errors.Is(err, ErrDamaged) {
			t.Errorf("with %d wrong keys: %v", len(keys), err)
		}
		if _, err := s.Verify(t.Context(), b, true, nil); err != nil {
			t.Errorf("its bytes can be checked without a key: %v", err)
		}
	}
	if again, err := s.Find(t.Context(), m.ID); err != nil || !again.Verified {
		t.Errorf("a wrong key says nothing of the backup, but now it is %+v: %v", again.Verification, err)
	}
	s.Identities = []age.Identity{other, owner}
	if _, err := s.Verify(t.Context(), b, false, nil); err != nil {
		t.Errorf("with the right key: %v", err)
	}
}

func TestPostQuantumKeysAreTakenToo(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := ParseRecipient(key.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, randomRecords(7, 1000), func(c *Config) { c.Recipients, c.Identities = Recipients{recipient}, []age.Identity{key} })
	b, err := s.Find(t.Context(), create(t, s).ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), b, false, nil); err != nil {
		t.Error(err)
	}
	if err := (Recipients{recipient, newKey(t).Recipient()}).Check(); err == nil {
		t.Error("keys of both kinds can be mixed")
	}
}

// What people have for SSH they can have their backups encrypted to.
func TestKeysOfSSHAreTakenToo(t *testing.T) {
	t.Parallel()
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(block *pem.Block, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(block))
	}
	recipient, err := ParseRecipient(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " amal@laptop")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseIdentities(pemOf(ssh.MarshalPrivateKey(secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, randomRecords(7, 1000), func(c *Config) { c.Recipients, c.Identities = Recipients{recipient, newKey(t).Recipient()}, keys })
	m := create(t, s)
	b, err := s.Find(t.Context(), m.ID)
	if err != nil || !m.Verified {
		t.Fatal(m.Verification, err)
	}
	if _, err := s.Verify(t.Context(), b, false, nil); err != nil {
		t.Error(err)
	}
	locked := pemOf(ssh.MarshalPrivateKeyWithPassphrase(secret, "", []byte("hunter2")))
	if _, err := ParseIdentities(locked); err == nil || !strings.Contains(err.Error(), "has a passphrase") {
		t.Errorf("of a key with a passphrase it says %v", err)
	}
	for _, text := range []string{"ssh-ed25519 AAAAhunter2", "ssh-dss AAAA"} {
		if _, err := ParseRecipient(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("of %q it says %v", text, err)
		}
	}
	if _, err := ParseIdentities(pemKey + "hunter2"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it says %v", err)
	}
}

func TestABackupThatRestoresToSomethingElseIsNotVerified(t *testing.T) {
	t.Parallel()
	source := randomRecords(8, 1000)
	broken := errors.New("the scratch database could not be made")
	source.drill = func() error { return broken }
	alarm := &alerts{}
	s := newService(t, source, func(c *Config) { c.Alarm = alarm })
	m, err := s.Create(t.Context(), CreateOptions{})
	if !errors.Is(err, broken) || m.Verified || m.VerifyError != broken.Error() {
		t.Errorf("it is %+v: %v", m.Verification, err)
	}
	b, err := s.Find(t.Context(), m.ID)
	if err != nil || b.Verified || b.VerifyError != broken.Error() {
		t.Errorf("it is listed as %+v: %v", b.Verification, err)
	}
	if told := alarm.all(); len(told) != 1 || told[0].Key != AlertFailed || !strings.Contains(told[0].Text, broken.Error()) {
		t.Errorf("the alarm was told %v", told)
	}
}

// alerts collects what an alarm is told, unless it fails.
type alerts struct {
	mu   sync.Mutex
	told []Alert
	fail error
}

func (a *alerts) Tell(_ context.Context, alert Alert) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail == nil {
		a.told = append(a.told, alert)
	}
	return a.fail
}

func (a *alerts) setFail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

func (a *alerts) all() []Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.told)
}

// failing is a target whose steps can fail.
type failing struct {
	Target
	step string
	err  error
}

func (f *failing) fail(step string) error {
	if f.step == step {
		return f.err
	}
	return nil
}

func (f *failing) Create(ctx context.Context, name string, size int64) (Upload, error) {
	if err := f.fail("create"); err != nil {
		return nil, err
	}
	u, err := f.Target.Create(ctx, name, size)
	return &failingUpload{u, f}, err
}

func (f *failing) List(ctx context.Context, prefix string) ([]File, error) {
	if err := f.fail("list"); err != nil {
		return nil, err
	}
	return f.Target.List(ctx, prefix)
}

func (f *failing) Put(ctx context.Context, name string, data []byte) error {
	return errors.Join(f.fail("put"), f.Target.Put(ctx, name, data))
}

type failingUpload struct {
	Upload
	of *failing
}

func (u *failingUpload) Write(data []byte) (int, error) {
	if err := u.of.fail("write"); err != nil {
		return 0, err
	}
	return u.Upload.Write(data)
}

func (u *failingUpload) Commit() error {
	if err := u.of.fail("commit"); err != nil {
		return err
	}
	return u.Upload.Commit()
}

// When one target fails, the others have their copy, and the run has failed all the
// same.
func TestATargetThatFailsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	for _, step := range []string{"create", "write", "commit"} {
		alarm := &alerts{}
		bad := &failing{Target: NewFolder(t.TempDir()), step: step, err: full}
		good := NewFolder(t.TempDir())
		source := randomRecords(9, blockSize+1)
		s := newService(t, source, func(c *Config) { c.Targets, c.Alarm = []Target{bad, good}, alarm })
		m, err := s.Create(t.Context(), CreateOptions{})
		if !errors.Is(err, full) || !m.Verified || len(alarm.all()) != 1 {
			t.Errorf("%s: %v, %v, %v", step, m.Verified, err, alarm.all())
		}
		listed, err := s.List(t.Context())
		if err != nil || len(listed) != 1 || !slices.Equal(listed[0].At, []string{good.String()}) {
			t.Errorf("%s: listed are %+v: %v", step, listed, err)
		}
		if left, err := os.ReadDir(bad.String()); err != nil || len(left) != 0 {
			t.Errorf("%s: there is %v left: %v", step, left, err)
		}
		s.Targets = s.Targets[:1]
		if m, err := s.Create(t.Context(), CreateOptions{}); !errors.Is(err, full) || m.File != "" {
			t.Errorf("%s, of the only target: %+v, %v", step, m, err)
		}
	}
}

// Somebody copies a backup into the folder, its file first, or a manifest is lost: nothing
// of that is removed. It is said what was found, and adopting makes it a backup.
func TestAFileThatNoRunHasLeftIsNeverRemovedAndCanBeAdopted(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newService(t, randomRecords(10, 1000), func(c *Config) { c.Recipients, c.Identities = Recipients{key.Recipient()}, []age.Identity{key} })
	found := create(t, s)
	if err := os.Remove(pathOf(s, found.name())); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"manus-notes.txt", "other.sqlite.gz", ".manus-20261124T010000Z-abcd.sqlite.gz.unfinished-1"} {
		if err := os.WriteFile(pathOf(s, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := create(t, s)
	want := []string{found.File, "manus-notes.txt", "other.sqlite.gz", second.File, second.name()}
	slices.Sort(want)
	if names := filesOf(t, s); !slices.Equal(names, want) {
		t.Errorf("there is %v; want %v", names, want)
	}
	b, err := s.Find(t.Context(), found.ID)
	if err != nil || b.Counts() || !strings.Contains(b.Problem, "adopt "+found.File) {
		t.Errorf("it is listed as %+v: %v", b, err)
	}
	if _, err := s.Adopt(t.Context(), "vault/"+found.File, nil); err != nil {
		t.Fatal(err)
	}
	b, err = s.Find(t.Context(), found.ID)
	if err != nil || !b.Saves() || b.SHA256 != found.SHA256 || b.DumpSHA256 != found.DumpSHA256 || b.Documents != found.Documents || !b.CreatedAt.Equal(found.CreatedAt.Truncate(time.Second)) { // as its name has it
		t.Errorf("adopted, it is %+v: %v", b, err)
	}
	if _, err := s.Verify(t.Context(), b, false, nil); err != nil {
		t.Error(err)
	}
}

func TestADamagedFileIsNotAdopted(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(10, 1000), nil)
	m := create(t, s)
	if err := errors.Join(os.Remove(pathOf(s, m.name())), os.Truncate(pathOf(s, m.File), m.Size/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Adopt(t.Context(), m.ID, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("it is adopted: %v", err)
	}
	if names := filesOf(t, s); !slices.Equal(names, []string{m.File}) {
		t.Errorf("there is %v", names)
	}
}

// filesOf are the names of the files at the first target.
func filesOf(t *testing.T, s *Service) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(s.Targets[0].String())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestProblemsAreListedAndNothingHidesThem(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(11, 1000), nil)
	lost, cut, odd, good := create(t, s), create(t, s), create(t, s), create(t, s)
	if err := errors.Join(
		os.Remove(pathOf(s, lost.File)),
		os.Truncate(pathOf(s, cut.File), 10),
		os.WriteFile(pathOf(s, odd.name()), []byte("{}"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	listed, err := s.List(t.Context())
	if err != nil || len(listed) != 4 {
		t.Fatalf("listed are %+v: %v", listed, err)
	}
	for _, b := range listed {
		if want := b.ID != good.ID; (b.Problem != "") != want {
			t.Errorf("%s has the problem %q", b.File, b.Problem)
		}
	}
	if latest, err := s.Latest(t.Context()); err != nil || latest.ID != good.ID {
		t.Errorf("the newest good one is %s: %v", latest.ID, err)
	}
	if _, err := s.Find(t.Context(), "nope"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what isn't there is found: %v", err)
	}
}

func TestEndingARunEndsItSoonAndLeavesNothing(t *testing.T) {
	t.Parallel()
	source := &endless{began: make(chan struct{})}
	s := newService(t, source, func(c *Config) { c.Alarm = &alerts{} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := s.Create(ctx, CreateOptions{})
		ended <- err
	}()
	<-source.began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.Targets[0].String()); err != nil || len(left) != 0 {
		t.Errorf("there is %v left: %v", left, err)
	}
	if told := s.Alarm.(*alerts).all(); len(told) != 0 {
		t.Errorf("the alarm was told %v", told)
	}
}

// endless is a database that never ends.
type endless struct {
	records
	began chan struct{}
}

func (e *endless) Dump(ctx context.Context, w io.Writer, _ func(int64)) (Contents, error) {
	for i := 0; ; i++ {
		if _, err := w.Write(make([]byte, 100_000)); err != nil {
			return Contents{}, err
		}
		if i == 100 {
			close(e.began)
		}
	}
}

func TestTheFolderListsNothingUnfinished(t *testing.T) {
	t.Parallel()
	f := NewFolder(filepath.Join(t.TempDir(), "new"))
	if files, err := f.List(t.Context(), ""); err != nil || len(files) != 0 {
		t.Errorf("a folder that isn't there has %v: %v", files, err)
	}
	if _, err := f.Open(t.Context(), "no"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, name := range []string{"../out", ".hidden", "a/b"} {
		if _, err := f.Create(t.Context(), name, 0); err == nil {
			t.Errorf("%s can be made", name)
		}
	}
}

func FuzzManifest(f *testing.F) {
	m := newManifest(time.Unix(1_800_000_000, 0), SQLite, Gzip, false)
	m.ID = "abcdefgh"
	m.File = "manus-20270115T080000Z-abcdefgh.sqlite.gz"
	text, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		// As if whoever wrote it knew of the checksum.
		if cut := len(text) - checksumTail; cut > 0 {
			text = append(slices.Clone(text[:cut]), checksumBefore+hexSHA256(text[:cut])+checksumAfter...)
		}
		m, err := parseManifest("manus-20270115T080000Z-abcdefgh.manifest.json", text)
		if err == nil && (m.name() != "manus-20270115T080000Z-abcdefgh.manifest.json" || m.Size < 0 || filepath.Base(m.File) != m.File) {
			t.Errorf("%+v is taken", m)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}

func FuzzOpenDump(f *testing.F) {
	for _, compression := range []Compression{Gzip, Zstd} {
		var packed bytes.Buffer
		c, err := newCompressor(context.Background(), &packed, compression, 1)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := c.Write(append(magicSQLite, make([]byte, 1000)...)); err != nil {
			f.Fatal(err)
		}
		if err := c.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(packed.Bytes())
	}
	f.Add(append(slices.Clone(magicAge), "-> X25519 abc\n"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := OpenDump(bytes.NewReader(data), nil)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrWrongKey) {
				t.Error(err)
			}
			return
		}
		if _, err := io.Copy(io.Discard, io.LimitReader(d, 64<<20)); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}
