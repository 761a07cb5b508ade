package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"manus/internal/dialerr"
	"manus/internal/guard"
	"manus/language"
)

// fault is why a target isn't up, in words that begin with the phase.
type fault struct {
	text    language.Text
	unknown bool // it isn't the target's
}

func (f *fault) Error() string { return f.text.En }

// newFault is a fault of the target.
func newFault(en, ar string, args ...any) *fault {
	isolated := slices.Clone(args) // names and the like run from left to right
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			isolated[i] = language.Arabic.Isolate(text)
		}
	}
	return &fault{text: language.Text{En: fmt.Sprintf(en, args...), Ar: fmt.Sprintf(ar, isolated...)}}
}

// ownFault is one of which the target knows nothing.
func ownFault(en, ar string, args ...any) *fault {
	f := newFault(en, ar, args...)
	f.unknown = true
	return f
}

// labels are what the phases are called in front of a cause.
var labels = [phases]language.Text{
	resolving: {En: "DNS", Ar: "DNS"}, connecting: {En: "Connection", Ar: "الاتصال"}, handshaking: {En: "TLS", Ar: "TLS"},
	waiting: {En: "HTTP", Ar: "HTTP"}, reading: {En: "HTTP", Ar: "HTTP"},
}

// in is a fault of a phase.
func (a *attempt) in(p phase, en, ar string, args ...any) *fault {
	label := labels[p]
	switch {
	case a.Kind == ICMP && p == waiting:
		label = language.Text{En: "Ping", Ar: "Ping"}
	case a.Kind == DNS:
		label = labels[resolving]
	}
	return newFault(label.En+": "+en, label.Ar+": "+ar, args...)
}

// explain says what an error means: the one place that does, for all kinds.
func (a *attempt) explain(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if a.parent.Err() != nil {
		return ownFault("the check was broken off", "أُوقف الفحص قبل أن ينتهي")
	}
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "proxyconnect" && guard.Cause(err) == nil {
		return newFault("Connection: the proxy can't be reached", "الاتصال: تعذّر الوصول إلى الخادم الوكيل")
	}
	p := a.watch.phase()
	for _, explained := range []*fault{a.guarded(err), a.own(err), a.late(p), a.unresolved(err), a.untrusted(err), a.unanswered(p, err), a.refused(p, err)} {
		if explained != nil {
			return explained
		}
	}
	if outer, ok := errors.AsType[*url.Error](err); ok { // which has the address in its text
		err = outer.Err
	}
	cause := language.Cut(language.Line(dialerr.WithoutResolver(err).Error()), maxCause)
	return a.in(p, "%s", "%s", cause)
}

// maxCause is how much is told of an error that isn't known here, in characters.
const maxCause = 200

// guarded is what the guard says.
func (a *attempt) guarded(err error) *fault {
	for cause, ar := range map[error]string{
		guard.ErrPrivate: "عنوان في شبكة خاصة، ولا يُتصل به (يسمح بذلك private: true في المراقَب)",
		guard.ErrSpecial: "عنوان لا يكون لخادم، ولا يُتصل به أبدًا",
		guard.ErrNever:   "عنوان محلي للوصلة أو لبيانات السحابة، ولا يُتصل به أبدًا",
	} {
		if errors.Is(err, cause) {
			f := a.in(connecting, "the target leads to ", "يقود الهدف إلى ")
			f.text.En += cause.Error()
			f.text.Ar += ar
			return f
		}
	}
	return nil
}

// own is a want of this machine.
func (a *attempt) own(err error) *fault {
	for _, want := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, want) {
			return ownFault("this machine can't open a connection: %v", "لا يستطيع هذا الجهاز فتح اتصال: %v", want)
		}
	}
	return nil
}

// late is the end of the check's time.
func (a *attempt) late(p phase) *fault {
	if !errors.Is(a.ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	en, ar := "no answer within %s", "لا رد خلال %s"
	switch p {
	case handshaking:
		en, ar = "the handshake didn't end within %s", "لم تكتمل المصافحة خلال %s"
	case reading:
		en, ar = "the answer didn't end within %s", "لم يكتمل الرد خلال %s"
	}
	return a.timed(p, en, ar, a.timeout)
}

// timed is a fault of a phase, with a span of time in its words.
func (a *attempt) timed(p phase, en, ar string, d time.Duration) *fault {
	return a.in(p, fmt.Sprintf(en, language.English.Duration(d)), fmt.Sprintf(ar, language.Arabic.Duration(d)))
}

// unresolved is why a name has no address.
func (a *attempt) unresolved(err error) *fault {
	lookup, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return nil
	case lookup.IsNotFound && a.IP != 0:
		return a.in(resolving, "no such host, or none with IPv%d", "لا يوجد مضيف بهذا الاسم، أو لا عنوان IPv%d له", a.IP)
	case lookup.IsNotFound:
		return a.in(resolving, "no such host", "لا يوجد مضيف بهذا الاسم")
	case lookup.IsTimeout:
		return a.in(resolving, "the resolver doesn't answer", "خادم الأسماء لا يجيب")
	}
	return a.in(resolving, "the resolver failed", "أخفق خادم الأسماء")
}

