package s3target

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup"
)

// regionCodes are how S3 says that the bucket is elsewhere.
var regionCodes = []string{"AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"}

// translateError says in a sentence what is wrong and what to do, when a request on the
// object of the key has failed that needs the permission.
func (t *Target) translateError(err error, permission, key string) error {
	var refused minio.ErrorResponse
	switch {
	case errors.Is(err, errRole):
		return fmt.Errorf("%w: the keys of this machine's role can't be had: %s; see that it has one and that its service for metadata can be reached, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead of S3_CREDENTIALS=role", backup.ErrUnavailable, t.redact(cause(err)))
	case errors.As(err, &refused) && t.transientAnswer(refused):
		return fmt.Errorf("%w: %s is overloaded or out of order (%d %s); try again later", backup.ErrUnavailable, t.host(), refused.StatusCode, refused.Code)
	case errors.As(err, &refused):
		return t.explainRefusal(refused, permission, key)
	case t.transient(err):
		return fmt.Errorf("%w: %s doesn't answer: %s; check the endpoint (S3_ENDPOINT) and the network, or try again later", backup.ErrUnavailable, t.host(), t.redact(cause(err)))
	case errors.Is(err, errForGood):
		return fmt.Errorf("s3://%s/%s: %w; try again, and if it stays so use another service, as this one doesn't do what S3 does", t.config.Bucket, key, err)
	}
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) {
		return fmt.Errorf("the certificate of %s isn't trusted: %w; correct the endpoint (S3_ENDPOINT), or let this machine trust who has issued it", t.host(), certificate.Err)
	}
	return fmt.Errorf("%s can't be spoken to as the endpoint says, http or https; correct S3_ENDPOINT: %s", t.host(), t.redact(cause(err)))
}

// explainRefusal says what is wrong when the service has refused for good.
func (t *Target) explainRefusal(refused minio.ErrorResponse, permission, key string) error {
	where := "s3://" + t.config.Bucket + "/" + key
	if isLocked(refused) {
		return fmt.Errorf("%w %s; it can be removed when its lock has ended", errLocked, where)
	}
	if say := t.sentence(refused, permission); say != "" {
		return errors.New(say)
	}
	switch {
	case refused.Code == "NoSuchUpload":
		return fmt.Errorf("%w: the unfinished upload of %s is gone; somebody has ended it, or a rule of the bucket; try again, and see that no rule ends uploads within a day", fs.ErrNotExist, where)
	case isMissing(refused):
		return fmt.Errorf("%w: %s", fs.ErrNotExist, where)
	case refused.Code == "PreconditionFailed":
		return fmt.Errorf("%w: %s has been replaced while it was read; read it again", backup.ErrUnavailable, where)
	}
	why := strings.Join(strings.Fields(refused.Code+": "+refused.Message), " ")
	return fmt.Errorf("%s refuses %s on %s, for a reason that its documentation explains: %d %s", t.host(), permission, where, refused.StatusCode, t.redact(why))
}

// errLocked: object lock keeps a file.
var errLocked = errors.New("object lock keeps the file")

// isLocked tells whether a request was refused because of object lock, for which S3
// has no code of its own.
func isLocked(refused minio.ErrorResponse) bool {
	message := strings.ToLower(refused.Message)
	return refused.Code == "ObjectLocked" || refused.Code == "AccessDenied" && strings.Contains(message, "object lock") || strings.Contains(message, "worm protected")
}

// isMissing tells whether an error of a request says that there is no such object.
func isMissing(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == "NoSuchKey" || code == "NoSuchVersion"
}

// sentence is what there is to say about settings that are wrong; empty for others.
func (t *Target) sentence(refused minio.ErrorResponse, permission string) string {
	bucket := "the bucket " + t.config.Bucket
	switch code := refused.Code; {
	case code == "InvalidAccessKeyId":
		return t.host() + " doesn't know the access key of " + bucket + "; correct the access key (AWS_ACCESS_KEY_ID), or the endpoint (S3_ENDPOINT) if it is of another service"
	case code == "SignatureDoesNotMatch":
		return "the secret key of " + bucket + " doesn't belong to its access key; correct the secret key (AWS_SECRET_ACCESS_KEY)"
	case code == "InvalidToken" || code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired":
		return "the session token of " + bucket + " is wrong or has expired; get new temporary keys, AWS_SESSION_TOKEN with them"
	case code == "NoSuchBucket":
		return bucket + " doesn't exist at " + t.host() + "; make it, or correct its name (S3_BUCKET) or the endpoint (S3_ENDPOINT)"
	case code == "InvalidBucketName":
		return bucket + " has a name that S3 doesn't allow; correct S3_BUCKET"
	case slices.Contains(regionCodes, code) || refused.StatusCode/100 == 3:
		return t.wrongRegion(refused)
	case code == "RequestTimeTooSkewed":
		return fmt.Sprintf("the clock of this machine is about %s off that of %s; set it right, with NTP", time.Duration(t.clock.ahead.Load()).Abs().Round(time.Second), t.host())
	case code == "AccessDenied" || code == "AllAccessDisabled" || refused.StatusCode == http.StatusForbidden:
		return "the access key of " + bucket + " may not do what backups need; allow it " + permission + " there"
	case code == "InvalidRequest" && strings.Contains(strings.ReplaceAll(strings.ToLower(refused.Message), " ", ""), "objectlock"):
		return bucket + " has no object lock; make one that has it, or take backup.s3.object_lock out of manus.yaml"
	}
	return ""
}

func (t *Target) wrongRegion(refused minio.ErrorResponse) string {
	if refused.Region == "" {
		return "the bucket " + t.config.Bucket + " isn't in the region or at the endpoint that are set; correct S3_REGION and S3_ENDPOINT"
	}
	return "the bucket " + t.config.Bucket + " is in the region " + t.redact(refused.Region) + "; set S3_REGION to that, and S3_ENDPOINT to none of another region"
}

// host is where the service is.
func (t *Target) host() string { return t.core.EndpointURL().Host }

// redact takes the secrets out of what others say.
func (t *Target) redact(text string) string {
	for _, secret := range []string{t.config.SecretKey, t.config.SessionToken} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	return text
}

// cause is the innermost of what went wrong with a request, without its URL.
func cause(err error) string {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		err = request.Err
	}
	if strings.HasPrefix(err.Error(), "Connection closed by foreign host") { // minio-go's words for an EOF
		return "the connection was closed"
	}
	return err.Error()
}
