package design

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image/png"
	"strings"
	"testing"
)

// The two pictures of the mark are of one geometry, and programs find theirs in the file.
func TestTheMarkIsDrawnInEverySize(t *testing.T) {
	t.Parallel()
	if fmt.Sprint(markStroke) != "[[7 23] [7 9] [16 18] [25 9] [25 23]]" || !strings.Contains(markSVG, "M7 23V9l9 9 9-9v14") {
		t.Errorf("%v is another line than that of %s", markStroke, markSVG)
	}
	icon := MarkIcon().Body
	for i, size := range []int{16, 32, 48} {
		entry := icon[6+16*i:]
		from := binary.LittleEndian.Uint32(entry[12:])
		drawn, err := png.Decode(bytes.NewReader(icon[from : from+binary.LittleEndian.Uint32(entry[8:])]))
		if err != nil || drawn.Bounds().Dx() != size || int(entry[0]) != size || int(entry[1]) != size {
			t.Fatalf("%d: %v, %v", size, err, entry[:16])
		}
		for _, c := range []struct {
			x, y int // of 32
			want string
		}{{0, 0, "0 0 0 0"}, {16, 4, "3855 27499 23644 65535"}, {7, 16, "65535 65535 65535 65535"}, {25, 16, "65535 65535 65535 65535"}} {
			r, g, b, a := drawn.At(c.x*size/32, c.y*size/32).RGBA()
			if got := fmt.Sprint(r, g, b, a); got != c.want {
				t.Errorf("%d: at %d, %d is %s", size, c.x, c.y, got)
			}
		}
	}
}
