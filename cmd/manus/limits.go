package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"

	"manus/account"
	"manus/app"
	"manus/config"
	"manus/ratelimit"
)

// limitsCommand tells which limits there are, and works on the counts in Redis.
type limitsCommand struct {
	installation

	Match limitsMatch `cmd:"" help:"Tell which limits apply to a request."`
	Show  limitsShow  `cmd:"" help:"Tell where an address, a user, an account or a key stands."`
	Reset limitsReset `cmd:"" help:"Forget what an address, a user, an account or a key has used, on every copy."`
}

// on runs f on a subject, once its counts can be reached.
func (c *limitsCommand) on(p *process, text string, f func(limits *ratelimit.Service, subject string) error) error {
	return c.with(p, func(a *app.App) error {
		if err := a.ReachLimits(); err != nil {
			return err
		}
		subject, err := parseSubject(a.Limits, text)
		if err != nil {
			return err
		}
		return f(a.Limits, subject)
	})
}

// with joins the rooms of the installation, its store left alone, and runs f on them.
func (c *limitsCommand) with(p *process, f func(*app.App) error) error {
	settings, err := config.LoadSome(c.source(p), c.Data, "REDIS_URL")
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings, Unopened: true}, f)
}

type limitsMatch struct {
	Method string `arg:"" help:"The method, such as POST."`
	Path   string `arg:"" help:"The path, such as /api/v1/sessions."`
	Plan   string `help:"The plan of who asks." placeholder:"P"`
}

// Run tells which limits apply.
func (c limitsMatch) Run(p *process, parent *limitsCommand) error {
	return parent.with(p, func(a *app.App) error {
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		for _, rule := range a.Limits.Match(strings.ToUpper(c.Method), c.Path, c.Plan) {
			by := make([]string, len(rule.By))
			for i, subject := range rule.By {
				by[i] = string(subject)
			}
			fmt.Fprintf(table, "Rule\t%s\nLimit\t%s\nBy\t%s\n", cmp.Or(rule.Route, "default"), rule.Limit, strings.Join(by, ", "))
			if rule.Mode == ratelimit.Shadow {
				fmt.Fprintf(table, "Mode\tshadow: it refuses nothing\n")
			}
		}
		return table.Flush()
	})
}

type limitsShow struct {
	Subject string `arg:"" help:"An address, an e-mail address, a user's id, or key: and an API key's id."`
}

// Run tells where a subject stands.
func (c limitsShow) Run(p *process, parent *limitsCommand) error {
	return parent.on(p, c.Subject, func(limits *ratelimit.Service, subject string) error {
		found, err := limits.Show(p.ctx, subject)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "RULE\tLIMIT\tLEFT\tMORE IN")
		for _, standings := range found {
			for _, w := range standings.Windows {
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", standings.Rule, w.Window, w.Remaining, w.Reset.Round(1e9))
			}
		}
		return table.Flush()
	})
}

type limitsReset struct {
	Subject string `arg:"" help:"An address, an e-mail address, a user's id, or key: and an API key's id."`
}

// Run forgets what a subject has used.
func (c limitsReset) Run(p *process, parent *limitsCommand) error {
	return parent.on(p, c.Subject, func(limits *ratelimit.Service, subject string) error {
		if err := limits.Reset(p.ctx, subject); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.out, "%s: nothing is counted against it any more\n", c.Subject)
		return err
	})
}

// parseSubject is what a person writes as the limits know it.
func parseSubject(limits *ratelimit.Service, text string) (string, error) {
	if address, err := netip.ParseAddr(strings.TrimPrefix(text, "address:")); err == nil {
		return limits.AddressSubject(address), nil
	}
	kind, id, ok := strings.Cut(text, ":")
	switch {
	case (kind == "user" || kind == "key") && id != "":
		return text, nil
	case strings.Contains(text, "@"):
		return ratelimit.AccountSubject(account.EmailKey(strings.TrimPrefix(text, "account:"))), nil
	case len(text) == 36 && !ok:
		return "user:" + text, nil
	}
	return "", usageError{errors.New("name an address, an e-mail address, a user's id, or 'key:' and an API key's id")}
}
