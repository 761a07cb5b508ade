// Package imported reads what other programs watch (Uptime Kuma, Gatus, UptimeRobot) and
// makes monitors of manus.yaml of it. What can't be taken over is said of each monitor, with
// what to do; secrets are not in what it prints. It asks nobody: what it says of an address is
// what stands in the file.
package imported

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"manus/internal/words"
	"manus/uptime"
)

// maxFile is how large a file may be, in bytes.
const maxFile = 8 << 20

// Import is what a file has.
type Import struct {
	// From is the program whose file it is.
	From string
	// Monitors are in the order of the file, and then those that were made beside them.
	Monitors []Monitor
}

// Monitor is one that the file has, or that was made beside it.
type Monitor struct {
	// Name is as the file has it, in one line.
	Name string
	// Monitor is what is to be watched; without an ID where it is left out.
	Monitor uptime.Monitor
	// LeftOut is why nothing is watched.
	LeftOut string
	// Look is what somebody has to look at, or do, in a sentence each.
	Look []string
	// Notes are what is different here.
	Notes []string
	// Beside says that the file has it as part of another one: when a certificate or a domain
	// expires.
	Beside bool
}

// Errors are for people, and say what to do.
var (
	errEmpty   = errors.New("the file is empty: export the monitors once more")
	errTooLong = fmt.Errorf("the file is larger than %d MiB: export the monitors alone, without what became of them", maxFile>>20)
	errTooMany = fmt.Errorf("the file has more than %s: split it", words.Count(uptime.MaxMonitors, "monitor"))
	errForeign = errors.New("this is neither a backup of Uptime Kuma (JSON), nor a configuration of Gatus (YAML), nor an export of UptimeRobot (CSV, or JSON of its API)")
	errKumaDB  = errors.New("this is a database, as Uptime Kuma's kuma.db: print its monitors as JSON, and import that:\n    sqlite3 -json kuma.db 'SELECT * FROM monitor' > monitors.json")
	errPacked  = errors.New("the file is packed: unpack it first")
)

// Read reads a file. Which program it is of is seen by what is in it.
func Read(r io.Reader) (Import, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return Import{}, err
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	begins := bytes.TrimSpace(file)
	var from string
	var drafts []*draft
	switch {
	case len(file) > maxFile:
		return Import{}, errTooLong
	case len(begins) == 0:
		return Import{}, errEmpty
	case bytes.HasPrefix(file, []byte("SQLite format 3\x00")):
		return Import{}, errKumaDB
	case bytes.HasPrefix(file, []byte("PK\x03\x04")), bytes.HasPrefix(file, []byte{0x1f, 0x8b}):
		return Import{}, errPacked
	case bytes.IndexByte(file, 0) >= 0:
		return Import{}, errForeign
	case begins[0] == '{', begins[0] == '[':
		from, drafts, err = readJSON(begins)
	case isCSV(begins):
		from = "UptimeRobot"
		drafts, err = readCSV(begins)
	default:
		from = "Gatus"
		drafts, err = readGatus(file)
	}
	if err != nil {
		return Import{}, err
	}
	return finish(from, drafts), nil
}

// readJSON reads a file of whichever program writes JSON.
func readJSON(file []byte) (from string, drafts []*draft, err error) {
	var whole struct {
		MonitorList  json.RawMessage `json:"monitorList"` // of Uptime Kuma
		Monitors     json.RawMessage `json:"monitors"`    // of UptimeRobot's API v2
		Data         json.RawMessage `json:"data"`        // of its v3
		Endpoints    json.RawMessage `json:"endpoints"`   // of Gatus, whose YAML may be JSON
		Externals    json.RawMessage `json:"external-endpoints"`
		Stat         string          `json:"stat"`
		ErrorMessage any             `json:"error"`
	}
	list := json.RawMessage(file)
	if file[0] == '{' {
		if err := json.Unmarshal(file, &whole); err != nil {
			return "", nil, unreadable("JSON", err)
		}
		switch {
		case whole.Endpoints != nil || whole.Externals != nil:
			drafts, err := readGatus(file)
			return "Gatus", drafts, err
		case whole.Stat == "fail":
			return "", nil, errors.New("this is an error of UptimeRobot's API, and no monitors: ask it once more, with a key that may read them")
		case whole.MonitorList != nil:
			list = whole.MonitorList
		case whole.Monitors != nil:
			list = whole.Monitors
		case whole.Data != nil:
			list = whole.Data
		default:
			return "", nil, errForeign
		}
	}
	records, err := readRecords(list)
	switch {
	case err != nil:
		return "", nil, err
	case len(records) > uptime.MaxMonitors:
		return "", nil, errTooMany
	case whole.MonitorList != nil || isKuma(records):
		return "Uptime Kuma", readKuma(records), nil
	case isUptimeRobot(records):
		return "UptimeRobot", readUptimeRobot(records), nil
	}
	return "", nil, errForeign
}

// unreadable is the error of a file that isn't what it looks like. The place is the parser's;
// what it found there may be a secret.
func unreadable(format string, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the file isn't valid %s: it is wrong at byte %d; export it once more", format, syntax.Offset)
	}
	if at := strings.TrimPrefix(err.Error(), "yaml: "); at != err.Error() && strings.HasPrefix(at, "line ") {
		line, _, _ := strings.Cut(at, ":")
		return fmt.Errorf("the file isn't valid %s: look at %s", format, line)
	}
	return fmt.Errorf("the file isn't valid %s, or isn't complete", format)
}

// Summary says in lines what was taken over, and what has to be looked at.
func (i Import) Summary() string {
	var text strings.Builder
	taken, all, beside, look := 0, 0, 0, 0
	for _, m := range i.Monitors {
		if m.Beside {
			beside++
			continue
		}
		all++
		if m.LeftOut == "" {
			taken++
		}
		if len(m.Look) > 0 || m.LeftOut != "" {
			look++
		}
	}
	fmt.Fprintf(&text, "%d of %s of %s", taken, words.Count(all, "monitor"), i.From)
	if beside > 0 {
		fmt.Fprintf(&text, ", and %d for certificates and domains", beside)
	}
	if look > 0 {
		fmt.Fprintf(&text, "; %d to look at", look)
	}
	fmt.Fprintln(&text)
	for _, m := range i.Monitors {
		if m.LeftOut != "" {
			fmt.Fprintf(&text, "  %s was left out: %s\n", quoted(m.Name), m.LeftOut)
		}
		for _, why := range m.Look {
			fmt.Fprintf(&text, "  %s: %s\n", m.Monitor.ID, why)
		}
	}
	return text.String()
}
