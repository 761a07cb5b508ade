package account

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"manus/docstore"
)

// PersonalData is what another room keeps about a person.
type PersonalData interface {
	// Export calls add for each file of the account's owner, with the file's
	// name, without an extension, and its values. Errors are the store's and
	// add's.
	Export(ctx context.Context, userID string, add func(name string, values iter.Seq2[any, error]) error) error
	// Erase removes all of it. It may be cut short and be called again. Errors
	// are the store's.
	Erase(ctx context.Context, userID string) error
}

// Export writes everything that is held about the account's owner to w, as a
// zip archive of JSON files. It holds one page of values in memory at a time.
func (s *Service) Export(ctx context.Context, userID string, w io.Writer) error {
	archive := zip.NewWriter(w)
	add := func(name string, values iter.Seq2[any, error]) error {
		file, err := archive.Create(name + ".json")
		if err != nil {
			return err
		}
		return writeArray(file, values)
	}
	if err := s.exportOwn(ctx, userID, add); err != nil {
		return err
	}
	for _, other := range s.c.PersonalData {
		if err := other.Export(ctx, userID, add); err != nil {
			return err
		}
	}
	s.c.Audit.Record(ctx, userID, eventExported)
	return archive.Close()
}

// writeArray writes values as a JSON array, one a line.
func writeArray(w io.Writer, values iter.Seq2[any, error]) error {
	separator, end := "[\n", "[]\n"
	for value, err := range values {
		if err != nil {
			return err
		}
		line, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, line); err != nil {
			return err
		}
		separator, end = ",\n", "\n]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// exportOwn exports what this room keeps. Credentials (hashes, seeds, public keys'
// counters) say nothing about the person and are left out.
func (s *Service) exportOwn(ctx context.Context, userID string, add func(string, iter.Seq2[any, error]) error) error {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return err
	}
	one := func(yield func(any, error) bool) { yield(newExportedUser(user), nil) }
	if err := add("account", one); err != nil {
		return err
	}
	mine := docstore.Query{Index: "by_user", Equal: []any{userID}}
	return errors.Join(
		add("devices", docstore.Show(s.logins.All(ctx, mine), func(l login) deviceBody { return newDeviceBody(l, "") })),
		add("api-keys", docstore.Show(s.apiKeys.All(ctx, mine), newKeyBody)),
		add("identities", docstore.Show(s.identities.All(ctx, mine), newIdentityBody)),
	)
}

// exportedUser is an account as an export shows it.
type exportedUser struct {
	userBody
	Disabled      bool          `json:"disabled"`
	HasPassword   bool          `json:"has_password"`
	RecoveryCodes int           `json:"recovery_codes_left"`
	Passkeys      []passkeyBody `json:"passkeys"`
}

func newExportedUser(u User) exportedUser {
	e := exportedUser{userBody: newUserBody(u), Disabled: u.Disabled, HasPassword: u.PasswordHash != "", RecoveryCodes: len(u.Recovery), Passkeys: []passkeyBody{}}
	for _, p := range u.Passkeys {
		e.Passkeys = append(e.Passkeys, newPasskeyBody(p))
	}
	return e
}

// Erase removes the account and all that is kept of its owner, but for the audit
// log's lines, which name nobody once the account is gone and go with their age.
// In one atomic step the account can't be used any more and has nothing personal
// left; the rest goes after that, and Run finishes it when it is cut short. A person
// has to have stepped up (see Proof); operators need not. It returns ErrLastOperator for
// the last operator.
func (s *Service) Erase(ctx context.Context, userID string) error {
	// Not even a client that leaves stops what has been begun.
	ctx = context.WithoutCancel(ctx)
	user, err := s.Get(ctx, userID)
	if err != nil {
		return err
	}
	err = s.stepDown(ctx, userID, func(mark string) error { return s.blank(ctx, user, mark) })
	if err != nil || s.c.Offline {
		return err
	}
	return s.finishErasure(ctx, userID)
}

// blank leaves nothing personal in an account, and nothing under its address.
func (s *Service) blank(ctx context.Context, user User, mark string) error {
	if err := s.eraseAddress(ctx, user); err != nil {
		return err
	}
	_, err := s.update(ctx, user.ID, func(u *User) error {
		if !u.ErasingSince.IsZero() {
			return docstore.ErrUnchanged
		}
		if err := u.mayStepDown(mark); err != nil {
			return err
		}
		u.silence()
		u.note(ctx, eventErased, s.c.Now())
		*u = User{
			ID: u.ID, Role: u.Role, Language: u.Language, Disabled: true, Epoch: u.Epoch + 1, CreatedAt: u.CreatedAt,
			Pending: u.Pending, PendingSince: u.PendingSince, ErasingSince: docstore.At(s.c.Now()),
		}
		return nil
	})
	return err
}

// silence leaves nothing personal in the events that wait, so that none of them is mailed
// any more.
func (u *User) silence() {
	for i := range u.Pending {
		u.Pending[i].MailTo, u.Pending[i].Address, u.Pending[i].Agent = "", "", ""
	}
}

// eraseAddress removes what is kept under the person's address.
func (s *Service) eraseAddress(ctx context.Context, u User) error {
	if u.EmailKey == "" {
		return nil
	}
	err := s.requests.DeleteGroup(ctx, u.EmailKey)
	if err == nil && s.c.Mail != nil {
		err = s.c.Mail.Erase(ctx, u.Email)
	}
	return err
}

// eraseMails removes the mails of an account that is being erased, among which may be
// notices that came into the queue while it began; the goodbye is still to come.
func (s *Service) eraseMails(ctx context.Context, u User) error {
	for _, e := range u.Pending {
		if e.MailTo != "" && s.c.Mail != nil {
			return s.c.Mail.Erase(ctx, e.MailTo)
		}
	}
	return nil
}

// finishErasure delivers the pending events of an account that is being erased,
// removes everything that belongs to it, and then the account itself.
func (s *Service) finishErasure(ctx context.Context, userID string) error {
	user, err := s.Get(ctx, userID)
	if errors.Is(err, ErrUnknownUser) {
		return nil
	}
	if err == nil {
		err = s.eraseMails(ctx, user)
	}
	if err == nil {
		err = s.relay.Deliver(ctx, user)
	}
	if err != nil {
		return err
	}
	for _, other := range s.c.PersonalData {
		if err := other.Erase(ctx, userID); err != nil {
			return err
		}
	}
	mine := docstore.Query{Index: "by_user", Equal: []any{userID}}
	_, logins := s.logins.DeleteAll(ctx, mine)
	_, keys := s.apiKeys.DeleteAll(ctx, mine)
	_, identities := s.identities.DeleteAll(ctx, mine)
	if err := errors.Join(logins, keys, identities); err != nil {
		return err
	}
	return docstore.NotFoundAs(s.users.Delete(ctx, userID), nil)
}

// unfinishedAfter is when an erasure was cut short, rather than under way.
const unfinishedAfter = 5 * time.Second

// finishErasures finishes the erasures that were cut short.
func (s *Service) finishErasures(ctx context.Context) error {
	for u, err := range s.users.All(ctx, docstore.Query{Index: "by_erasing", Until: docstore.At(s.c.Now().Add(-unfinishedAfter))}) {
		if err == nil {
			err = s.finishErasure(ctx, u.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
