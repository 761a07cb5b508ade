package account

import (
	"context"
	"errors"
	"slices"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

// externalIdentity is an account at a provider: issuer and subject, never the
// address, say who somebody is.
type externalIdentity struct {
	ID        string        `json:"_id"` // see identityID
	UserID    string        `json:"user_id"`
	Provider  string        `json:"provider"`
	Issuer    string        `json:"issuer"`
	Subject   string        `json:"subject"`
	CreatedAt docstore.Time `json:"created_at"`
	Slot      int           `json:"slot,omitempty"`
}

// maxIdentities bounds the provider accounts that are linked to one account.
const maxIdentities = 20

// DocumentID is the identity's id.
func (i externalIdentity) DocumentID() string { return i.ID }

var identitySpec = docstore.Spec{Collection: "identities", Of: externalIdentity{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "created_at"}},
	slotIndex,
}}

func identityID(issuer, subject string) string { return hexHash([]byte(issuer + "\x00" + subject)) }

// signsInTo is the account that an identity signs in to, or docstore.ErrNotFound.
func (s *Service) signsInTo(ctx context.Context, identityID string) (User, error) {
	i, err := s.identities.Get(ctx, identityID)
	if err != nil {
		return User{}, err
	}
	return s.ownerOf(ctx, i)
}

// ownerOf is the account of an identity, or docstore.ErrNotFound: one whose account was
// never made, or has begun to unlink it, counts for nothing.
func (s *Service) ownerOf(ctx context.Context, i externalIdentity) (User, error) {
	user, err := s.users.Get(ctx, i.UserID)
	if err == nil && slices.Contains(user.Unlinked, i.ID) {
		err = docstore.ErrNotFound
	}
	return user, err
}

// maxName is how many characters of a provider's name for somebody are kept: as many as
// people may give themselves.
const maxName = 200

// newcomer makes the account of a person who signs in with a provider for the first
// time, and the identity after it: killed in between, or come several times at once, the
// person gets the account that says that it began with this identity. So there is never
// anything to undo.
func (s *Service) newcomer(ctx context.Context, i externalIdentity, claims providerClaims) (User, error) {
	key, err := newEmailKey(claims.Email)
	if err != nil || claims.EmailVerified != saidTrue {
		return User{}, errUnverifiedEmail
	}
	if err := s.c.Registration.admit(claims.Email); err != nil {
		if user, known := s.beganWith(ctx, i.ID); known == nil { // made before, and cut short
			i.UserID = user.ID
			return s.claim(ctx, i)
		}
		if _, known, findErr := s.byEmail(ctx, claims.Email); findErr == nil && known {
			return User{}, errLinkFirst // as where anybody may register
		}
		return User{}, err
	}
	user, err := s.insert(ctx, User{
		ID: docstore.NewID(), Email: claims.Email, EmailKey: key, EmailVerified: true, FullName: language.Cut(claims.Name, maxName),
		Language: language.Prefer(claims.Locale), Role: identity.User, CreatedAt: docstore.At(s.c.Now()), FirstIdentity: i.ID,
	})
	if errors.Is(err, ErrTaken) || docstore.ConflictsOn(err, "by_first_identity") {
		user, err = s.beganWith(ctx, i.ID)
		err = docstore.NotFoundAs(err, errLinkFirst)
	}
	if err != nil {
		return User{}, err
	}
	i.UserID = user.ID
	return s.claim(ctx, i)
}

// beganWith is the account that began with an identity, or docstore.ErrNotFound.
func (s *Service) beganWith(ctx context.Context, identityID string) (User, error) {
	return s.users.First(ctx, docstore.Query{Index: "by_first_identity", Equal: []any{identityID}})
}

