package session

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"manus/docstore/sqlitedocs"
	"manus/identity"
	"manus/internal/processtest"
)

// TestMain lets tests start other copies of the program, which they kill.
func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"relay": relaying, "work": working, "opens a session": openAndHang})
	os.Exit(m.Run())
}

// elsewhere is a copy of the program in a process of its own.
func elsewhere(path string) (*Service, error) {
	store, err := sqlitedocs.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := store.Declare(context.Background(), Specs()...); err != nil {
		return nil, err
	}
	return New(Config{Store: store, Quota: &runs{left: 1000, confirmed: map[string]bool{}}, Log: slog.New(slog.DiscardHandler)}), nil
}

// relaying writes messages to a session, as fast as it can, and brings them to workers. It
// says the place of each that has been taken.
func relaying(args []string) error {
	s, err := elsewhere(args[0])
	if err != nil {
		return err
	}
	go s.Run(context.Background())
	for {
		e, err := s.Write(context.Background(), "u", args[1], "x", "")
		if err != nil {
			return err
		}
		fmt.Println("wrote", e.Seq)
	}
}

// working claims messages, appends an answer to each, and tells that it is done.
func working(args []string) error {
	s, err := elsewhere(args[0])
	if err != nil {
		return err
	}
	ctx, me := context.Background(), worker(args[1])
	for {
		claimed, err := s.Claim(ctx, me, 3, 2*time.Second, time.Second)
		if err != nil {
			return err
		}
		for _, c := range claimed {
			fmt.Println("has", workID(c.Event))
			if err := answer(ctx, s, me, c); err != nil {
				return err
			}
		}
	}
}

// worker is one with a key of its own.
func worker(key string) identity.Caller { return caller("worker "+key, yes) }

// answer does what a worker does about a message.
func answer(ctx context.Context, s *Service, me identity.Caller, c Claimed) error {
	_, err := s.Append(ctx, Event{SessionID: c.SessionID, Type: "answer", Data: []byte("{}"), Answers: workID(c.Event)})
	if err != nil {
		return err
	}
	if err := s.Finish(ctx, me, workID(c.Event), c.Lease); err != nil && !isLost(err) {
		return err
	}
	return nil
}
