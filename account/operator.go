package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"manus/docstore"
	"manus/identity"
)

// List returns accounts, oldest first, and the next page's cursor.
func (s *Service) List(ctx context.Context, limit int, cursor string) ([]User, string, error) {
	return s.users.Find(ctx, docstore.Query{Index: "by_created", Limit: limit, Cursor: cursor})
}

// Find returns the account with the e-mail address, or ErrUnknownUser. It is
// for operators: it tells whether an address is known.
func (s *Service) Find(ctx context.Context, email string) (User, error) {
	user, known, err := s.byEmail(ctx, email)
	if err == nil && !known {
		err = ErrUnknownUser
	}
	return user, err
}

// operates tells whether the account can run the installation.
func (u User) operates() bool { return u.Role == identity.Operator && !u.Disabled }

// stepDown runs a change by which an account is demoted, disabled or erased. The change
// asks mayStepDown with the mark that it gets. stepDown returns ErrLastOperator when nobody
// would be left to run the installation.
//
// An operator is marked before the others are looked at. Either another isn't marked: it
// sees this mark once it steps down itself. Or its mark is taken away, so that its change
// fails and it stays. So of those who step down at once one is left, whatever the clocks
// say, and the mark of one who was killed keeps nobody.
func (s *Service) stepDown(ctx context.Context, userID string, change func(mark string) error) error {
	for range maxSteps {
		mark := rand.Text()
		err := s.mark(ctx, userID, mark)
		if err == nil {
			err = change(mark)
		}
		if !errors.Is(err, errStays) {
			return err
		}
	}
	return ErrLastOperator
}

// maxSteps is how often stepping down is tried while others do so too.
const maxSteps = 10

// errStays is returned to an operator whose mark another has taken away.
var errStays = errors.New("another operator steps down")

// mark marks an operator, and makes sure that another one stays.
func (s *Service) mark(ctx context.Context, userID, mark string) error {
	user, err := s.users.Update(ctx, userID, func(u *User) error {
		if !u.operates() {
			return docstore.ErrUnchanged
		}
		u.SteppingDown = mark
		return nil
	})
	if err != nil || !user.operates() {
		return docstore.NotFoundAs(err, ErrUnknownUser)
	}
	for other, err := range s.users.All(ctx, docstore.Query{Index: "by_role", Equal: []any{string(identity.Operator)}}) {
		stays := err == nil && other.ID != userID && other.operates()
		if stays && other.SteppingDown != "" {
			stays, err = s.keepOperator(ctx, other.ID)
		}
		if stays || err != nil {
			return err
		}
	}
	_, err = s.keepOperator(ctx, userID)
	return errors.Join(ErrLastOperator, err)
}

// keepOperator takes an operator's mark away, and tells whether they are one still.
func (s *Service) keepOperator(ctx context.Context, userID string) (bool, error) {
	user, err := s.users.Update(ctx, userID, func(u *User) error {
		u.SteppingDown = ""
		return nil
	})
	return err == nil && user.operates(), docstore.NotFoundAs(err, nil)
}

// mayStepDown is asked by a change that stepDown runs. It returns errStays for an operator
// who hasn't that mark.
func (u *User) mayStepDown(mark string) error {
	if u.operates() && u.SteppingDown != mark {
		return errStays
	}
	u.SteppingDown = ""
	return nil
}

// SetRole changes what the person may do on the installation. It returns
// ErrLastOperator for the last operator.
func (s *Service) SetRole(ctx context.Context, userID string, role identity.Role) error {
	if role != identity.User && role != identity.Operator {
		return fmt.Errorf("there is no such role; use %s or %s", identity.User, identity.Operator)
	}
	set := func(mark string) error {
		return s.updateNoting(ctx, userID, eventRoleChanged, func(u *User) error {
			if u.Role == role {
				return docstore.ErrUnchanged
			}
			err := u.mayStepDown(mark)
			u.Role = role
			return err
		})
	}
	if role == identity.Operator {
		return set("")
	}
	return s.stepDown(ctx, userID, set)
}

// SetPassword sets a password without knowing the old one and ends every
// login. A temporary one holds for TemporaryLifetime. It is for operators.
func (s *Service) SetPassword(ctx context.Context, userID, password string, temporary bool) error {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return err
	}
	hash, err := s.newHash(ctx, user, password)
	if err != nil {
		return err
	}
	return s.updateNoting(ctx, userID, eventPasswordSet, func(u *User) error {
		u.setPassword(hash, "")
		if temporary {
			u.PasswordUntil = docstore.At(s.c.Now().Add(TemporaryLifetime))
		}
		return nil
	})
}

// SetDisabled keeps an account from being used, or lets it be used again.
// Disabling ends every login; it returns ErrLastOperator for the last operator.
func (s *Service) SetDisabled(ctx context.Context, userID string, disabled bool) error {
	if !disabled {
		return s.updateNoting(ctx, userID, eventEnabled, func(u *User) error {
			u.Disabled = false
			return nil
		})
	}
	return s.stepDown(ctx, userID, func(mark string) error {
		return s.updateNoting(ctx, userID, eventDisabled, func(u *User) error {
			err := u.mayStepDown(mark)
			u.Disabled = true
			u.endLogins("")
			return err
		})
	})
}

// ResetSecondFactor takes the authenticator app, the recovery codes and the
// passkeys from an account whose owner has lost them, and ends every login. It
// is for operators, who have made sure of who is asking.
func (s *Service) ResetSecondFactor(ctx context.Context, userID string) error {
	return s.updateNoting(ctx, userID, eventSecondFactorReset, func(u *User) error {
		u.dropTOTP()
		u.Passkeys, u.Recovery = nil, nil
		u.endLogins("")
		return nil
	})
}

// LogoutEverybody ends every login of every account, and says of how many. It is
// for operators.
func (s *Service) LogoutEverybody(ctx context.Context) (accounts int, err error) {
	for u, err := range s.users.All(ctx, docstore.Query{Index: "by_created"}) {
		if err == nil {
			err = s.LogoutAll(ctx, u.ID)
		}
		if err != nil && !errors.Is(err, ErrUnknownUser) {
			return accounts, err
		}
		accounts++
	}
	return accounts, nil
}
