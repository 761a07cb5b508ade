package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"manus/backup"
)

func TestABackupsLineSaysHowLongAllOfItTook(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	m := backup.Manifest{File: "manus-x.sqlite.gz", CreatedAt: at, FinishedAt: at.Add(3 * time.Second)} // the drill comes after that
	var out bytes.Buffer
	if err := (&backupCommand{}).printCreated(&process{stdio: stdio{out: &out}}, m, 23*time.Second); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "in 23s") {
		t.Errorf("it is %q", &out)
	}
}
