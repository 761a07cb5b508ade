package backup

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"manus/internal/words"
)

// Manifest is what is known of a backup. It stands beside the backup's file and is
// written last, so what has one is whole.
type Manifest struct {
	// Version is the layout of the manifest: 1.
	Version int `json:"version"`
	// ID names the backup for people.
	ID string `json:"id"`
	// File is the name of the backup's file beside the manifest.
	File string `json:"file"`
	// CreatedAt is when the dump was begun, FinishedAt when the file was whole. Earlier
	// versions wrote whole seconds, as the file's name has them.
	CreatedAt  time.Time `json:"created_at"`
	FinishedAt time.Time `json:"finished_at"`
	// Tool is the program that made it, with its version.
	Tool string `json:"tool"`
	// Installation is whose backup it is: the id that a store keeps. It is empty when
	// that wasn't known.
	Installation string `json:"installation,omitempty"`
	// Round is when the first try of a scheduled run was begun. Later tries of the same
	// run have it too, and take the place of the earlier ones.
	Round time.Time `json:"round,omitzero"`
	// Suspicious is why it may not be what is wanted although it is whole: it has much
	// less in it than the one before, or a clock was wrong. Empty when there is nothing
	// of that, or a person has said that it is as it should be.
	Suspicious string `json:"suspicious,omitempty"`
	// Removing is set when removing the backup has begun. It is for the case that it ends
	// there: a manifest that has lost its file otherwise isn't ours to remove.
	Removing bool `json:"removing,omitempty"`

	Format      Format      `json:"format"`
	Compression Compression `json:"compression"`
	Encryption  string      `json:"encryption,omitempty"` // "age", or empty

	// Size and SHA256 are those of the file as it is stored.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// DumpSize and DumpSHA256 are those of the dump in it.
	DumpSize   int64  `json:"dump_size"`
	DumpSHA256 string `json:"dump_sha256"`

	Documents int64 `json:"documents"`
	Contents

	Verification
}

// Verification is what became of restoring a backup and comparing it.
type Verification struct {
	Verified   bool       `json:"verified"`
	VerifiedAt *time.Time `json:"verified_at"`
	// VerifySeconds is how long the last try took.
	VerifySeconds float64 `json:"verify_seconds,omitempty"`
	// VerifyError is why it isn't verified, when it was tried.
	VerifyError string `json:"verify_error,omitempty"`
}

const (
	manifestVersion = 1
	// filePrefix begins every file's name, manifestSuffix ends the manifests'.
	filePrefix     = "manus-"
	manifestSuffix = ".manifest.json"
	// maxManifest bounds a manifest in bytes. It has a few hundred for a collection.
	maxManifest = 16 << 20

	encryptedSuffix = ".age"
	ageEncryption   = "age"

	stampLayout = "20060102T150405Z"
)

// namePattern matches the names of backups' files: their base, which a backup and its
// manifest share, the id in it, the format, the compression and the encryption.
var namePattern = regexp.MustCompile(`^(manus-\d{8}T\d{6}Z-([a-z0-9]{4,32}))\.(archive|sqlite)(\.gz|\.zst)(\.age)?$`)

