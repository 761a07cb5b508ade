package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

// totpSeed is an authenticator app's (RFC 6238: SHA-1, 6 digits, 30 seconds,
// which every app has).
type totpSeed struct {
	Sealed    []byte `json:"sealed"` // bound to the account
	Confirmed bool   `json:"confirmed"`
	// LastStep is the time step of the last code that was taken: neither it
	// nor an earlier one is taken again.
	LastStep int64 `json:"last_step"`
}

const (
	totpPeriod = 30
	// recoveryCodes is how many are made, of 120 bits each: 24 letters of base32.
	recoveryCodes      = 10
	recoveryCodeLength = 24
)

// guesses bounds how often wrong codes can be tried by somebody who knows the
// password: after maxGuesses no code of the app is taken for a while, each time
// twice as long.
type guesses struct {
	Wrong  int           `json:"wrong,omitempty"`
	Blocks int           `json:"blocks,omitempty"`
	Until  docstore.Time `json:"until,omitzero"`
}

const (
	maxGuesses    = 5
	firstBlock    = 15 * time.Minute
	maxBlockTimes = 7 // 2^7 quarters of an hour are more than a day
)

func (g guesses) blocked(now time.Time) bool { return now.Before(g.Until.Time) }

// wrong counts a guess and tells whether it was one too many.
func (g *guesses) wrong(now time.Time) (blocked bool) {
	if g.Wrong++; g.Wrong < maxGuesses {
		return false
	}
	*g = guesses{Blocks: min(g.Blocks+1, maxBlockTimes), Until: docstore.At(now.Add(firstBlock << g.Blocks))}
	return true
}

// hasTOTP tells whether an authenticator app is in force.
func (u User) hasTOTP() bool { return u.TOTP != nil && u.TOTP.Confirmed }

// needsSecondFactor tells whether a password alone doesn't sign in.
func (u User) needsSecondFactor() bool {
	return u.hasTOTP() || slices.ContainsFunc(u.Passkeys, func(p passkey) bool { return p.SecondFactor })
}

// dropTOTP removes the authenticator app.
func (u *User) dropTOTP() { u.TOTP, u.TOTPKey, u.Guesses = nil, "", guesses{} }

// secondFactor takes the account's second factor, if it has one, and returns the
// account as it is then. It returns ErrSecondFactor when nothing was given, and
// ErrWrongPassword when it is wrong.
func (s *Service) secondFactor(ctx context.Context, user User, code string, answer *PasskeyAnswer) (User, error) {
	switch {
	case !user.needsSecondFactor():
		return user, nil
	case answer != nil:
		return s.takePasskey(ctx, user.ID, *answer)
	case code != "":
		return s.takeCode(ctx, user.ID, code)
	}
	return User{}, ErrSecondFactor
}

// takeCode uses up a one-time code, of the app or for recovery, in one atomic
// change: however many send it at once, one gets in.
func (s *Service) takeCode(ctx context.Context, userID, code string) (User, error) {
	ok := false
	user, err := s.update(ctx, userID, func(u *User) error {
		now := s.c.Now()
		ok = u.takeRecoveryCode(code)
		if ok {
			u.note(ctx, eventRecoveryUsed, now)
			return nil
		}
		if u.Guesses.blocked(now) {
			return docstore.ErrUnchanged
		}
		if !u.hasTOTP() { // one that was begun and not confirmed counts for nothing
			return docstore.ErrUnchanged
		}
		switch err := s.takeTOTP(ctx, u, code, now); {
		case err == nil:
			ok, u.Guesses = true, guesses{}
		case !errors.Is(err, ErrWrongPassword):
			return err
		case u.Guesses.wrong(now):
			u.note(ctx, eventCodesBlocked, now)
		}
		return nil
	})
	if err == nil && !ok {
		err = ErrWrongPassword
	}
	return user, err
}

