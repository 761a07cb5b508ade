package envelope

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"manus/internal/processtest"
)

// packers are the encodings as senders write them; raw is what some call deflate.
var packers = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"raw": func(w io.Writer) io.WriteCloser {
		f, _ := flate.NewWriter(w, flate.DefaultCompression)
		return f
	},
	"br": func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"br, the largest window": func(w io.Writer) io.WriteCloser {
		return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: 5, LGWin: 24})
	},
	"zstd": func(w io.Writer) io.WriteCloser {
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		return z
	},
	"zstd, the largest window": func(w io.Writer) io.WriteCloser {
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
		return z
	},
}

// header is the value of Content-Encoding for a packer.
func header(packer string) string {
	encoding, _, _ := strings.Cut(packer, ",")
	if encoding == "raw" {
		return "deflate"
	}
	return encoding
}

func pack(t testing.TB, packer string, text []byte) []byte {
	t.Helper()
	return packFrom(t, packer, bytes.NewReader(text))
}

func packFrom(t testing.TB, packer string, from io.Reader) []byte {
	t.Helper()
	var packed bytes.Buffer
	if packer == "" {
		_, _ = packed.ReadFrom(from)
		return packed.Bytes()
	}
	w := packers[packer](&packed)
	if _, err := io.Copy(w, from); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestMain is for roles of this program; see TestBombs.
func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"bombs": takeBombs})
	os.Exit(m.Run())
}

const (
	smallEvent = "{\"message\":\"\u0645\u0631\u062d\u0628\u0627\"}"
	small      = "{}\n{\"type\":\"event\",\"length\":24}\n" + smallEvent + "\n"
)

func TestEncodings(t *testing.T) {
	t.Parallel()
	u := NewUnpacker()
	for packer := range packers {
		t.Run(packer, func(t *testing.T) {
			t.Parallel() // with decoders that other bodies use, too
			packed := pack(t, packer, []byte(small))
			for _, value := range []string{"%s", " %s ", "identity, %s", "%s,", "utf-8,%s"} {
				body, err := open(t, u, bytes.NewReader(packed), strings.ReplaceAll(value, "%s", header(packer)))
				if err != nil {
					t.Fatal(err)
				}
				_, items, err := readAll(body)
				body.Close()
				if err != nil || len(items) != 1 || string(items[0].Payload) != smallEvent {
					t.Errorf("by %q: %v, %v", value, items, err)
				}
			}
		})
	}
	for _, value := range []string{"", "identity", "utf-8", "UTF-8", ", ,", "identity,utf-8"} {
		body, err := open(t, u, strings.NewReader(small), value)
		if err != nil {
			t.Fatal(err)
		}
		if _, items, err := readAll(body); err != nil || len(items) != 1 {
			t.Errorf("not packed, as %q: %v, %v", value, items, err)
		}
	}
	for _, value := range []string{"compress", "gzip, br", "br,br", "gzip;q=1", "base64"} {
		if _, err := open(t, u, strings.NewReader(small), value); status(err) != 415 {
			t.Errorf("encoding %q: %v, want status 415", value, err)
		}
	}
	if body, err := open(t, u, bytes.NewReader(pack(t, "gzip", []byte(small))), "X-GZIP"); err != nil {
		t.Error(err)
	} else if _, _, err = readAll(body); err != nil {
		t.Error(err)
	}
}

// TestPackedBodiesCutShort cuts each encoding at every byte, and damages it at every byte.
func TestPackedBodiesCutShort(t *testing.T) {
	t.Parallel()
	u := NewUnpacker()
	for packer := range packers {
		packed := pack(t, packer, []byte(small))
		for at := 1; at < len(packed); at++ {
			if _, err := unpackAll(t, u, packed[:at], packer); status(err) != 400 {
				t.Errorf("%s cut at %d of %d: %v, want status 400", packer, at, len(packed), err)
			}
		}
		for at := range packed {
			damaged := bytes.Clone(packed)
			damaged[at] ^= 0x55
			if _, err := unpackAll(t, u, damaged, packer); err != nil && status(err) != 400 && status(err) != 413 {
				t.Errorf("%s damaged at %d: %v, want status 400", packer, at, err)
			}
		}
	}
}

