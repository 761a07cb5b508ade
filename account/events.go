package account

import (
	"context"
	"slices"
	"time"

	"manus/audit"
	"manus/language"
	"manus/mail"
)

// The events that matter to an account's security.
const (
	eventRegistered        audit.Kind = "registered"
	eventSignedIn          audit.Kind = "signed-in"
	eventSignInFailed      audit.Kind = "sign-in-failed"
	eventNewDevice         audit.Kind = "new-device"
	eventSignedOut         audit.Kind = "signed-out"
	eventSignedOutAll      audit.Kind = "signed-out-everywhere"
	eventDeviceRevoked     audit.Kind = "device-revoked"
	eventRefreshReused     audit.Kind = "refresh-token-reused"
	eventPasswordChanged   audit.Kind = "password-changed"
	eventPasswordReset     audit.Kind = "password-reset"
	eventPasswordSet       audit.Kind = "password-set-by-operator"
	eventResetAsked        audit.Kind = "password-reset-asked"
	eventEmailVerified     audit.Kind = "email-verified"
	eventEmailChangeAsked  audit.Kind = "email-change-asked"
	eventEmailChanged      audit.Kind = "email-changed"
	eventTOTPOn            audit.Kind = "authenticator-added"
	eventTOTPOff           audit.Kind = "authenticator-removed"
	eventCodesBlocked      audit.Kind = "codes-blocked"
	eventRecoveryMade      audit.Kind = "recovery-codes-made"
	eventRecoveryUsed      audit.Kind = "recovery-code-used"
	eventPasskeyAdded      audit.Kind = "passkey-added"
	eventPasskeyRemoved    audit.Kind = "passkey-removed"
	eventSecondFactorReset audit.Kind = "second-factor-reset-by-operator"
	eventKeyMade           audit.Kind = "api-key-made"
	eventKeyRevoked        audit.Kind = "api-key-revoked"
	eventIdentityLinked    audit.Kind = "identity-linked"
	eventIdentityUnlinked  audit.Kind = "identity-unlinked"
	eventRoleChanged       audit.Kind = "role-changed"
	eventDisabled          audit.Kind = "disabled"
	eventEnabled           audit.Kind = "enabled"
	eventExported          audit.Kind = "data-exported"
	eventErased            audit.Kind = "erased"
)

// outbox is where events wait in the account.
func (u *User) outbox() audit.Outbox[audit.Event] {
	return audit.Outbox[audit.Event]{Events: &u.Pending, Since: &u.PendingSince}
}

// note puts an event into the account's outbox, in the same atomic change as what it
// tells of.
func (u *User) note(ctx context.Context, kind audit.Kind, now time.Time) {
	e := audit.NewEvent(ctx, u.ID, kind, now)
	if _, tell := notices[kind]; tell {
		e.MailTo = u.Email
	}
	u.outbox().Note(e, now)
}

// publish writes an event into the audit log, and mails it to the person if they are to
// know.
func (s *Service) publish(ctx context.Context, u User, e audit.Event) error {
	err := s.c.Audit.Append(ctx, e)
	if err == nil && e.MailTo != "" && s.c.Mail != nil {
		err = s.c.Mail.Send(ctx, s.notice(u, e, e.MailTo))
	}
	return err
}

// notice is the mail about an event. It has the event's id, so that it is one
// mail however often it is sent.
func (s *Service) notice(u User, e audit.Event, to string) mail.Message {
	facts := []fact{
		{language.Text{En: "When", Ar: "الوقت"}, u.Language.Moment(e.At.Time)},
		{language.Text{En: "Network address", Ar: "عنوان الشبكة"}, e.Address},
		{language.Text{En: "Program", Ar: "البرنامج"}, e.Agent},
	}
	m := s.compose(u.Language, notices[e.Kind], "", slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" }))
	m.ID, m.To = e.ID, to
	return m
}