// takeTOTP uses up a code of the app, in force or not: of the present time step, or of
// the one before or after it. It returns ErrWrongPassword for another.
func (s *Service) takeTOTP(ctx context.Context, u *User, code string, now time.Time) error {
	seed, err := s.seeds.Open(u.TOTP.Sealed, u.ID)
	if err != nil {
		s.logUnreadable(ctx, u.ID)
		return errUnreadableFactor
	}
	current := now.Unix() / totpPeriod
	for _, step := range []int64{current, current - 1, current + 1} {
		want, err := totp.GenerateCodeCustom(string(seed), time.Unix(step*totpPeriod, 0), totp.ValidateOpts{Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return err
		}
		if hmac.Equal([]byte(want), []byte(code)) && step > u.TOTP.LastStep {
			u.TOTP.LastStep = step
			return nil
		}
	}
	return ErrWrongPassword
}

// takeRecoveryCode uses up a recovery code, however it is spaced.
func (u *User) takeRecoveryCode(code string) bool {
	plain := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(plain) != recoveryCodeLength {
		return false
	}
	i := slices.Index(u.Recovery, recoveryHash(plain))
	if i < 0 {
		return false
	}
	u.Recovery = slices.Delete(u.Recovery, i, i+1)
	return true
}

// recoveryHash needs no salt and no cost: a code has 120 random bits.
func recoveryHash(plain string) string { return hexHash([]byte(plain)) }

// newRecoveryCodes replaces the account's codes, and returns them as the person
// is shown them, once.
func (u *User) newRecoveryCodes() []string {
	var shown []string
	u.Recovery = nil
	for range recoveryCodes {
		plain := rand.Text()[:recoveryCodeLength]
		u.Recovery = append(u.Recovery, recoveryHash(plain))
		shown = append(shown, plain[:6]+"-"+plain[6:12]+"-"+plain[12:18]+"-"+plain[18:])
	}
	return shown
}

// Errors of second factors.
var (
	errFactorExists = errors.New("the account has an authenticator app already")
	errNoFactor     = errors.New("the account has no such second factor")
	// errUnreadableFactor is returned for a code when the secret that the app's seed was
	// sealed with isn't known here any more. Recovery codes don't need it.
	errUnreadableFactor = errors.New("the authenticator app can't be read")
)

// newTOTP begins to add an authenticator app, which counts once confirmTOTP has
// seen a code of it. One that was begun before is forgotten.
func (s *Service) newTOTP(ctx context.Context, userID string) (*otp.Key, error) {
	var key *otp.Key
	_, err := s.update(ctx, userID, func(u *User) error {
		if u.hasTOTP() {
			return errFactorExists
		}
		var err error
		key, err = totp.Generate(totp.GenerateOpts{Issuer: s.siteName(), AccountName: u.Email, SecretSize: 20})
		if err != nil {
			return err
		}
		u.TOTP = &totpSeed{Sealed: s.seeds.Seal([]byte(key.Secret()), u.ID)}
		u.TOTPKey = s.seeds.KeyID()
		return nil
	})
	return key, err
}

// siteName is what the service is called in apps and on authenticators.
func (s *Service) siteName() string {
	if name := s.c.Product.In(language.English); name != "" {
		return name
	}
	if s.passkeys != nil && s.passkeys.Config.RPID != "localhost" {
		return s.passkeys.Config.RPID
	}
	return "Manus"
}

// confirmTOTP puts the authenticator app in force, ends every other login, and
// returns the recovery codes. It returns ErrWrongPassword for a wrong code.
func (s *Service) confirmTOTP(ctx context.Context, userID, loginID, code string) ([]string, error) {
	var codes []string
	err := s.updateNoting(ctx, userID, eventTOTPOn, func(u *User) error {
		switch {
		case u.TOTP == nil:
			return errNoFactor
		case u.TOTP.Confirmed:
			return errFactorExists
		}
		if err := s.takeTOTP(ctx, u, code, s.c.Now()); err != nil {
			return err
		}
		u.TOTP.Confirmed = true
		codes = u.newRecoveryCodes()
		u.endLogins(loginID)
		return nil
	})
	return codes, err
}

// removeTOTP removes the authenticator app and ends every other login. Its caller
// has passed StepUp.
func (s *Service) removeTOTP(ctx context.Context, userID, loginID string) error {
	_, err := s.update(ctx, userID, func(u *User) error {
		if u.TOTP == nil {
			return errNoFactor
		}
		confirmed := u.hasTOTP()
		u.dropTOTP()
		if !u.needsSecondFactor() {
			u.Recovery = nil
		}
		if confirmed {
			u.endLogins(loginID)
			u.note(ctx, eventTOTPOff, s.c.Now())
		}
		return nil
	})
	return err
}

// renewRecoveryCodes replaces the recovery codes. Its caller has passed StepUp.
func (s *Service) renewRecoveryCodes(ctx context.Context, userID string) ([]string, error) {
	var codes []string
	err := s.updateNoting(ctx, userID, eventRecoveryMade, func(u *User) error {
		if !u.needsSecondFactor() {
			return errNoFactor
		}
		codes = u.newRecoveryCodes()
		return nil
	})
	return codes, err
}

// sealAnew seals seeds with the present secret that were sealed with an earlier
// one, so that the earlier can go.
func (s *Service) sealAnew(ctx context.Context) error {
	present := s.seeds.KeyID()
	for _, q := range []docstore.Query{
		{Index: "by_totp_key", Until: present},
		{Index: "by_totp_key", From: present + "\x00"},
	} {
		for u, err := range s.users.All(ctx, q) {
			if err == nil {
				err = s.sealSeed(ctx, u.ID)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) logUnreadable(ctx context.Context, userID string) {
	s.c.Log.ErrorContext(ctx, "an account's authenticator app can't be read: the secret that sealed it is neither JWT_SECRET_KEY nor among JWT_PREVIOUS_SECRET_KEYS", "user", userID)
}

func (s *Service) sealSeed(ctx context.Context, userID string) error {
	_, err := s.users.Update(ctx, userID, func(u *User) error {
		if u.TOTP == nil {
			return docstore.ErrUnchanged
		}
		seed, err := s.seeds.Open(u.TOTP.Sealed, u.ID)
		if err != nil {
			s.logUnreadable(ctx, u.ID)
			return docstore.ErrUnchanged
		}
		u.TOTP.Sealed, u.TOTPKey = s.seeds.Seal(seed, u.ID), s.seeds.KeyID()
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// Proof is what somebody who is signed in proves again with that the account is
// theirs: the password, and the second factor where the account has one; or a passkey.
type Proof struct {
	Password string
	OTP      string
	Passkey  *PasskeyAnswer
}

const (
	// provedFor is how long a step-up counts.
	provedFor = 5 * time.Minute
	// freshFor is how long having signed in counts as a step-up, for Fresh.
	freshFor = 10 * time.Minute
)

// StepUp returns nil when the caller has stepped up: has proved again to be the
// account's owner, by this proof or by one within the last provedFor. A stolen token
// alone can't do that, so whatever weakens an account asks for it. Where an account has
// nothing to prove with, having just signed in counts. It returns ErrStepUp when a proof
// is missing, or ErrWrongPassword for one that is wrong.
func (s *Service) StepUp(ctx context.Context, caller identity.Caller, proof Proof) error {
	user, err := s.Get(ctx, caller.UserID)
	if err != nil {
		return err
	}
	if proof != (Proof{}) {
		return s.proveAnew(ctx, user, caller.LoginID, proof)
	}
	nothingElse := user.PasswordHash == "" && len(user.Passkeys) == 0 && !user.hasTOTP()
	return s.provedLately(ctx, caller.LoginID, nothingElse)
}

// Fresh is StepUp for what adds to an account rather than takes away from it: having
// signed in within the last freshFor is proof enough.
func (s *Service) Fresh(ctx context.Context, caller identity.Caller, proof Proof) error {
	if proof != (Proof{}) {
		return s.StepUp(ctx, caller, proof)
	}
	return s.provedLately(ctx, caller.LoginID, true)
}

func (s *Service) provedLately(ctx context.Context, loginID string, signInCounts bool) error {
	l, err := s.logins.Get(ctx, loginID)
	if err != nil {
		return docstore.NotFoundAs(err, ErrInvalidToken)
	}
	if s.c.Now().Sub(l.ProvedAt.Time).Abs() < provedFor || signInCounts && s.c.Now().Sub(l.CreatedAt.Time).Abs() < freshFor {
		return nil
	}
	return ErrStepUp
}

func (s *Service) proveAnew(ctx context.Context, user User, loginID string, proof Proof) error {
	if err := s.prove(ctx, user, proof); err != nil {
		return err
	}
	_, err := s.logins.Update(ctx, loginID, func(l *login) error {
		l.ProvedAt = docstore.At(s.c.Now())
		return nil
	})
	return docstore.NotFoundAs(err, ErrInvalidToken)
}

func (s *Service) prove(ctx context.Context, user User, proof Proof) error {
	if proof.Passkey != nil && proof.Password == "" {
		_, err := s.takePasskey(ctx, user.ID, *proof.Passkey)
		return err
	}
	if user.PasswordHash != "" {
		ok, err := s.hasher.verify(ctx, proof.Password, user.PasswordHash)
		if err != nil {
			return err
		}
		if !ok {
			s.failures.Add(ctx, user.ID)
			return ErrWrongPassword
		}
	} else if !user.needsSecondFactor() {
		return ErrStepUp
	}
	_, err := s.secondFactor(ctx, user, proof.OTP, proof.Passkey)
	if errors.Is(err, ErrSecondFactor) {
		err = ErrWrongPassword
	}
	return err
}