// claim stores an identity for its account, in place of one that counts for nothing, and
// returns the account that it signs in to then: another one, if that was first.
func (s *Service) claim(ctx context.Context, i externalIdentity) (User, error) {
	for {
		err := insertInSlot(ctx, s.identities, i.UserID, maxIdentities, errTooManyLinked, &i, func(i *externalIdentity) *int { return &i.Slot })
		if err == nil {
			return s.users.Get(ctx, i.UserID)
		}
		if !docstore.ConflictsOn(err, docstore.IDIndex) {
			return User{}, err
		}
		known, err := s.identities.Get(ctx, i.ID)
		if errors.Is(err, docstore.ErrNotFound) { // it was unlinked since
			continue
		}
		if err != nil {
			return User{}, err
		}
		if owner, err := s.ownerOf(ctx, known); !errors.Is(err, docstore.ErrNotFound) {
			return owner, err
		}
		if err := s.discard(ctx, known); err != nil {
			return User{}, err
		}
	}
}

// discard removes an identity, unless another account has claimed it since it was read.
func (s *Service) discard(ctx context.Context, known externalIdentity) error {
	_, err := s.identities.Update(ctx, known.ID, func(stored *externalIdentity) error {
		if stored.UserID != known.UserID || !stored.CreatedAt.Equal(known.CreatedAt.Time) {
			return docstore.ErrUnchanged
		}
		return docstore.ErrRemoved
	})
	return docstore.NotFoundAs(err, nil)
}

// link lets the account that asked be signed in to with the provider's account. Linking
// what is linked changes nothing, but tells of it again: it may have been cut short before
// anybody was told.
func (s *Service) link(ctx context.Context, i externalIdentity) (User, error) {
	owner, err := s.beganWith(ctx, i.ID)
	if errors.Is(err, docstore.ErrNotFound) || err == nil && owner.ID == i.UserID {
		owner, err = s.claim(ctx, i)
	}
	if err == nil && owner.ID != i.UserID {
		err = errLinked
	}
	if err != nil {
		return User{}, err
	}
	return s.update(ctx, i.UserID, func(u *User) error {
		u.Unlinked = slices.DeleteFunc(u.Unlinked, func(id string) bool { return id == i.ID })
		u.note(ctx, eventIdentityLinked, s.c.Now())
		return nil
	})
}

// identitiesOf returns the provider accounts that are linked to an account.
func (s *Service) identitiesOf(ctx context.Context, userID string) ([]externalIdentity, error) {
	all, _, err := s.identities.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}})
	return all, err
}

// hasWayIn tells whether the person could still sign in, with what is left of all the
// provider accounts that were linked a moment ago.
func (u User) hasWayIn(linked []externalIdentity) bool {
	return u.PasswordHash != "" || len(u.Passkeys) > 0 ||
		slices.ContainsFunc(linked, func(i externalIdentity) bool { return !slices.Contains(u.Unlinked, i.ID) })
}

// maxUnlinked is how many provider accounts are remembered that were unlinked: more than
// anybody unlinks at once.
const maxUnlinked = 100

// unlink removes a provider's account, unless it is the only way to sign in. Its
// caller has passed StepUp. The account has it unlinked first, in one change with the
// question whether another way is left: so not even two at once remove the last two.
func (s *Service) unlink(ctx context.Context, userID, id string) error {
	all, err := s.identitiesOf(ctx, userID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(i externalIdentity) bool { return i.ID == id }) {
		return errUnknownProvider
	}
	err = s.updateNoting(ctx, userID, eventIdentityUnlinked, func(u *User) error {
		if !slices.Contains(u.Unlinked, id) {
			u.Unlinked = append(u.Unlinked, id)
			u.Unlinked = slices.Delete(u.Unlinked, 0, max(0, len(u.Unlinked)-maxUnlinked))
		}
		if u.FirstIdentity == id {
			u.FirstIdentity = ""
		}
		if !u.hasWayIn(all) {
			return errLastWayIn
		}
		return nil
	})
	if err != nil {
		return err
	}
	return docstore.NotFoundAs(s.identities.Delete(ctx, id), nil)
}
