package redisclient_test

import (
	"testing"
	"time"

	"manus/internal/redisclient"
	"manus/internal/redistest"
)

// Who asks for the time first, connects: a command has nobody else who does.
func TestTheClockIsReadByWhoAsksFirst(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, err := redisclient.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if at, err := client.Clock(t.Context()); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("it is %v: %v", at, err)
	}
	server.Kill(t)
	if _, err := client.Clock(t.Context()); err == nil {
		t.Error("a server that is gone tells the time")
	}
}
