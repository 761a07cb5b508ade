package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"manus/account"
	"manus/app"
	"manus/billing"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// userCommand works on the store directly, beside a running server or without.
// A server sees the changes within a second.
type userCommand struct {
	installation

	Create            userCreate            `cmd:"" help:"Make an account."`
	Invite            userInvite            `cmd:"" help:"Mail somebody a link by which they make an account."`
	List              userList              `cmd:"" help:"List accounts."`
	SetRole           userSetRole           `cmd:"" help:"Make somebody an operator, or a user again."`
	SetPlan           userSetPlan           `cmd:"" help:"Put an account on a plan."`
	SetPassword       userSetPassword       `cmd:"" help:"Set a password and end every login of the account."`
	Disable           userDisable           `cmd:"" help:"Keep an account from being used, and end its logins."`
	Enable            userEnable            `cmd:"" help:"Let a disabled account be used again."`
	SignOut           userSignOut           `cmd:"" help:"End every login of an account."`
	ResetSecondFactor userResetSecondFactor `cmd:"" help:"Take the second factor and the passkeys from an account whose owner has lost them, and end its logins."`
	Erase             userErase             `cmd:"" help:"Erase an account and everything kept of its owner, for good."`
}

// oneAccount is a command's account.
type oneAccount struct {
	Email string `arg:"" help:"The account's e-mail address."`
}

// on finds the account and runs f on it, then prints done.
func (c oneAccount) on(p *process, parent *userCommand, f func(a *app.App, id string) error, done string) error {
	return parent.with(p, func(a *app.App) error {
		user, err := a.Accounts.Find(p.ctx, c.Email)
		if errors.Is(err, account.ErrUnknownUser) {
			return fmt.Errorf("there is no account with this e-mail address; 'manus user list' shows all")
		}
		if err == nil {
			err = f(a, user.ID)
		}
		if err == nil {
			_, err = fmt.Fprintf(p.out, "%s: %s\n", user.Email, done)
		}
		return err
	})
}

// coloured tells whether what is written there may have colours: a person reads it who hasn't
// set NO_COLOR.
func (p *process) coloured(out any) bool {
	return isTerminal(out) && !slices.ContainsFunc(p.environ, func(v string) bool { return strings.HasPrefix(v, "NO_COLOR=") && v != "NO_COLOR=" })
}

// isTerminal tells whether a person is at the other end.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// passwordFlag is where a command takes a password from. It is never an
// argument: other users of the machine see those.
type passwordFlag struct {
	PasswordStdin bool `help:"Read the password from the standard input. Otherwise it is asked for on a terminal, and made up elsewhere."`
}

// read returns the password, and whether it was made up and has to be shown.
func (f passwordFlag) read(p *process) (password string, madeUp bool, err error) {
	if f.PasswordStdin {
		line, err := bufio.NewReader(io.LimitReader(p.in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", false, err
		}
		return strings.TrimRight(line, "\r\n"), false, nil
	}
	if terminal, ok := p.in.(*os.File); ok && isTerminal(terminal) {
		fmt.Fprint(p.err, "New password: ")
		text, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(p.err)
		return string(text), false, err
	}
	return rand.Text(), true, nil
}

// give reads the password, has set take it, and shows one that was made up.
func (f passwordFlag) give(p *process, set func(password string, madeUp bool) error) error {
	password, madeUp, err := f.read(p)
	if err == nil {
		err = set(password, madeUp)
	}
	switch {
	case errors.Is(err, account.ErrCommonPassword):
		return errors.New("the password is among the first that are guessed; use another one")
	case errors.Is(err, account.ErrWeakPassword):
		return fmt.Errorf("the password has to have %d to %s", account.MinPassword, words.Count(account.MaxPassword, "character"))
	case err == nil && madeUp:
		_, err = fmt.Fprintf(p.out, "Password (shown only now, to be changed within three days): %s\n", password)
	}
	return err
}

type userCreate struct {
	passwordFlag
	Email string        `arg:"" help:"The e-mail address."`
	Name  string        `help:"The person's full name."`
	Role  identity.Role `help:"user or operator." default:"user" enum:"user,operator"`
}

// Run makes an account.
func (c userCreate) Run(p *process, parent *userCommand) error {
	return parent.with(p, func(a *app.App) error {
		var user account.User
		err := c.give(p, func(password string, madeUp bool) (err error) {
			user, err = a.Accounts.Create(p.ctx, account.NewUser{Email: c.Email, Password: password, FullName: c.Name, Role: c.Role, Temporary: madeUp})
			return err
		})
		if errors.Is(err, account.ErrInvalidEmail) {
			return errNoAddress
		}
		if err == nil {
			_, err = fmt.Fprintf(p.out, "%s: made, with the role %s\n", user.Email, user.Role)
		}
		return err
	})
}

var errNoAddress = usageError{errors.New("<email> is no e-mail address; use the form name@example.com")}

type userInvite struct {
	Email    string `arg:"" help:"The e-mail address."`
	Language string `help:"The language of the mail: en or ar." default:"en" enum:"en,ar"`
}

// Run invites somebody. A server that runs, or the next one, sends the mail.
func (c userInvite) Run(p *process, parent *userCommand) error {
	return parent.with(p, func(a *app.App) error {
		err := a.Accounts.Invite(p.ctx, c.Email, language.Tag(c.Language))
		switch {
		case errors.Is(err, account.ErrTaken):
			return errors.New("this address has an account already")
		case errors.Is(err, account.ErrInvalidEmail):
			return errNoAddress
		case err != nil:
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s: the server mails an invitation, which holds for a week\n", c.Email)
		return err
	})
}

type userList struct {
	JSON bool `help:"One JSON object a line."`
}

// Run lists accounts.
func (c userList) Run(p *process, parent *userCommand) error {
	return parent.with(p, func(a *app.App) error {
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		if !c.JSON {
			fmt.Fprintln(table, "E-MAIL\tROLE\tPLAN\tSTATE\tSINCE\tID")
		}
		cursor := ""
		for {
			users, next, err := a.Accounts.List(p.ctx, 100, cursor)
			if err != nil {
				return err
			}
			for _, user := range users {
				if err := c.print(p, a, table, user); err != nil {
					return err
				}
			}
			if cursor = next; cursor == "" {
				return table.Flush()
			}
		}
	})
}

func (c userList) print(p *process, a *app.App, table io.Writer, user account.User) error {
	subscription, err := a.Plans.Get(p.ctx, user.ID)
	if err != nil {
		return err
	}
	state := "active"
	if user.Disabled {
		state = "disabled"
	}
	if c.JSON {
		return json.NewEncoder(p.out).Encode(map[string]any{
			"id": user.ID, "email": user.Email, "full_name": user.FullName, "role": user.Role,
			"plan": subscription.Plan.ID, "state": state, "created_at": user.CreatedAt,
		})
	}
	_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", user.Email, user.Role, subscription.Plan.ID, state, user.CreatedAt.Format("2006-01-02"), user.ID)
	return err
}

type userSetRole struct {
	oneAccount
	Role identity.Role `arg:"" help:"user or operator." enum:"user,operator"`
}

// Run sets a role.
func (c userSetRole) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error { return a.Accounts.SetRole(p.ctx, id, c.Role) },
		"has the role "+string(c.Role)+" now")
}

