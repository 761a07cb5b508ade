package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/miekg/dns"

	"manus/backup"
	"manus/config"
	"manus/internal/machine"
	"manus/internal/s3test"
	"manus/internal/smtptest"
	"manus/internal/waittest"
	"manus/notify"
	"manus/readiness"
	"manus/uptime"
	"manus/uptime/probe"
)

// live is an installation in production, with all around it that it has there.
type live struct {
	*App
	front     *front
	mails     *smtptest.Server
	names     *names
	receiver  *taker // of alerts
	listener  *taker // of the heartbeat
	place     *elsewhere
	kernel    string // the folder with its files
	fullDisks sync.Map
}

// lives are the installations by their App, as rows of breakages have that.
var lives sync.Map

func liveOf(a *App) *live {
	l, _ := lives.Load(a)
	return l.(*live)
}

// startLive starts one in which every promise holds that can on one machine.
func startLive(t *testing.T) *App {
	t.Helper()
	l := &live{front: newFront(t), mails: smtptest.Start(t), names: newNames(t), receiver: newTaker(t), listener: newTaker(t), kernel: newKernel(t)}
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings.DataDir = filepath.Join(t.TempDir(), "live")
	settings.Dev, settings.KeepMails, settings.Environment, settings.OpsAddr = false, false, "production", ""
	settings.Limits.Allow, settings.Reports.TracesSampleRate = []string{"127.0.0.0/8"}, 0
	settings.PublicURL = l.front.URL
	settings.SMTP, settings.MailFrom = config.NewSecret("smtp://"+l.mails.Addr), "Manus <manus@mail.example.com>"
	settings.Heartbeat = config.NewSecret(l.listener.URL)
	settings.Alerts = config.Alerts{Email: []string{"ops@example.com"}, AllowPrivate: true, Policy: settings.Alerts.Policy}
	settings.Alerts.Policy.Channels = []notify.ChannelConfig{
		{ID: "mail", Type: "mail", To: settings.Alerts.Email},
		{ID: "hook", Type: "webhook", URL: l.receiver.URL, Secret: "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", AllowPrivate: true},
	}
	for _, one := range ownPaths {
		settings.Monitors = append(settings.Monitors, uptime.Monitor{ID: one.id, Type: probe.HTTP, URL: l.front.URL + one.path, Every: 5 * time.Second, Private: true, CA: l.front.authority})
	}
	l.backups(t, &settings)
	world := world{roots: l.front.roots, resolver: l.names.resolver(), machine: machine.Machine{Root: l.kernel}, disk: l.disk}
	l.App, _ = start(t, Options{Settings: settings, world: world})
	l.front.to.Store(&url.URL{Scheme: "http", Host: l.Addr()})
	lives.Store(l.App, l)
	l.place = newElsewhere(t, l.App)
	l.prove(t)
	return l.App
}

// backups has them go to a folder and a bucket, encrypted.
func (l *live) backups(t *testing.T, s *config.Settings) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	server := s3test.Start(t)
	s.Backup.Dir = filepath.Join(t.TempDir(), "backups")
	s.Backup.Recipients, s.Backup.Identity = backup.Recipients{key.Recipient()}, config.NewSecret(key.String())
	s.Backup.S3 = config.S3{Bucket: server.Bucket(t), Endpoint: server.Endpoint, Region: server.Region, AccessKey: config.NewSecret(server.AccessKey), SecretKey: config.NewSecret(server.SecretKey)}
}

