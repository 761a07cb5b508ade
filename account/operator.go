package account

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// stepDownTime is how long stepping down may take. After that it counts as cut short.
const stepDownTime = time.Minute

func (u User) steppingDown(now time.Time) bool {
	return now.Sub(u.SteppingDown.Time).Abs() < stepDownTime
}

// stepDown is called before an account is demoted, disabled or erased. It returns
// ErrLastOperator when nobody would be left to run the installation. An operator is
// marked first, then the others are looked for that aren't: of two who step down at
// once each sees the other's mark. The change itself asks mayStepDown.
func (s *Service) stepDown(ctx context.Context, userID string) error {
	user, err := s.users.Update(ctx, userID, func(u *User) error {
		if !u.operates() {
			return docstore.ErrUnchanged
		}
		u.SteppingDown = docstore.At(s.c.Now())
		return nil
	})
	if err != nil || !user.operates() {
		return docstore.NotFoundAs(err, ErrUnknownUser)
	}
	for other, err := range s.users.All(ctx, docstore.Query{Index: "by_role", Equal: []any{string(identity.Operator)}}) {
		if err != nil {
			return err
		}
		if other.ID != userID && other.operates() && !other.steppingDown(s.c.Now()) {
			return nil
		}
	}
	_, err = s.users.Update(ctx, userID, func(u *User) error {
		u.SteppingDown = docstore.Time{}
		return nil
	})
	return errors.Join(ErrLastOperator, err)
}

// mayStepDown returns ErrLastOperator for an operator for whom stepDown hasn't been
// asked lately.
func (u User) mayStepDown(now time.Time) error {
	if u.operates() && !u.steppingDown(now) {
		return ErrLastOperator
	}
	return nil
}

// SetRole changes what the person may do on the installation. It returns
// ErrLastOperator for the last operator.
func (s *Service) SetRole(ctx context.Context, userID string, role identity.Role) error {
	if role != identity.User && role != identity.Operator {
		return fmt.Errorf("there is no such role; use %s or %s", identity.User, identity.Operator)
	}
	if role == identity.User {
		if err := s.stepDown(ctx, userID); err != nil {
			return err
		}
	}
	return s.updateNoting(ctx, userID, eventRoleChanged, func(u *User) error {
		if u.Role == role {
			return docstore.ErrUnchanged
		}
		err := u.mayStepDown(s.c.Now())
		u.Role, u.SteppingDown = role, docstore.Time{}
		return err
	})
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
	if err := s.stepDown(ctx, userID); err != nil {
		return err
	}
	return s.updateNoting(ctx, userID, eventDisabled, func(u *User) error {
		err := u.mayStepDown(s.c.Now())
		u.Disabled, u.SteppingDown = true, docstore.Time{}
		u.endLogins("")
		return err
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
