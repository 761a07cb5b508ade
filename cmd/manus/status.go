package main

import (
	"fmt"
	"net/url"

	"manus/app"
	"manus/config"
	"manus/internal/words"
)

// statusCommand works on the status page, beside a running server or without.
type statusCommand struct {
	installation

	Render statusRender `cmd:"" help:"Write the status page as static files, for another host."`
}

type statusRender struct {
	Out string `help:"The folder to write into; it is made if it doesn't exist." required:"" placeholder:"DIR" type:"path"`
	URL string `help:"Where the folder will be, such as https://status.example.com, for the feed and the JSON. Without it: STATUS_URL or PUBLIC_URL." placeholder:"URL" name:"url"`
}

// Run writes the page.
func (c statusRender) Run(p *process, parent *statusCommand) error {
	if err := checkPageURL("--url", c.URL); err != nil {
		return err
	}
	settings, err := config.LoadMonitors(parent.source(p), parent.Data)
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings}, func(a *app.App) error {
		n, err := a.RenderStatus(p.ctx, c.Out, c.URL)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s in %s; the page is index.html\n", words.Count(int64(n), "file"), c.Out)
		return err
	})
}

// checkPageURL returns a usage error for what isn't where a page can be; it may be empty.
func checkPageURL(flag, text string) error {
	if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		return usageError{fmt.Errorf("%s: use the form https://status.example.com", flag)}
	}
	return nil
}
