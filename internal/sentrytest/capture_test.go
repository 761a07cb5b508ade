package sentrytest

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"manus/internal/testprogram"
)

var update = flag.Bool("update", false, "write testdata of errtrack anew, from what the SDKs send now")

const (
	captures = "../../errtrack/event/testdata/captures"
	// host stands in captures for the capture server's, and any other of this machine.
	host = "127.0.0.1:10000"

	maxCapture, maxCaptures = 64 << 10, 2 << 20 // bytes
)

// TestCapture holds the captures against what they have to be, after writing them where it
// is asked to.
func TestCapture(t *testing.T) {
	if *update {
		t.Run("write", func(t *testing.T) {
			for _, client := range Clients {
				for _, scenario := range client.Scenarios {
					if strings.HasPrefix(string(scenario), "many") {
						continue // the same again and again
					}
					t.Run(client.Name+"-"+string(scenario), func(t *testing.T) {
						t.Parallel()
						server := Capture(t)
						client.Play(t, server.DSN, scenario)
						write(t, client.Name+"-"+string(scenario), server.Requests())
					})
				}
			}
			t.Run("cli", func(t *testing.T) {
				t.Parallel()
				server := Capture(t)
				environment := []string{"SENTRY_DSN=" + server.DSN}
				CLI(t, t.TempDir(), environment, "send-event", "--no-environ", "-m", "the backup of %s failed", "-a", "tea", "-t", "host:web-1", "-r", "shop@1.4.2")
				CLI(t, t.TempDir(), environment, "monitors", "run", "backup-cli", "--", "true")
				write(t, "cli-event-and-checkin", server.Requests())
			})
		})
	}
	total := 0
	for _, client := range Clients {
		for _, scenario := range client.Scenarios {
			name := client.Name + "-" + string(scenario)
			found, err := filepath.Glob(filepath.Join(captures, name+".*.http"))
			if err != nil || len(found) == 0 && !strings.HasPrefix(string(scenario), "many") {
				t.Errorf("there is no capture of %s: %v", name, err)
			}
			for _, path := range found {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				total += len(text)
				if len(text) > maxCapture {
					t.Errorf("%s has %d bytes", path, len(text))
				}
				request, err := ParseRequest(text)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if request.Method == "POST" {
					if items, err := request.Items(); err != nil || len(items) == 0 {
						t.Errorf("%s: %d items, %v", path, len(items), err)
					}
				}
			}
		}
	}
	if total > maxCaptures {
		t.Errorf("the captures have %d bytes", total)
	}
}

// write writes a file a request, of what isn't only the SDK's account of what it dropped.
func write(t *testing.T, name string, requests []Request) {
	old, err := filepath.Glob(filepath.Join(captures, name+".*.http"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(captures, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, r := range requests {
		path := filepath.Join(captures, fmt.Sprintf("%s.%d.http", name, i+1))
		if err := os.WriteFile(path, clean(t, r).Dump(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// own are the folders that a test's programs are in.
var ownFolders = regexp.MustCompile(`(file://)?/[^"\s]*/Test[^"/]*/\d+/app\b`)

var ownHost = regexp.MustCompile(`(127\.0\.0\.1|localhost):\d{4,5}`)

// clean is the request without anything of this machine: what was compressed is compressed
// again, and where an item says how long it is, it says how long it is now.
func clean(t *testing.T, r Request) Request {
	t.Helper()
	plain, err := r.Plain()
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(r.Path, "/envelope/") && len(plain) > 0 {
		header, rest, _ := bytes.Cut(plain, []byte("\n"))
		parts, err := items(rest)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		out.Write(neutral(header))
		for i, item := range parts {
			out.WriteByte('\n')
			payload := neutral(item.Payload)
			line := item.Line
			if said, ok := item.Header["length"].(float64); ok {
				line = bytes.Replace(line, fmt.Appendf(nil, `"length":%v`, said), fmt.Appendf(nil, `"length":%d`, len(payload)), 1)
				line = bytes.Replace(line, fmt.Appendf(nil, `"length": %v`, said), fmt.Appendf(nil, `"length": %d`, len(payload)), 1)
			}
			out.Write(line)
			out.WriteByte('\n')
			out.Write(payload)
			if i == len(parts)-1 && bytes.HasSuffix(rest, []byte("\n")) {
				out.WriteByte('\n')
			}
		}
		plain = out.Bytes()
	} else {
		plain = neutral(plain)
	}
	r.Body = plain
	if r.Header.Get("Content-Encoding") == "gzip" {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r.Body = zipped.Bytes()
	}
	for name, values := range r.Header {
		for i, value := range values {
			values[i] = string(neutral([]byte(value)))
		}
		if name == "Content-Length" {
			r.Header.Set(name, fmt.Sprint(len(r.Body)))
		}
	}
	r.Query = string(neutral([]byte(r.Query)))
	return r
}

// neutral replaces what names this machine.
func neutral(text []byte) []byte {
	for _, folder := range []string{testprogram.SentryJavaScript.Path()} {
		text = bytes.ReplaceAll(text, []byte(folder), []byte("/srv/app"))
	}
	text = ownFolders.ReplaceAll(text, []byte("${1}/srv/app"))
	for own, instead := range ours() {
		text = bytes.ReplaceAll(text, []byte(own), []byte(instead))
	}
	return ownHost.ReplaceAll(text, []byte(host))
}

// ours are this machine's and this user's names, as JSON has them, and what stands for them.
var ours = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	if host, err := os.Hostname(); err == nil {
		names[`"`+host+`"`] = `"web-1"`
	}
	if who, err := user.Current(); err == nil {
		names[`"username":"`+who.Username+`"`] = `"username":"shop"`
	}
	for file, instead := range map[string]string{"osrelease": "6.1.0-32-amd64", "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.129-1"} {
		if text, err := os.ReadFile("/proc/sys/kernel/" + file); err == nil {
			names[`"`+strings.TrimSpace(string(text))+`"`] = `"` + instead + `"`
		}
	}
	return names
})
