package redislimit

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"manus/internal/processtest"
	"manus/internal/redisclient"
	"manus/internal/redistest"
	"manus/ratelimit"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"decides": decideALot})
	m.Run()
}

const (
	attackers   = 64
	contested   = 500 // keys
	contestedBy = "5/second, 20/10seconds"
)

// record is one decision, as the processes write them down.
type record struct {
	At      int64 // in microseconds, by the server's clock
	Key     uint16
	Allowed bool
}

// decideALot is one process: many goroutines that take as fast as they can. It is told
// the server, how many decisions, and the file to write them to.
func decideALot(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	client, err := redisclient.New(args[0])
	if err == nil {
		err = client.Connect()
	}
	if err != nil {
		return err
	}
	e := New(Config{Client: client})
	limit, err := ratelimit.ParseLimit(contestedBy)
	if err != nil {
		return err
	}
	file, err := os.Create(args[2])
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for range attackers {
		wg.Go(func() {
			var d ratelimit.Decision
			for range n / attackers {
				key := uint16(rand.N(contested)) //nolint:gosec // small
				checks := []ratelimit.Check{{Key: strconv.Itoa(int(key)), Limit: limit, Cost: 1}}
				err := e.Take(context.Background(), checks, &d)
				mu.Lock()
				if err == nil {
					err = binary.Write(out, binary.LittleEndian, record{d.Checks[0].At.UnixMicro(), key, d.Allowed})
				}
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed, out.Flush(), file.Close())
}

// TestProcessesNeverAdmitTooMuch lets four processes decide at once about the same
// keys, and gives what they did to an oracle that knows nothing of how: no window
// has more than its number, and nobody was refused that it would have admitted.
// Clients send no time, so their clocks play no part. MANUS_LIMIT_DECISIONS sets
// how many decisions there are.
func TestProcessesNeverAdmitTooMuch(t *testing.T) {
	t.Parallel()
	decisions := 60_000
	if text := os.Getenv("MANUS_LIMIT_DECISIONS"); text != "" {
		var err error
		if decisions, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const processes = 4
	server := redistest.Start(t)
	dir := t.TempDir()
	var running []*processtest.Process
	for i := range processes {
		running = append(running, processtest.Start(t, "decides", server.URL(), strconv.Itoa(decisions/processes), filepath.Join(dir, strconv.Itoa(i))))
	}
	var all []record
	for i, p := range running {
		p.End(t)
		all = append(all, readRecords(t, filepath.Join(dir, strconv.Itoa(i)))...)
	}
	admitted, refused := judge(t, all)
	t.Logf("%d decisions: %d admitted, %d refused", len(all), admitted, refused)
	if len(all) < decisions*9/10 || admitted == 0 || refused == 0 {
		t.Error("that is not what was asked for")
	}
}

func readRecords(t *testing.T, path string) (all []record) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := bufio.NewReader(file)
	for {
		var text [11]byte
		if _, err := io.ReadFull(in, text[:]); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, record{int64(binary.LittleEndian.Uint64(text[:])), binary.LittleEndian.Uint16(text[8:]), text[10] == 1}) //nolint:gosec // as it was written
	}
}

// judge is the oracle: it looks at each key's decisions in the order of time.
func judge(t *testing.T, all []record) (admitted, refused int) {
	t.Helper()
	limit, err := ratelimit.ParseLimit(contestedBy)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.At, b.At), compareAllowed(a, b))
	})
	var times []int64 // of what was admitted for the key
	for i, r := range all {
		if i > 0 && all[i-1].Key != r.Key {
			times = times[:0]
		}
		if r.Allowed {
			admitted++
			times = append(times, r.At)
		} else {
			refused++
		}
		full := false
		for _, w := range limit {
			n := 0
			for j := len(times) - 1; j >= 0 && times[j] > r.At-w.Per.Microseconds(); j-- {
				n++
			}
			if n > w.N {
				t.Fatalf("the key %d has %d in %v", r.Key, n, w.Per)
			}
			full = full || n == w.N
		}
		if !r.Allowed && !full {
			t.Fatalf("the key %d was refused, and had room", r.Key)
		}
	}
	return admitted, refused
}

// compareAllowed puts what was admitted first, of what was decided in the same
// microsecond.
func compareAllowed(a, b record) int {
	switch {
	case a.Allowed == b.Allowed:
		return 0
	case a.Allowed:
		return -1
	}
	return 1
}