// moment is a time as a manifest has it: several backups are made within a second.
func moment(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// newManifest names a backup that begins now.
func newManifest(at time.Time, format Format, compression Compression, encrypted bool) Manifest {
	at = moment(at)
	m := Manifest{
		Version:     manifestVersion,
		ID:          strings.ToLower(rand.Text()[:8]),
		CreatedAt:   at,
		Format:      format,
		Compression: compression,
	}
	m.File = filePrefix + at.Format(stampLayout) + "-" + m.ID + "." + string(format) + compression.suffix()
	if encrypted {
		m.Encryption = ageEncryption
		m.File += encryptedSuffix
	}
	return m
}

// manifestOf is what the name of a file says of the backup in it.
func manifestOf(f File) Manifest {
	m := Manifest{File: f.Name, Size: f.Size, FinishedAt: f.Modified.UTC().Truncate(time.Second)}
	parts := namePattern.FindStringSubmatch(f.Name)
	m.ID, m.Format, m.Compression = parts[2], Format(parts[3]), Gzip
	if parts[4] == Zstd.suffix() {
		m.Compression = Zstd
	}
	if parts[5] != "" {
		m.Encryption = ageEncryption
	}
	at := strings.TrimSuffix(strings.TrimPrefix(parts[1], filePrefix), "-"+m.ID)
	m.CreatedAt, _ = time.Parse(stampLayout, at) // zero for what is no time
	return m
}

// name is the manifest's own file name.
func (m Manifest) name() string { return baseOf(m.File) + manifestSuffix }

// baseOf is what a backup's name shares with its manifest's; empty for the name of
// anything else.
func baseOf(file string) string {
	if found := namePattern.FindStringSubmatch(file); found != nil {
		return found[1]
	}
	return ""
}

// The manifest ends with a checksum of everything before it, so that no bit of it can
// change unseen.
const (
	checksumBefore = ",\n  \"checksum\": \""
	checksumAfter  = "\"\n}\n"
	checksumTail   = len(checksumBefore) + 2*sha256.Size + len(checksumAfter)
)

// encode is the manifest's text, its checksum included.
func (m Manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(text, []byte("\n}"))
	return append(text, checksumBefore+hexSHA256(text)+checksumAfter...), nil
}

// parseManifest reads a manifest of the name, or returns ErrDamaged.
func parseManifest(name string, text []byte) (Manifest, error) {
	var m Manifest
	if err := checkText(text); err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: its manifest isn't one", ErrDamaged)
	}
	if err := m.check(name); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func checkText(text []byte) error {
	cut := len(text) - checksumTail
	if cut < 0 {
		return fmt.Errorf("%w: its manifest is cut short", ErrDamaged)
	}
	if want := checksumBefore + hexSHA256(text[:cut]) + checksumAfter; string(text[cut:]) != want {
		return fmt.Errorf("%w: its manifest was changed", ErrDamaged)
	}
	return nil
}

// check tells whether the manifest is one that this program wrote.
func (m Manifest) check(name string) error {
	parts := namePattern.FindStringSubmatch(m.File)
	switch {
	case m.Version > manifestVersion:
		return fmt.Errorf("%w: its manifest is of a newer version of this program; use that one", ErrDamaged)
	case parts == nil, m.name() != name, parts[2] != m.ID, Format(parts[3]) != m.Format, parts[4] != m.Compression.suffix(), (parts[5] != "") != (m.Encryption != ""):
		return fmt.Errorf("%w: its manifest is of another file", ErrDamaged)
	case m.Size < 0 || m.DumpSize < 0:
		return fmt.Errorf("%w: its manifest has impossible sizes", ErrDamaged)
	}
	return nil
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// difference names what two databases differ in, or is empty.
func difference(dumped, restored Contents) string {
	for _, want := range dumped.Collections {
		i, ok := slices.BinarySearchFunc(restored.Collections, want.Name, func(c Collection, name string) int { return strings.Compare(c.Name, name) })
		switch {
		case !ok:
			return fmt.Sprintf("%s is missing", want.Name)
		case restored.Collections[i].Documents != want.Documents:
			return fmt.Sprintf("%s has %s instead of %d", want.Name, words.Count(restored.Collections[i].Documents, "document"), want.Documents)
		case restored.Collections[i].SHA256 != want.SHA256:
			return fmt.Sprintf("%s has other documents", want.Name)
		case restored.Collections[i].Definition != want.Definition:
			return fmt.Sprintf("%s has other indexes or options", want.Name)
		}
	}
	if more := len(restored.Collections) - len(dumped.Collections); more > 0 {
		return words.Count(more, "collection") + " too many"
	}
	return ""
}
