package targettest_test

import (
	"path/filepath"
	"testing"

	"manus/backup"
	"manus/backup/targettest"
	"manus/internal/processtest"
)

func TestMain(m *testing.M) {
	processtest.Play(targettest.Roles(func(place string) (backup.Target, error) { return backup.NewFolder(place), nil }))
	m.Run()
}

func TestAFolderIsATarget(t *testing.T) {
	t.Parallel()
	targettest.Run(t, func(t *testing.T) targettest.Harness {
		dir := filepath.Join(t.TempDir(), "backups")
		other := backup.NewFolder(dir)
		return targettest.Harness{Target: backup.NewFolder(dir), Other: other, Later: other, PartSize: 1 << 20, Place: dir}
	})
}