// prove waits until all has been proved that takes its time after a start.
func (l *live) prove(t *testing.T) {
	t.Helper()
	if _, err := l.Alerts.Test(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	must(t, l.pulse.Beat(t.Context()))              // which it does once a minute
	l.await(t, "backups.elsewhere", readiness.Warn) // the bucket's server is on this machine
	for _, id := range []string{"backups.newest", "uptime.monitors", "uptime.elsewhere", "uptime.heartbeat", "uptime.channels", "uptime.statuspage"} {
		l.await(t, id, readiness.Pass)
	}
}

// find is what a check finds now.
func find(t *testing.T, a *App, id string) readiness.Finding {
	t.Helper()
	for _, c := range a.Readiness.Checks {
		if c.ID == id {
			return c.Measure(t.Context())
		}
	}
	t.Fatalf("there is no check %s", id)
	panic("unreachable")
}

// await waits until a check finds this.
func (l *live) await(t *testing.T, id string, want readiness.Status) {
	t.Helper()
	var last readiness.Finding
	defer func() {
		if t.Failed() {
			t.Logf("%s: %s: %s", id, last.Status, last.Evidence.En)
		}
	}()
	waittest.Poll(t, func() bool {
		last = find(t, l.App, id)
		return last.Status == want
	})
}

// disk is what a folder lies on, which is full where a test says so.
func (l *live) disk(path string) (machine.Disk, error) {
	disk, err := machine.Machine{}.DiskOf(path)
	disk.Free = disk.Total / 2
	if _, full := l.fullDisks.Load(path); full {
		disk.Free = 1
	}
	return disk, err
}

// write writes a file of the kernel's.
func (l *live) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(l.kernel, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newKernel is a folder with files as the kernel writes them, of a container with memory and files
// to spare.
func newKernel(t *testing.T) string {
	t.Helper()
	l := live{kernel: t.TempDir()}
	for _, dir := range []string{"proc/self/fd", "sys/fs/cgroup"} {
		if err := os.MkdirAll(filepath.Join(l.kernel, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l.write(t, "proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n")
	l.write(t, "sys/fs/cgroup/memory.max", "1000000000\n")
	l.write(t, "sys/fs/cgroup/memory.current", "100000000\n")
	l.limitFiles(t, 1024)
	for i := range 10 {
		l.write(t, "proc/self/fd/"+string(rune('0'+i)), "")
	}
	return l.kernel
}

func (l *live) limitFiles(t *testing.T, n int) {
	t.Helper()
	l.write(t, "proc/self/limits", "Max open files            "+big.NewInt(int64(n)).String()+"                 4096                 files\n")
}

// front is the proxy with TLS before an installation.
type front struct {
	URL       string
	roots     *x509.CertPool
	authority string // a file
	to        atomic.Pointer[url.URL]
	shown     atomic.Pointer[tls.Certificate]
	change    atomic.Pointer[func(*http.Response)] // what it does to answers; nil: nothing

	key    *ecdsa.PrivateKey
	signer *x509.Certificate
}

func newFront(t *testing.T) *front {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{key: key, roots: x509.NewCertPool(), authority: filepath.Join(t.TempDir(), "authority.pem")}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "An authority"}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err == nil {
		f.signer, err = x509.ParseCertificate(der)
	}
	if err == nil {
		err = os.WriteFile(f.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.roots.AddCert(f.signer)
	f.certify(t, 90*24*time.Hour)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(f.to.Load()); r.Out.Host = r.In.Host; r.SetXForwarded() },
		ModifyResponse: f.modify, ErrorLog: log.New(io.Discard, "", 0),
	}
	server := httptest.NewUnstartedServer(proxy)
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*f.shown.Load()}, NextProtos: []string{"h2", "http/1.1"}}, nil
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

func (f *front) modify(r *http.Response) error {
	r.Header.Set("Strict-Transport-Security", "max-age=31536000")
	if change := f.change.Load(); change != nil {
		(*change)(r)
	}
	return nil
}

// certify has it show a certificate that ends after a while.
func (f *front) certify(t *testing.T, left time.Duration) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(left), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, f.signer, &f.key.PublicKey, f.key)
	if err != nil {
		t.Fatal(err)
	}
	f.shown.Store(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: f.key})
}

// changing has it change answers.
func (f *front) changing(change func(*http.Response)) { f.change.Store(&change) }

// names is a DNS server.
type names struct {
	addr string
	mu   sync.Mutex
	text map[string][]string // TXT records
}

const goodSPF = "v=spf1 include:_spf.example.net -all"

func newNames(t *testing.T) *names {
	t.Helper()
	n := &names{text: map[string][]string{
		"mail.example.com.":   {goodSPF, "something else"},
		"_spf.example.net.":   {"v=spf1 ip4:192.0.2.1 -all"},
		"_dmarc.example.com.": {"v=DMARC1; p=reject; rua=mailto:dmarc@example.com"},
	}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = conn.LocalAddr().String()
	server := &dns.Server{PacketConn: conn, Handler: n}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return n
}

// ServeDNS answers a question.
func (n *names) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := new(dns.Msg).SetReply(question)
	asked := question.Question[0]
	texts, known := n.text[strings.ToLower(asked.Name)]
	if !known {
		answer.Rcode = dns.RcodeNameError
	}
	for _, text := range texts {
		if asked.Qtype == dns.TypeTXT {
			answer.Answer = append(answer.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}})
		}
	}
	_ = w.WriteMsg(answer)
}

// say has it say something else of a name from now on, nothing being that there is none.
func (n *names) say(name string, texts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text[name] = texts; len(texts) == 0 {
		delete(n.text, name)
	}
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.addr)
	}}
}

// taker answers with a status.
type taker struct {
	URL    string
	status atomic.Int32
	asked  atomic.Int32 // how often it was
}

func newTaker(t *testing.T) *taker {
	t.Helper()
	r := &taker{}
	r.status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.asked.Add(1)
		w.WriteHeader(int(r.status.Load()))
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// elsewhere is another place, which hands in what it sees.
type elsewhere struct {
	app    *App
	cutOff atomic.Bool
}

func newElsewhere(t *testing.T, a *App) *elsewhere {
	t.Helper()
	e := &elsewhere{app: a}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			_ = e.report(ctx)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { stop(); working.Wait() })
	return e
}

func (e *elsewhere) report(ctx context.Context) error {
	_, err := e.app.Uptime.HandIn(ctx, uptime.Report{Place: "far", Instance: "one", Now: time.Now(), View: uptime.View{CutOff: e.cutOff.Load(), Up: []string{"health", "ready", "homepage"}, Seen: []uptime.Seen{}}})
	return err
}
