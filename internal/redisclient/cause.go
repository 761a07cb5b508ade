package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/redis/rueidis"
)

// Rights are what the user of Redis needs, as ACL SETUSER has them.
const Rights = "~manus:* &manus:* +@scripting +@read +@write +@pubsub +@connection +time +cluster"

// replies are what Redis says by the first word of an error (its older versions
// have it in the middle of what they say of a script).
var replies = map[string]string{
	"OOM":                   "Redis is full: raise its maxmemory, or let it evict what expires (maxmemory-policy volatile-ttl)",
	"NOPERM":                "the user of REDIS_URL lacks a right: give it " + Rights,
	"WRONGPASS":             "Redis refuses the user or the password of REDIS_URL",
	"NOAUTH":                "Redis wants a password: put it into REDIS_URL",
	"READONLY":              "Redis is read-only, as a replica is: let REDIS_URL name the primary",
	"MISCONF":               "Redis can't save to its disk, and so takes no writes: look at its log",
	"NOREPLICAS":            "Redis takes no writes while too few of its replicas are there: look at them",
	"LOADING":               "Redis is loading its data",
	"BUSY":                  "Redis is busy with another's script",
	"CLUSTERDOWN":           "the Redis cluster lacks a node for some of its keys",
	"MASTERDOWN":            "Redis is a replica that has lost its primary: let REDIS_URL name the primary",
	"MOVED":                 "REDIS_URL names one node of a cluster: name several, separated by commas",
	"UNKNOWN COMMAND":       "Redis lacks a command that is needed, EVALSHA or another: it may have been renamed",
	"MAX NUMBER OF CLIENTS": "Redis has as many clients as it takes (maxclients)",
}

// Cause is what is wrong with Redis, and what to do about it, in a sentence that depends
// on the kind of the error alone.
func Cause(err error) string {
	if reply, ok := errors.AsType[*rueidis.RedisError](err); ok {
		return causeOfReply(reply.Error())
	}
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, noHost := errors.AsType[*net.DNSError](err)
	switch {
	case badCertificate:
		return "Redis's certificate isn't trusted: add its CA to this system's (SSL_CERT_FILE names another file)"
	case noTLS:
		return "Redis doesn't speak TLS there: use redis:// in REDIS_URL, or its port for TLS"
	case noHost:
		return "the host of REDIS_URL has no address"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at the address of REDIS_URL (connection refused)"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Redis doesn't answer: see whether it is overloaded or cut off, and whether it speaks TLS there (rediss://) or not"
	}
	return "the connection to Redis was lost"
}

func causeOfReply(text string) string {
	text = strings.ToUpper(text)
	for word, cause := range replies {
		if strings.HasPrefix(strings.TrimPrefix(text, "ERR "), word) || strings.Contains(text, ": -"+word) {
			return cause
		}
	}
	return "Redis refuses to count"
}