// untrusted is what is wrong with TLS or the certificate.
func (a *attempt) untrusted(err error) *fault {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return a.outOfTime(invalid.Cert)
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		names := host.Certificate.DNSNames
		for _, ip := range host.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		list := shown(strings.Join(names[:min(len(names), 3)], ", "))
		if list == "" {
			return a.in(handshaking, "the certificate has no name in it", "لا اسم في الشهادة")
		}
		return a.in(handshaking, "the certificate is for %s, not for %s", "الشهادة تخص %s لا %s", list, shown(host.Host))
	}
	if authority, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if c := authority.Cert; c != nil && c.Issuer.String() == c.Subject.String() {
			return a.in(handshaking, "the certificate is signed by itself", "الشهادة موقّعة ذاتيًا")
		}
		return a.in(handshaking, "the certificate is signed by an unknown authority, or one between isn't sent", "الشهادة موقّعة من جهة غير معروفة، أو لم تُرسل شهادة وسيطة")
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return a.in(handshaking, "the certificate isn't valid: %s", "الشهادة غير صالحة: %s", shown(invalid.Err.Error()))
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return a.in(handshaking, "the server refuses the handshake: %s", "يرفض الخادم المصافحة: %s", strings.TrimPrefix(alert.Error(), "tls: "))
	}
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "remote error" {
		return a.in(handshaking, "the server refuses the handshake: %s", "يرفض الخادم المصافحة: %s", strings.TrimPrefix(operation.Err.Error(), "tls: "))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		return a.in(handshaking, "the server doesn't speak TLS here", "لا يتحدث الخادم TLS هنا")
	}
	if _, said, ok := strings.Cut(err.Error(), "tls: "); ok && a.watch.phase() == handshaking {
		return a.in(handshaking, "the handshake failed: %s", "أخفقت المصافحة: %s", shown(said))
	}
	return nil
}

// outOfTime is a certificate that isn't valid yet, or isn't any more.
func (a *attempt) outOfTime(c *x509.Certificate) *fault {
	now := a.now()
	a.expiresAt(c.NotAfter)
	en, ar, d := "the certificate expired %s ago", "انتهت صلاحية الشهادة قبل %s", now.Sub(c.NotAfter)
	if now.Before(c.NotBefore) {
		en, ar, d = "the certificate is valid in %s only", "لا تصبح الشهادة صالحة إلا بعد %s", c.NotBefore.Sub(now)
	}
	if days := 24 * time.Hour; d >= 2*days {
		d = d.Truncate(days)
	}
	return a.timed(handshaking, en, ar, d)
}

// shown is a piece of a stranger's text.
func shown(text string) string { return language.Cut(language.Line(text), maxCause/2) }

// unanswered is what is wrong with an answer.
func (a *attempt) unanswered(p phase, err error) *fault {
	if p < waiting {
		return nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "headers exceeded"), strings.Contains(text, "header list larger"):
		return a.in(p, "the headers of the answer are too long", "ترويسات الرد طويلة جدًا")
	case strings.Contains(text, "failed to parse Location header"): // and has it in its text
		return a.in(p, "it redirects to what isn't an address", "يعيد التوجيه إلى ما ليس عنوانًا")
	case p == reading && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)):
		return a.in(p, "the answer broke off", "انقطع الرد قبل أن يكتمل")
	case strings.Contains(text, "conn could not be established"): // HTTP/2's word for one that ended before the request
		return a.in(p, "the server broke the connection off", "قطع الخادم الاتصال")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "server closed idle connection"):
		return a.in(p, "the server closed the connection without an answer", "أغلق الخادم الاتصال دون رد")
	case slices.ContainsFunc(notHTTP, func(said string) bool { return strings.Contains(text, said) }):
		return a.in(p, "the answer can't be read as HTTP", "لا يمكن قراءة الرد بوصفه HTTP")
	}
	return nil
}

// notHTTP is what net/http says in an error about an answer that breaks the protocol.
var notHTTP = []string{
	"malformed", "transport connection broken", "Content-Length", // the head
	"readLoopPeekFail",                         // what comes before anything was asked
	"chunk", "header line too long", "trailer", // the body
	"PROTOCOL_ERROR", "http2: ", "connection error: ", "stream error: ", // HTTP/2
}

// refused is what the kernel says of a connection.
func (a *attempt) refused(p phase, err error) *fault {
	for _, cause := range []struct {
		is     error
		en, ar string
	}{
		{syscall.ECONNREFUSED, "refused: nothing listens there", "مرفوض: لا برنامج يستمع هناك"},
		{syscall.ECONNRESET, "the server broke the connection off", "قطع الخادم الاتصال"},
		{syscall.EPIPE, "the server broke the connection off", "قطع الخادم الاتصال"},
		{syscall.ETIMEDOUT, "no answer", "لا رد"},
		{syscall.EHOSTUNREACH, "no way leads to the host", "لا طريق إلى المضيف"},
		{syscall.ENETUNREACH, "no way leads to the host's network", "لا طريق إلى شبكة المضيف"},
		{io.EOF, "the server closed the connection", "أغلق الخادم الاتصال"},
	} {
		if errors.Is(err, cause.is) {
			return a.in(p, cause.en, cause.ar)
		}
	}
	return nil
}
