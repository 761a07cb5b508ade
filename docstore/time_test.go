package docstore

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func instants() []time.Time {
	return []time.Time{ // in order
		{},
		time.Date(1899, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.UnixMilli(0),
		time.UnixMilli(1),
		time.Date(2024, 2, 29, 12, 0, 0, 0, time.FixedZone("", 3600)),
		time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	}
}

func TestTimesSortAsTheirText(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, instant := range instants() {
		texts = append(texts, At(instant).String())
	}
	if !slices.IsSorted(texts) {
		t.Errorf("out of order: %q", texts)
	}
	if want := "2024-02-29T11:00:00.000Z"; texts[5] != want {
		t.Errorf("got %s, want %s", texts[5], want)
	}
}

func TestTimesComeBackFromJSONTextAndBSON(t *testing.T) {
	t.Parallel()
	for _, instant := range instants() {
		at := At(instant.Add(123 * time.Microsecond))
		if !at.Equal(instant) || at.Location() != time.UTC {
			t.Errorf("%v became %v", instant, at.Time)
		}
		var fromJSON, fromText, fromBSON Time
		data, err := json.Marshal(at)
		if err == nil {
			err = json.Unmarshal(data, &fromJSON)
		}
		if err != nil || fromJSON != at || string(data) != `"`+at.String()+`"` {
			t.Errorf("%v became %s and %v: %v", at, data, fromJSON, err)
		}
		data, err = at.MarshalText()
		if err == nil {
			err = fromText.UnmarshalText(data)
		}
		if err != nil || fromText != at {
			t.Errorf("%v became %s and %v: %v", at, data, fromText, err)
		}
		kind, data, err := at.MarshalBSONValue()
		if err == nil {
			err = fromBSON.UnmarshalBSONValue(kind, data)
		}
		if err != nil || fromBSON != at {
			t.Errorf("%v became %x and %v: %v", at, data, fromBSON, err)
		}
	}
}

func TestTimesAreReadInAnyZoneAndPrecision(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"2024-02-29T12:00:00Z"`:                "2024-02-29T12:00:00.000Z",
		`"2024-02-29T12:00:00.123456789+01:00"`: "2024-02-29T11:00:00.123Z",
		`"2024-02-29T12:00:00.5-05:30"`:         "2024-02-29T17:30:00.500Z",
	} {
		var at Time
		if err := json.Unmarshal([]byte(text), &at); err != nil || at.String() != want {
			t.Errorf("%s became %s, %v; want %s", text, at, err, want)
		}
	}
	at := At(time.UnixMilli(1))
	if err := json.Unmarshal([]byte("null"), &at); err != nil || at.UnixMilli() != 1 {
		t.Errorf("null made it %v, %v", at, err)
	}
}

func TestWhatIsNoTimeIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`""`, `"noon"`, `1`, `{}`, `"2024-02-30T12:00:00Z"`, `"2024-02-29"`, `"9999-12-31T23:59:59-01:00"`, `"0000-01-01T00:00:00+01:00"`} {
		var at Time
		if err := json.Unmarshal([]byte(text), &at); err == nil || !at.IsZero() {
			t.Errorf("%s became %v, %v", text, at, err)
		}
	}
	var at Time
	for kind, data := range map[byte][]byte{0x12: make([]byte, 8), bsonDate: make([]byte, 7), 0x02: nil} {
		if err := at.UnmarshalBSONValue(kind, data); err == nil {
			t.Errorf("the BSON type %#x with %d bytes is no date", kind, len(data))
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, text := range []string{"2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123456789+01:00", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z", "x", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var at, again Time
		if at.UnmarshalText([]byte(text)) != nil {
			return
		}
		if len(at.String()) != len(timeLayout) {
			t.Errorf("%q became %s", text, at)
		}
		if err := again.UnmarshalText([]byte(at.String())); err != nil || again != at {
			t.Errorf("%s became %v, %v", at, again, err)
		}
	})
}