type userSetPlan struct {
	oneAccount
	Plan string `arg:"" help:"The plan's id, such as free or pro."`
}

// Run sets a plan.
func (c userSetPlan) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error {
		err := a.Plans.SetPlan(p.ctx, id, c.Plan)
		if errors.Is(err, billing.ErrUnknownPlan) {
			return noPlan("<plan>", a.Plans.Plans())
		}
		return err
	}, "is on the plan "+c.Plan+" now")
}

// noPlan is the error of a flag or an argument that names none of the plans.
func noPlan(flag string, plans []billing.Plan) error {
	ids := make([]string, len(plans))
	for i, plan := range plans {
		ids[i] = plan.ID
	}
	return usageError{fmt.Errorf("%s: use %s; the server's own plans are in its manus.yaml: name that with --config", flag, words.Or(ids))}
}

type userSetPassword struct {
	passwordFlag
	oneAccount
}

// Run sets a password.
func (c userSetPassword) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error {
		return c.give(p, func(password string, madeUp bool) error { return a.Accounts.SetPassword(p.ctx, id, password, madeUp) })
	}, "has a new password; every login of it was ended")
}

type userDisable struct{ oneAccount }

// Run disables an account.
func (c userDisable) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error { return a.Accounts.SetDisabled(p.ctx, id, true) },
		"is disabled; every login of it was ended")
}

type userEnable struct{ oneAccount }

// Run enables an account.
func (c userEnable) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error { return a.Accounts.SetDisabled(p.ctx, id, false) },
		"may be used again")
}

type userSignOut struct {
	Email     string `arg:"" optional:"" help:"The account's e-mail address."`
	Everybody bool   `help:"End every login of every account."`
}

// Run ends every login of an account, or of all.
func (c userSignOut) Run(p *process, parent *userCommand) error {
	if (c.Email == "") != c.Everybody {
		return usageError{errors.New("name one account, or use --everybody")}
	}
	if c.Everybody {
		return parent.with(p, func(a *app.App) error {
			n, err := a.Accounts.LogoutEverybody(p.ctx)
			if err == nil {
				_, err = fmt.Fprintf(p.out, "Signed out everywhere: %s.\n", words.Count(n, "account"))
			}
			return err
		})
	}
	return oneAccount{c.Email}.on(p, parent, func(a *app.App, id string) error { return a.Accounts.LogoutAll(p.ctx, id) },
		"is signed out everywhere")
}

type userResetSecondFactor struct{ oneAccount }

// Run takes an account's second factor away.
func (c userResetSecondFactor) Run(p *process, parent *userCommand) error {
	return c.on(p, parent, func(a *app.App, id string) error { return a.Accounts.ResetSecondFactor(p.ctx, id) },
		"has no second factor and no passkeys any more; every login of it was ended")
}

type userErase struct {
	oneAccount
	Yes bool `help:"Really erase it."`
}

// Run erases an account.
func (c userErase) Run(p *process, parent *userCommand) error {
	if !c.Yes {
		return usageError{errors.New("erasing can't be undone; add --yes to do it")}
	}
	return c.on(p, parent, func(a *app.App, id string) error { return a.Accounts.Erase(p.ctx, id) },
		"can't be used any more; the server erases the rest within moments, or when it is next started")
}
