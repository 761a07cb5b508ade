package account

import (
	"context"
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

// SetRole changes what the person may do on the installation.
func (s *Service) SetRole(ctx context.Context, userID string, role identity.Role) error {
	if role != identity.User && role != identity.Operator {
		return fmt.Errorf("there is no such role; use %s or %s", identity.User, identity.Operator)
	}
	return s.updateNoting(ctx, userID, eventRoleChanged, func(u *User) error {
		if u.Role == role {
			return docstore.ErrUnchanged
		}
		u.Role = role
		return nil
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
// Disabling ends every login.
func (s *Service) SetDisabled(ctx context.Context, userID string, disabled bool) error {
	kind := eventEnabled
	if disabled {
		kind = eventDisabled
	}
	return s.updateNoting(ctx, userID, kind, func(u *User) error {
		u.Disabled = disabled
		if disabled {
			u.endLogins("")
		}
		return nil
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