func unpackAll(t testing.TB, u *Unpacker, packed []byte, packer string) ([]byte, error) {
	body, err := open(t, u, bytes.NewReader(packed), header(packer))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// TestABodyIsUnpackedWhateverCameBefore: one that was given up leaves nothing to the next.
func TestABodyIsUnpackedWhateverCameBefore(t *testing.T) {
	t.Parallel()
	u := NewUnpacker()
	for packer := range packers {
		bomb, fine := packFrom(t, packer, io.LimitReader(zeros{}, 32<<20)), packFrom(t, packer, strings.NewReader("fine"))
		for range 20 {
			body, err := open(t, u, bytes.NewReader(bomb), header(packer))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = body.Read(make([]byte, 100))
			body.Close()
			if unpacked, err := unpackAll(t, u, fine, packer); err != nil || string(unpacked) != "fine" {
				t.Fatalf("%s: %q %v", packer, unpacked, err)
			}
		}
	}
}

// TestSlowSendersTakeOnlySoMuch: however many bodies are open and have come in part, they
// hold no more than the budgets say; what is small has its room beside them, and all is
// given back.
func TestSlowSendersTakeOnlySoMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const senders = 200
		u := NewUnpacker()
		var all sync.WaitGroup
		var refused atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		for range senders {
			all.Go(func() {
				slow, more := io.Pipe()
				defer slow.Close()
				go func() {
					_, _ = io.WriteString(more, "{}\n{\"type\":\"event\"}\n"+strings.Repeat(" ", 500<<10))
					<-ctx.Done()
					more.CloseWithError(ctx.Err())
				}()
				r, _ := http.NewRequestWithContext(t.Context(), "POST", "/", slow)
				body, err := u.Open(r)
				if err != nil {
					t.Error(err)
					return
				}
				defer body.Close()
				reader, err := NewReader(body)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err = reader.Next(); status(err) == 503 {
					refused.Add(1)
				}
			})
		}
		<-time.After(roomWithin + time.Second)
		synctest.Wait()
		if n := refused.Load(); n < senders-maxMore/(128<<10) {
			t.Errorf("%d were refused", n)
		}
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("{}\n{\"type\":\"event\"}\n"+strings.Repeat(" ", 50<<10)))
		body, err := u.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		if reader, err := NewReader(body); err != nil {
			t.Error(err)
		} else if _, err := reader.Next(); err != nil {
			t.Errorf("what is small: %v", err)
		}
		body.Close()
		cancel()
		all.Wait()
		if !u.open.TryAcquire(maxOpen) || !u.more.TryAcquire(maxMore) {
			t.Error("not all was given back")
		}
	})
}

// TestStrangersHoldNothingThatOthersNeed: however many bodies come without having proven who
// sends them, those that have are read at once; what needs much memory isn't begun before the
// proof, and with it a body is like any other.
func TestStrangersHoldNothingThatOthersNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, slow := NewUnpacker(), maxUnproven/plainCost
		unproven := func(from io.Reader, encoding string) (*Body, error) {
			r, _ := http.NewRequestWithContext(t.Context(), "POST", "/", from)
			r.Header.Set("Content-Encoding", encoding)
			return u.OpenUnproven(r)
		}
		for _, packer := range []string{"br", "br, the largest window", "zstd", "zstd, the largest window"} {
			packed := pack(t, packer, bytes.Repeat([]byte("{}"), 1<<20))
			if _, err := unproven(bytes.NewReader(packed), header(packer)); status(err) != 401 || len(u.large) != 0 {
				t.Errorf("%s: %v, and %d are large", packer, err, len(u.large))
			}
		}
		var senders []*Body
		for range slow {
			never, _ := io.Pipe()
			body, err := unproven(never, "")
			if err != nil {
				t.Fatal(err)
			}
			senders = append(senders, body)
		}
		if _, err := unproven(strings.NewReader(small), ""); status(err) != 503 {
			t.Errorf("one stranger more: %v", err)
		}
		began := time.Now()
		for packer := range packers {
			if _, err := unpackAll(t, u, pack(t, packer, []byte(small)), packer); err != nil || time.Since(began) > 0 {
				t.Errorf("%s, with a key: %v after %s", packer, err, time.Since(began))
			}
		}
		senders[0].Close()
		body, err := unproven(strings.NewReader(small), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Prove(); err != nil {
			t.Fatal(err)
		}
		if other, err := unproven(strings.NewReader(small), ""); err != nil {
			t.Errorf("beside one that has proven: %v", err)
		} else {
			other.Close()
		}
		if _, items, err := readAll(body); err != nil || len(items) != 1 {
			t.Errorf("what has proven: %v, %v", items, err)
		}
		body.Close()
		for _, body := range senders[1:] {
			body.Close()
		}
		if !u.open.TryAcquire(maxOpen) || !u.unproven.TryAcquire(maxUnproven) {
			t.Error("not all was given back")
		}
	})
}

func TestWhatUnpacksToTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	u := NewUnpacker()
	for packer := range packers {
		packed := packFrom(t, packer, io.LimitReader(zeros{}, 32<<20))
		body, err := open(t, u, bytes.NewReader(packed), header(packer))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body)
		body.Close()
		if most := maxFree + maxRatio*int64(len(packed)) + maxLine; status(err) != 413 || n > most {
			t.Errorf("%s: %d bytes of a bomb of %d, at most %d; %v, want status 413", packer, n, len(packed), most, err)
		}
		packed = packFrom(t, packer, io.LimitReader(zeros{}, maxFree))
		if unpacked, err := unpackAll(t, u, packed, packer); err != nil || len(unpacked) != maxFree {
			t.Errorf("%s: %d bytes of the largest item, which packs to %d; %v", packer, len(unpacked), len(packed), err)
		}
	}
	body, err := open(t, u, io.LimitReader(zeros{}, maxBody+1), "")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); status(err) != 413 || n != maxBody+1 {
		t.Errorf("%d bytes, %v; want status 413 behind 200 MiB", n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLargeWindowsAreRefused begins with the first bytes of large-window brotli (RFC 9841),
// with a window of 1 GiB.
func TestLargeWindowsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := unpackAll(t, NewUnpacker(), []byte{0x11, 30, 0, 0, 0, 0}, "br"); status(err) != 400 {
		t.Errorf("brotli with a large window: %v", err)
	}
	// A frame of zstd whose window is 16 MiB, and one of 16 MiB in a single segment.
	for _, frame := range [][]byte{{0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 1, 0, 0}, {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 1, 1, 0, 0}} {
		if _, err := unpackAll(t, NewUnpacker(), frame, "zstd"); status(err) != 400 {
			t.Errorf("zstd with a window of 16 MiB: %v", err)
		}
	}
	// A large frame behind an ordinary one doesn't get past the bound of large bodies.
	frames := append(pack(t, "zstd", []byte("{}")), pack(t, "zstd, the largest window", bytes.Repeat([]byte("{}"), 1<<20))...)
	if _, err := unpackAll(t, NewUnpacker(), frames, "zstd"); status(err) != 400 {
		t.Errorf("zstd with a large second frame: %v", err)
	}
}

// TestFewBodiesAreLargeAtATime fills the places of large bodies: the next one waits until a
// place is free, or until its request is over, and ordinary ones don't wait.
func TestFewBodiesAreLargeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := NewUnpacker()
		text := "{}\n{\"type\":\"span\"}\n" + strings.Repeat("x", maxOrdinary+1)
		var held []*Body
		for range maxLarge {
			body, err := open(t, u, strings.NewReader(text), "")
			if err != nil {
				t.Fatal(err)
			}
			if _, items, err := readAll(body); err != nil || len(items) != 1 {
				t.Fatal(items, err)
			}
			held = append(held, body)
		}
		if body, err := open(t, u, strings.NewReader(small), ""); err != nil {
			t.Error(err)
		} else if _, items, err := readAll(body); err != nil || len(items) != 1 {
			t.Errorf("an ordinary body: %v, %v", items, err)
		}

		for name, packed := range map[string][]byte{"": []byte(text), "br, the largest window": pack(t, "br, the largest window", []byte(small)), "zstd, the largest window": pack(t, "zstd, the largest window", []byte(text))} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			r := httptest.NewRequestWithContext(ctx, "POST", "/", bytes.NewReader(packed))
			r.Header.Set("Content-Encoding", header(name))
			body, err := u.Open(r)
			if err == nil {
				_, _, err = readAll(body)
				body.Close()
			}
			cancel()
			if status(err) != 503 {
				t.Errorf("a large body too many, %q: %v, want status 503", name, err)
			}
		}

		done := make(chan error)
		go func() {
			body, err := open(t, u, strings.NewReader(text), "")
			if err == nil {
				_, _, err = readAll(body)
			}
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it didn't wait: %v", err)
		default:
		}
		held[0].Close()
		held[0].Close() // once more changes nothing
		if err := <-done; err != nil {
			t.Errorf("after a place was free: %v", err)
		}
	})
}

func TestClosedBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	u := NewUnpacker()
	body, err := open(t, u, bytes.NewReader(pack(t, "gzip", []byte(small))), "gzip")
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if n, err := body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d of a closed body, %v", n, err)
	}
}

const bombs = 20 // at once

// TestBombs has a process take 20 bombs at once, in each encoding and each place of an
// envelope, and looks at how much memory it has had.
func TestBombs(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("the race detector takes memory of its own, and lets pools forget")
	}
	const container = "\"content_type\":\"application/vnd.sentry.items.span.v2+json\""
	starts := map[string]int64{ // of envelopes, with how many zeros follow
		"{\"dsn\":\"": 32 << 20,
		"{}\n{\"type\":\"attachment\",\"length\":209715200}\n":            200 << 20,
		"{}\n{\"type\":\"event\"}\n":                                      32 << 20,
		"{}\n{\"type\":\"event\",\"length\":1048576}\n":                   32 << 20,
		"{}\n{\"type\":\"span\"," + container + "}\n":                     32 << 20,
		"{}\n{\"type\":\"span\",\"length\":12582912," + container + "}\n": 32 << 20,
	}
	for packer := range packers {
		t.Run(packer, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			i := 0
			for start, size := range starts {
				bomb := packFrom(t, packer, io.MultiReader(strings.NewReader(start), io.LimitReader(zeros{}, size)))
				if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), bomb, 0o600); err != nil {
					t.Fatal(err)
				}
				i++
			}
			out, err := processtest.Command(t.Context(), "bombs", dir, header(packer)).Output()
			if err != nil {
				t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
			}
			var used memory
			if err := json.Unmarshal(out, &used); err != nil {
				t.Fatal(err)
			}
			t.Logf("heap %d MiB, resident %d MiB, in %s", used.Heap>>20, used.Resident>>20, used.Took)
			if used.Heap > 96<<20 || used.Resident > 112<<20 {
				t.Errorf("%d bombs took %d MiB of heap, %d MiB resident", bombs, used.Heap>>20, used.Resident>>20)
			}
		})
	}
}

// memory is the most that a process has had.
type memory struct {
	Heap, Resident int64 // bytes
	Took           time.Duration
}

// takeBombs reads each file of a directory as often at once as there are bombs, and prints
// the process's memory.
func takeBombs(args []string) error {
	files, err := filepath.Glob(filepath.Join(args[0], "*"))
	if err != nil {
		return err
	}
	u, start := NewUnpacker(), time.Now()
	for _, file := range files {
		bomb, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		errs := make([]error, bombs)
		for i := range bombs {
			all.Go(func() { errs[i] = takeBomb(u, bomb, args[1]) })
		}
		all.Wait()
		for _, err := range errs {
			if s := status(err); s != 413 && s != 400 {
				return fmt.Errorf("%s: status %d, %w", file, s, err)
			}
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	resident, err := peakResident()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(memory{Heap: int64(stats.HeapSys), Resident: resident, Took: time.Since(start)})
}

func takeBomb(u *Unpacker, bomb []byte, encoding string) error {
	r := httptest.NewRequest("POST", "/", bytes.NewReader(bomb))
	r.Header.Set("Content-Encoding", encoding)
	body, err := u.Open(r)
	if err != nil {
		return err
	}
	defer body.Close()
	_, items, err := readAll(body)
	runtime.KeepAlive(items)
	return err
}

// peakResident is VmHWM of Linux, and 0 elsewhere.
func peakResident() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, nil //nolint:nilerr // another system
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(after), " kB")
	kilobytes, err := strconv.ParseInt(number, 10, 64)
	return kilobytes << 10, err
}
