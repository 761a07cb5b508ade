package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"manus/backup"
	"manus/internal/words"
)

// statusLine is a line on a terminal that is written over. Elsewhere there is none.
type statusLine struct {
	out    io.Writer
	opened bool // there is a line to be wiped
}

// set writes the line.
func (l *statusLine) set(text string) {
	if isTerminal(l.out) {
		l.opened = true
		fmt.Fprintf(l.out, "\r\x1b[K%s", text)
	}
}

// end wipes the line.
func (l *statusLine) end() {
	if l.opened {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
	l.opened = false
}

// progressLine shows progress: on a terminal in its status line, elsewhere a line when a
// stage begins.
type progressLine struct {
	mu    sync.Mutex
	line  statusLine
	stage backup.Stage
	began time.Time
	shown time.Time
}

const progressEvery = 100 * time.Millisecond

func (l *progressLine) show(p backup.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if p.Stage != l.stage {
		l.stage, l.began, l.shown = p.Stage, now, time.Time{}
		if !isTerminal(l.line.out) {
			fmt.Fprintf(l.line.out, "%s\n", p.Stage)
		}
	}
	if now.Sub(l.shown) >= progressEvery {
		l.shown = now
		l.line.set(progressText(p, now.Sub(l.began)))
	}
}

// progressText is one line, such as "dumping  41 %  205.0 MiB of 500.0 MiB  102.5 MiB/s".
func progressText(p backup.Progress, took time.Duration) string {
	text := fmt.Sprintf("%-9s", p.Stage)
	if p.Total > 0 {
		text += fmt.Sprintf("  %3d %%  %s of %s", min(100, p.Done*100/p.Total), words.Size(p.Done), words.Size(max(p.Done, p.Total)))
	} else {
		text += "  " + words.Size(p.Done)
	}
	if took > time.Second {
		text += fmt.Sprintf("  %s/s", words.Size(int64(float64(p.Done)/took.Seconds())))
	}
	return text
}

// end wipes the line.
func (l *progressLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.end()
	l.stage = ""
}
