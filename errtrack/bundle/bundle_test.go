package bundle

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pack makes a bundle: of files' paths what they are and what is in them.
func pack(t testing.TB, files map[string]said, texts map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("SYSB\x02\x00\x00\x00") // as sentry-cli begins them
	w := zip.NewWriter(&out)
	manifest, err := json.Marshal(manifest{files})
	if err != nil {
		t.Fatal(err)
	}
	texts["manifest.json"] = string(manifest)
	for name, text := range texts {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(data []byte) (*Bundle, error) { return Open(bytes.NewReader(data), int64(len(data))) }

// readAll reads a bundle with all its files.
func readAll(data []byte) (files []File, texts []string, err error) {
	b, err := open(data)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range b.Files {
		var text bytes.Buffer
		if err := b.Copy(&text, f); err != nil {
			return nil, nil, err
		}
		texts = append(texts, text.String())
	}
	return b.Files, texts, nil
}

func TestABundleOfSentryCLIIsRead(t *testing.T) {
	t.Parallel()
	data := pack(t, map[string]said{
		"files/_/_/app.js":     {Minified, "~/app.js", map[string]string{"Debug-Id": "EBAEAFDA-88d6-5552-b79f-2e306f39c5b1", "Sourcemap": "app.js.map"}},
		"files/_/_/app.js.map": {SourceMap, "~/app.js.map", map[string]string{"debug-id": "ebaeafda-88d6-5552-b79f-2e306f39c5b1"}},
		"files/_/_/app.ts":     {"source", "~/app.ts", nil},
	}, map[string]string{"files/_/_/app.js": "throw 1", "files/_/_/app.js.map": "{}", "files/_/_/app.ts": "throw 1;"})
	files, texts, err := readAll(data)
	if err != nil || len(files) != 2 || texts[0] != "throw 1" || texts[1] != "{}" {
		t.Fatalf("%+v %q %v", files, texts, err)
	}
	const id = "ebaeafda88d65552b79f2e306f39c5b1"
	if f := files[0]; f.Kind != Minified || f.URL != "~/app.js" || f.DebugID != id || f.SourceMap != "app.js.map" {
		t.Errorf("the first is %+v", f)
	}
	if f := files[1]; f.Kind != SourceMap || f.DebugID != id || f.SourceMap != "" {
		t.Errorf("the second is %+v", f)
	}
}

// TestHostileBundlesAreRefused: in little memory and time, and with what is wrong. It is alone,
// as it measures the memory of the process.
func TestHostileBundlesAreRefused(t *testing.T) {
	mapFile := func(url string) said { return said{SourceMap, url, nil} }
	one := func(text string) []byte {
		return pack(t, map[string]said{"f/a.map": mapFile("~/a.map")}, map[string]string{"f/a.map": text})
	}
	many := map[string]said{}
	texts := map[string]string{}
	for n := range MaxFiles + 1 {
		many[fmt.Sprint("f/", n)], texts[fmt.Sprint("f/", n)] = mapFile(fmt.Sprint("~/", n)), ""
	}
	broken := one(strings.Repeat("a", 5000))
	broken[bytes.Index(broken, []byte("a.map"))+10] ^= 0xff
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":               {nil, "no zip file"},
		"text":                  {[]byte("SYSB\x02\x00\x00\x00 no zip"), "no zip file"},
		"cut short":             {one("{}")[:100], "no zip file"},
		"no manifest":           {plainZip(t, "a.map"), "it has no manifest.json"},
		"a manifest of nothing": {pack(t, map[string]said{"f/a.map": mapFile("~/a.map")}, map[string]string{}), "a file that isn't there"},
		"too many files":        {pack(t, many, texts), "more than 20000 files"},
		"a list of files alone": {entries(t, 300_000), "list of files is larger"},
		"a bomb of one":         {bomb(t, 1, 100<<20), "larger than 64 MiB"},
		"a bomb of many":        {bomb(t, 40, 60<<20), "far larger than what they are packed in"},
		"a bomb that lies":      {lie(bomb(t, 1, 100<<20)), "can't be read"},
		"an address of a page":  {pack(t, map[string]said{"f/a.map": mapFile("~/" + strings.Repeat("a", 2000))}, map[string]string{"f/a.map": "{}"}), "address"},
		"an address of no text": {pack(t, map[string]said{"f/a.map": mapFile("~/a\x00.map")}, map[string]string{"f/a.map": "{}"}), "address"},
		"damaged":               {broken, "a file in it"},
		"a manifest of an array": {func() []byte {
			var out bytes.Buffer
			w := zip.NewWriter(&out)
			f, _ := w.Create("manifest.json")
			_, _ = f.Write([]byte(strings.Repeat("[", 100_000)))
			_ = w.Close()
			return out.Bytes()
		}(), "manifest.json"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := readAllDiscarding(test.data)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it is read, or refused with %v", err)
			}
			if took, grew := time.Since(start), int64(after.TotalAlloc)-int64(before.TotalAlloc); took > 10*time.Second || grew > 128<<20 {
				t.Errorf("that took %v and %d MiB", took, grew>>20)
			}
		})
	}
}

