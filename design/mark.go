package design

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
)

// The mark is an M on a rounded square of 32 units.
const (
	markSize  = 32.0
	markRound = 7.0
	markPen   = 3.2
	markSVG   = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0f6b5c"/><path d="M7 23V9l9 9 9-9v14" fill="none" stroke="#fff" stroke-width="3.2" stroke-linecap="round" stroke-linejoin="round"/></svg>`
)

var (
	markGround = Colour{0x0f, 0x6b, 0x5c}
	markStroke = [][2]float64{{7, 23}, {7, 9}, {16, 18}, {25, 9}, {25, 23}}
)

// Mark is Manus's picture, where a product has none of its own.
func Mark() Picture { return Picture{Type: "image/svg+xml", Body: []byte(markSVG)} }

// MarkIcon is the same for what doesn't draw SVG, in the sizes that browsers and desktops
// want, as a file of the kind favicon.ico.
func MarkIcon() Picture {
	sizes := []int{16, 32, 48}
	head, body := binary.LittleEndian.AppendUint16([]byte{0, 0, 1, 0}, uint16(len(sizes))), []byte(nil) //nolint:gosec // three
	for _, size := range sizes {
		drawn := drawMark(size)
		head = append(head, byte(size), byte(size), 0, 0, 1, 0, 32, 0)                   //nolint:gosec // they are small
		head = binary.LittleEndian.AppendUint32(head, uint32(len(drawn)))                //nolint:gosec // they are small
		head = binary.LittleEndian.AppendUint32(head, uint32(6+16*len(sizes)+len(body))) //nolint:gosec // they are small
		body = append(body, drawn...)
	}
	return Picture{Type: "image/x-icon", Body: append(head, body...)}
}

// drawMark is the mark as a PNG of size pixels. Each pixel is covered as much as its middle
// is within a shape.
func drawMark(size int) []byte {
	drawn := image.NewNRGBA(image.Rect(0, 0, size, size))
	unit := markSize / float64(size)
	covered := func(outside float64) float64 { return min(1, max(0, .5-outside/unit)) }
	for i := range size * size {
		x, y := (float64(i%size)+.5)*unit, (float64(i/size)+.5)*unit
		pen := math.Inf(1)
		for at := range len(markStroke) - 1 {
			pen = min(pen, distance(x, y, markStroke[at], markStroke[at+1])-markPen/2)
		}
		ground, ink := covered(outsideSquare(x, y)), covered(pen)
		mixed := func(part int) uint8 { return uint8(math.Round(float64(markGround[part])*(1-ink) + 255*ink)) }
		drawn.SetNRGBA(i%size, i/size, color.NRGBA{mixed(0), mixed(1), mixed(2), uint8(math.Round(255 * ground))})
	}
	var out bytes.Buffer
	_ = png.Encode(&out, drawn) // into memory, of a size that it takes
	return out.Bytes()
}

// distance is how far a point is from a line between two others.
func distance(x, y float64, from, to [2]float64) float64 {
	dx, dy := to[0]-from[0], to[1]-from[1]
	along := min(1, max(0, ((x-from[0])*dx+(y-from[1])*dy)/(dx*dx+dy*dy)))
	return math.Hypot(x-from[0]-along*dx, y-from[1]-along*dy)
}

// outsideSquare is how far a point is outside of the rounded square; less than 0 inside.
func outsideSquare(x, y float64) float64 {
	const half = markSize / 2
	dx, dy := math.Abs(x-half)-half+markRound, math.Abs(y-half)-half+markRound
	return math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - markRound
}
