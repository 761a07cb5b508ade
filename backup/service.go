package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
)

// Config is what a Service is made of.
type Config struct {
	// Source is what Create dumps and Verify restores beside; nil where backups
	// are only listed, pruned or restored elsewhere.
	Source Source
	// Targets are the destinations, at least one. What has to be read is read from
	// the first that has it, so the nearest comes first.
	Targets []Target
	// Compression of new backups; empty means Gzip.
	Compression Compression
	// Recipients are whom new backups are encrypted to; none leaves them plain.
	Recipients Recipients
	// Identities open encrypted backups.
	Identities []age.Identity
	Retention  Retention
	// Workers compress in parallel; 0 means one a processor.
	Workers int
	// Tool is this program and its version.
	Tool string

	// Alarm is told of what an operator has to know; nil tells nobody.
	Alarm Alarm
	// Observe is told what became of each run; nil tells nobody.
	Observe func(Run)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service makes, lists, verifies, restores and prunes backups. It is safe for
// concurrent use, by several processes at once too.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service {
	c.Compression = cmp.Or(c.Compression, Gzip)
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(Run) {}
	}
	return &Service{c}
}

// Alarm tells operators.
type Alarm interface {
	// Tell passes an alert on. One with the key of an earlier alert follows it up.
	Tell(ctx context.Context, alert Alert) error
}

// Alert is something that an operator has to know.
type Alert struct {
	// Key is what the alert is about: [AlertFailed] or [AlertSilence].
	Key string
	// Over is set when what it is about is over.
	Over bool
	// Text is one or two sentences.
	Text string
}

// The keys of alerts.
const (
	AlertFailed  = "backup-failed"
	AlertSilence = "backup-silence"
)

// tell passes an alert on. It goes to the log when that fails.
func (s *Service) tell(ctx context.Context, alert Alert) {
	if s.Alarm == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	if err := s.Alarm.Tell(ctx, alert); err != nil {
		s.Log.ErrorContext(ctx, "an alert could not be passed on", "alert", alert.Key, "text", alert.Text, "error", err)
	}
}

const tellTimeout = 10 * time.Second

// Run is what became of a piece of work.
type Run struct {
	Kind Kind
	Took time.Duration
	// Size is that of the backup, in bytes; 0 where there is none.
	Size int64
	Err  error
}

// Kind is a piece of work.
type Kind string

// The kinds of work.
const (
	RunCreate  Kind = "create"
	RunVerify  Kind = "verify"
	RunPrune   Kind = "prune"
	RunRestore Kind = "restore"
)

// observed runs a piece of work and tells Observe of it.
func (s *Service) observed(kind Kind, work func() (size int64, err error)) error {
	began := time.Now()
	size, err := work()
	s.Observe(Run{Kind: kind, Took: time.Since(began), Size: size, Err: err})
	return err
}

// Progress is how far a piece of work has come.
type Progress struct {
	Stage Stage
	// Done and Total are bytes of the dump or the file; Total may be a guess, and is 0
	// when nothing is known.
	Done, Total int64
}

// Stage is a part of the work.
type Stage string

// The stages of the work.
const (
	StageDump    Stage = "dumping"
	StageCheck   Stage = "checking"
	StageRestore Stage = "restoring"
)

// tellProgress is told of progress; nil tells nobody.
type tellProgress func(Progress)

// of makes the function that a source or restorer is given.
func (tell tellProgress) of(stage Stage, total int64) func(int64) {
	return func(done int64) {
		if tell != nil {
			tell(Progress{Stage: stage, Done: done, Total: total})
		}
	}
}

// Backup is a backup as it is found at the targets.
type Backup struct {
	Manifest
	// At are the targets that have it.
	At []string `json:"at"`
	// Problem is why it isn't to be relied on; empty is good. A Backup whose manifest
	// can't be read has only File, At and Problem.
	Problem string `json:"problem,omitempty"`

	targets []Target
}

// List has all backups, newest first. When a target can't be listed, the others'
// backups are returned together with the error.
func (s *Service) List(ctx context.Context) ([]Backup, error) {
	found := map[string]*Backup{}
	var errs []error
	for _, target := range s.Targets {
		at, err := listTarget(ctx, target)
		errs = append(errs, err)
		for _, b := range at {
			merge(found, b)
		}
	}
	backups := make([]Backup, 0, len(found))
	for _, b := range found {
		backups = append(backups, *b)
	}
	slices.SortFunc(backups, func(a, b Backup) int { return newestFirst(a.Manifest, b.Manifest) })
	return backups, errors.Join(errs...)
}

