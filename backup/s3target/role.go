package s3target

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// keys are what requests are signed with.
func keys(c Config) *credentials.Credentials {
	if c.Role {
		return credentials.New(&role{credentials.IAM{Client: &http.Client{Timeout: roleTimeout}}})
	}
	return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
}

// roleTimeout bounds a question for the keys of a role: who answers is on the machine, or near.
const roleTimeout = 10 * time.Second

// role are the keys of the machine's, the container's or the pod's role, which are asked for
// again before they end.
type role struct{ credentials.IAM }

// errRole: there are no keys to sign a request with.
var errRole = errors.New("the keys of this machine's role can't be had")

// RetrieveWithCredContext asks for the keys.
func (r *role) RetrieveWithCredContext(c *credentials.CredContext) (credentials.Value, error) {
	value, err := r.IAM.RetrieveWithCredContext(c)
	if err != nil {
		err = fmt.Errorf("%w: %w", errRole, err)
	}
	return value, err
}
