package probe

import (
	"sync"

	"manus/uptime/condition"
)

// compiled are conditions by their texts: most targets have the same few, and share them.
type compiled struct {
	mu  sync.Mutex
	all map[string]*condition.Condition
}

// maxCompiled bounds them: those of lists that aren't in force any more would stay.
const maxCompiled = 1000

// compile is [condition.Compile], once for each text.
func (c *compiled) compile(text string) (*condition.Condition, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.all[text]; known != nil {
		return known, nil
	}
	made, err := condition.Compile(text)
	if err != nil {
		return nil, err
	}
	if c.all == nil || len(c.all) >= maxCompiled {
		c.all = map[string]*condition.Condition{}
	}
	c.all[text] = made
	return made, nil
}