// merge joins what several targets have of one backup. A good copy counts.
func merge(found map[string]*Backup, b Backup) {
	known, ok := found[baseOrName(b.File)]
	if !ok {
		found[baseOrName(b.File)] = &b
		return
	}
	if b.Problem != "" && known.Problem == "" {
		return
	}
	if known.Problem != "" && b.Problem == "" {
		*known = b
		return
	}
	if b.Verified && !known.Verified {
		known.Verification = b.Verification
	}
	known.At = append(known.At, b.At...)
	known.targets = append(known.targets, b.targets...)
}

func baseOrName(file string) string {
	return cmp.Or(baseOf(file), strings.TrimSuffix(file, manifestSuffix))
}

// parallelReads is how many manifests are read at once.
const parallelReads = 8

// listTarget has the backups of one target.
func listTarget(ctx context.Context, target Target) ([]Backup, error) {
	files, err := target.List(ctx, filePrefix)
	if err != nil {
		return nil, fmt.Errorf("%s can't be listed: %w", target, err)
	}
	sizes := map[string]int64{}
	var manifests []string
	for _, f := range files {
		sizes[f.Name] = f.Size
		if strings.HasSuffix(f.Name, manifestSuffix) {
			manifests = append(manifests, f.Name)
		}
	}
	backups := make([]Backup, len(manifests))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(parallelReads)
	for i, name := range manifests {
		group.Go(func() error {
			b, err := readBackup(reading, target, name, sizes)
			backups[i] = b
			return err
		})
	}
	err = group.Wait()
	backups = slices.DeleteFunc(backups, func(b Backup) bool { return b.File == "" }) // gone meanwhile
	return backups, err
}

// readBackup reads a manifest and holds it against the file beside it. Only when the
// target fails is that an error.
func readBackup(ctx context.Context, target Target, name string, sizes map[string]int64) (Backup, error) {
	b := Backup{At: []string{target.String()}, targets: []Target{target}}
	m, err := readManifest(ctx, target, name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed just now
		return Backup{}, nil
	case errors.Is(err, ErrDamaged):
		b.File, b.Problem = name, err.Error()
		return b, nil
	case err != nil:
		return b, fmt.Errorf("%s can't be read at %s: %w", name, target, err)
	}
	b.Manifest = m
	if size, ok := sizes[m.File]; !ok {
		b.Problem = "its file is missing"
	} else if size != m.Size {
		b.Problem = fmt.Sprintf("its file has %d bytes instead of %d", size, m.Size)
	}
	return b, nil
}

func readManifest(ctx context.Context, target Target, name string) (Manifest, error) {
	file, err := target.Open(ctx, name)
	if err != nil {
		return Manifest{}, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return Manifest{}, err
	}
	if len(text) > maxManifest {
		return Manifest{}, fmt.Errorf("%w: its manifest is too long", ErrDamaged)
	}
	return parseManifest(name, text)
}

// Find returns the backup with an ID, or with that file name, or ErrNotFound. An ID
// may be shortened as long as it is the only one.
func (s *Service) Find(ctx context.Context, id string) (Backup, error) {
	return s.pick(ctx, fmt.Sprintf("no destination has a backup %q; 'manus backup list' shows all", id), func(all []Backup) []Backup {
		return slices.DeleteFunc(all, func(b Backup) bool { return !b.answers(id) })
	})
}

// answers tells whether a backup is meant by an ID or a file name.
func (b Backup) answers(id string) bool {
	return id != "" && (strings.HasPrefix(b.ID, id) || b.File == id || baseOf(b.File) == id)
}

// Latest returns the newest backup without a problem, or ErrNotFound.
func (s *Service) Latest(ctx context.Context) (Backup, error) {
	return s.pick(ctx, "there are no backups yet; 'manus backup create' makes one", func(all []Backup) []Backup {
		i := slices.IndexFunc(all, func(b Backup) bool { return b.Problem == "" })
		if i < 0 {
			return nil
		}
		return all[i : i+1]
	})
}

func (s *Service) pick(ctx context.Context, none string, choose func([]Backup) []Backup) (Backup, error) {
	all, err := s.List(ctx)
	chosen := choose(all)
	switch {
	case len(chosen) == 1:
		return chosen[0], nil
	case len(chosen) > 1:
		return Backup{}, fmt.Errorf("%w: %d backups begin with that; write more of the ID", ErrNotFound, len(chosen))
	case err != nil:
		return Backup{}, err
	}
	return Backup{}, fmt.Errorf("%w: %s", ErrNotFound, none)
}