// readAllDiscarding is readAll, without what is in the files.
func readAllDiscarding(data []byte) (files []File, texts []string, err error) {
	b, err := open(data)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range b.Files {
		if err := b.Copy(io.Discard, f); err != nil {
			return nil, nil, err
		}
	}
	return b.Files, nil, nil
}

// plainZip has empty files of these names.
func plainZip(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		if _, err := w.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// entries is a zip file of so many files without anything in them.
func entries(t *testing.T, n int) []byte {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return plainZip(t, names...)
}

// bomb is a bundle of files, each of so many spaces.
func bomb(t *testing.T, files, size int) []byte {
	t.Helper()
	spaces := make([]byte, size)
	for i := range spaces {
		spaces[i] = ' '
	}
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestCompression)
	if err == nil {
		_, err = z.Write(spaces)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	paths := map[string]said{}
	for n := range files {
		name := fmt.Sprintf("f/%d.map", n)
		paths[name] = said{SourceMap, "~/" + name, nil}
		f, err := w.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(spaces), CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(size)})
		if err == nil {
			_, err = f.Write(packed.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, _ := json.Marshal(manifest{paths}) // it never fails
	f, err := w.Create("manifest.json")
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// lie has the list of files say that a bomb's first file has a byte.
func lie(data []byte) []byte {
	const sizeAt = 24 // of an entry of the list
	at := bytes.Index(data, []byte("PK\x01\x02"))
	copy(data[at+sizeAt:], []byte{1, 0, 0, 0})
	return data
}

// TestTenThousandFilesAreRead: a large program is no bomb.
func TestTenThousandFilesAreRead(t *testing.T) {
	t.Parallel()
	files, texts := map[string]said{}, map[string]string{}
	for n := range 10_000 {
		name := fmt.Sprintf("files/_/_/static/chunks/a-folder-that-has-a-name/of-its-own/chunk-%d.js.map", n)
		files[name], texts[name] = said{SourceMap, "~/" + name, map[string]string{"debug-id": fmt.Sprintf("%032x", n)}}, `{"version":3}`
	}
	got, _, err := readAllDiscarding(pack(t, files, texts))
	if err != nil || len(got) != 10_000 {
		t.Errorf("%d files: %v", len(got), err)
	}
}

// TestWhatABundleIsReadFromMayFail: then that is told, and not that the bundle is malformed.
func TestWhatABundleIsReadFromMayFail(t *testing.T) {
	t.Parallel()
	data := pack(t, map[string]said{"f/a.map": {SourceMap, "~/a.map", nil}}, map[string]string{"f/a.map": strings.Repeat("a", 5000)})
	for n := range 100 {
		r := &failing{bytes.NewReader(data), n}
		b, err := Open(r, int64(len(data)))
		if err == nil {
			err = b.Copy(io.Discard, b.Files[0])
		}
		if err == nil && n > 3 {
			return
		}
		if !errors.Is(err, errGone) || errors.Is(err, ErrMalformed) {
			t.Errorf("at read %d: %v", n+1, err)
		}
	}
	t.Error("it is never read")
}

var errGone = errors.New("gone")

// failing fails after so many reads.
type failing struct {
	io.ReaderAt
	left int
}

func (f *failing) ReadAt(p []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errGone
	}
	return f.ReaderAt.ReadAt(p, at)
}

// FuzzOpen: whatever bytes a bundle has, they are read within bounds or refused.
func FuzzOpen(f *testing.F) {
	f.Add(pack(f, map[string]said{"f/a.map": {SourceMap, "~/a.map", nil}}, map[string]string{"f/a.map": "{}"}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, _, err := readAllDiscarding(data)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("a fault of its own: %v", err)
		}
		check(t, files)
	})
}

// FuzzManifest: whatever a manifest says.
func FuzzManifest(f *testing.F) {
	f.Add(`{"files":{"f/a.map":{"type":"source_map","url":"~/a.map","headers":{"debug-id":"ebaeafda-88d6-5552-b79f-2e306f39c5b1"}}}}`)
	f.Add(`{"files":{"f/a.js":{"type":"minified_source","url":"~/a.js","headers":{"Sourcemap":"\ud800","DEBUG-ID":null}}}}`)
	f.Add(`{"files":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for name, content := range map[string]string{"manifest.json": text, "f/a.map": "{}", "f/a.js": "1"} {
			file, err := w.Create(name)
			if err == nil {
				_, err = file.Write([]byte(content))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files, _, err := readAllDiscarding(out.Bytes())
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("a fault of its own: %v", err)
		}
		check(t, files)
	})
}

// check holds what is read of a bundle against its bounds.
func check(t *testing.T, files []File) {
	t.Helper()
	for _, f := range files {
		if len(f.URL) > maxURL || len(f.SourceMap) > maxURL || strings.ContainsRune(f.URL, 0) || f.DebugID != debugID(f.DebugID) {
			t.Errorf("a file is %+v", f)
		}
	}
}
