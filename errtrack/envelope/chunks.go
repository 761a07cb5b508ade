package envelope

import "sync"

// chunks hold a payload while it isn't known how long it is, or whether it is kept: nothing
// is copied to make room, so that what turns out to be too large leaves no garbage.
type chunks struct {
	pool *sync.Pool // of *[chunkSize]byte
	full []*[chunkSize]byte
	size int
}

const chunkSize = 32 << 10

func (c *chunks) add(part []byte) {
	for len(part) > 0 {
		at := c.size % chunkSize
		if at == 0 {
			c.full = append(c.full, c.pool.Get().(*[chunkSize]byte))
		}
		n := copy(c.full[len(c.full)-1][at:], part)
		c.size += n
		part = part[n:]
	}
}

// joined is a copy of all that was added.
func (c *chunks) joined() []byte {
	text := make([]byte, 0, c.size)
	for _, chunk := range c.full {
		text = append(text, chunk[:min(chunkSize, c.size-len(text))]...)
	}
	return text
}

func (c *chunks) free() {
	for _, chunk := range c.full {
		c.pool.Put(chunk)
	}
	c.full, c.size = nil, 0
}
