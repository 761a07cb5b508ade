package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"manus/account"
	"manus/app"
	"manus/billing"
	"manus/config"
	"manus/ratelimit"
)

// limitsCommand tells which limits there are, and works on the counts in Redis.
type limitsCommand struct {
	installation

	Match limitsMatch `cmd:"" help:"Tell which limits apply to a request."`
	Show  limitsShow  `cmd:"" help:"Tell where an address, a user, an account, a login or a key stands."`
	Reset limitsReset `cmd:"" help:"Forget what an address, a user, an account, a login or a key has used, on every copy."`
}

// Help says what the commands can't reach.
func (limitsCommand) Help() string {
	return `'show' and 'reset' work on the counts in Redis: give REDIS_URL as for the server. A server without Redis counts in its own memory, which no command reaches and which ends with it; two such servers count separately, also on one data folder.`
}

// on runs f on a subject, once its counts can be reached. The store is opened for a
// user, whose limits are those of their plan.
func (c *limitsCommand) on(p *process, text string, f func(limits *ratelimit.Service, subject string) error) error {
	settings, err := config.LoadSome(c.source(p), c.Data, "REDIS_URL")
	if err != nil {
		return err
	}
	subject, err := parseSubject(settings.Limits, text)
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings, Unopened: !strings.HasPrefix(subject, "user:") || settings.Redis.Empty()}, func(a *app.App) error {
		if err := a.ReachLimits(); err != nil {
			return err
		}
		return f(a.Limits, subject)
	})
}

type limitsMatch struct {
	Method string `arg:"" help:"The method, such as POST."`
	Path   string `arg:"" help:"The path, such as /api/v1/sessions; as in a request, encoded and with a query if there is one."`
	Plan   string `help:"The plan of who asks." placeholder:"P"`
}

// Run tells which limits apply. It needs nothing but manus.yaml.
func (c limitsMatch) Run(p *process, parent *limitsCommand) error {
	source := parent.source(p)
	file, err := config.LoadFile(source.ConfigFile, source.Routes)
	if err != nil {
		return err
	}
	if c.Plan != "" && !slices.ContainsFunc(file.Billing.Plans, func(plan billing.Plan) bool { return plan.ID == c.Plan }) {
		return noPlan("--plan", file.Billing.Plans)
	}
	rules := ratelimit.New(ratelimit.ServiceConfig{Config: file.Limits, Routes: source.Routes}).Match(strings.ToUpper(c.Method), c.Path, c.Plan)
	if len(rules) == 0 {
		return usageError{errors.New("name a method and a path, like 'POST /api/v1/sessions'")}
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, rule := range rules {
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
}

type limitsShow struct {
	Subject string `arg:"" help:"An address, an e-mail address, a user's id, or login: or key: and its id."`
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
	Subject string `arg:"" help:"An address, an e-mail address, a user's id, or login: or key: and its id."`
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
func parseSubject(limits ratelimit.Config, text string) (string, error) {
	if address, err := netip.ParseAddr(strings.TrimPrefix(text, "address:")); err == nil {
		return limits.AddressSubject(address), nil
	}
	kind, id, ok := strings.Cut(text, ":")
	if !ok && subjectID.MatchString(text) {
		kind, id = "user", text
	}
	switch {
	case slices.Contains([]string{"user", "login", "key"}, kind) && subjectID.MatchString(id):
		return kind + ":" + id, nil
	case mailAddress.MatchString(strings.TrimPrefix(text, "account:")):
		return ratelimit.AccountSubject(account.EmailKey(strings.TrimPrefix(text, "account:"))), nil
	}
	return "", usageError{errors.New("name an address, an e-mail address, a user's id, or 'login:' or 'key:' and its id")}
}

// What ids and e-mail addresses look like.
var (
	subjectID   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	mailAddress = regexp.MustCompile(`^[^@\s]+@[^@\s:]+$`)
)
